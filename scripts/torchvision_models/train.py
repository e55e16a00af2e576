"""Train the narrow Mask R-CNN for a few minutes on the scenes of scripts/demo_model, so that it finds something.

python train.py tiny.pt --minutes 5
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from narrow import mask_rcnn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "demo_model"))
from geometry import CLASS_NAMES
from scenes import Scene, make_scene

CLASSES = len(CLASS_NAMES) + 1


def example(scene: Scene) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """(image, targets) at half the size of a scene."""
    image = torch.from_numpy(scene.image).permute(2, 0, 1).float() / 255
    boxes = scene.boxes()[:, [1, 0, 3, 2]]
    numbers = np.arange(1, len(boxes) + 1)
    masks = (scene.instance_map[None] == numbers[:, None, None]).astype(np.uint8)
    return torch.nn.functional.avg_pool2d(image, 2), {
        "boxes": torch.from_numpy(boxes) / 2,
        "labels": torch.tensor(scene.class_ids) + 1,
        "masks": torch.from_numpy(masks[:, ::2, ::2].copy()),
    }


def train(minutes: float, count: int, start_from: Path | None) -> torch.nn.Module:
    """A model that saw `count` scenes again and again for `minutes`; start_from: weights of an earlier run."""
    torch.manual_seed(1)
    scenes = [example(scene) for scene in (make_scene("train", index) for index in range(count)) if scene.class_ids]
    # Fewer regions per step make more steps.
    fewer = {"rpn_pre_nms_top_n_train": 300, "rpn_post_nms_top_n_train": 100, "box_batch_size_per_image": 32}
    model = mask_rcnn(CLASSES, **fewer).train()
    if start_from is not None:
        model.load_state_dict(torch.load(start_from))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
    start, step, draw = time.time(), 0, np.random.default_rng(1)
    while (done := (time.time() - start) / 60 / minutes) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 50) * (1 - done) ** 0.9
        batch = [scenes[index] for index in draw.choice(len(scenes), 6)]
        losses = model([image for image, _ in batch], [target for _, target in batch])
        total = sum(losses.values())
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(step, round(done, 2), {name: round(loss.item(), 3) for name, loss in losses.items()}, flush=True)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--start-from", type=Path)
    options = parser.parse_args()
    torch.save(train(options.minutes, options.scenes, options.start_from).state_dict(), options.target)


if __name__ == "__main__":
    main()
