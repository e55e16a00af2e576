"""Make the small ONNX models of tests/data/torchvision, and torch's answers for the photos.

    python make_test_graphs.py ../../tests/data/torchvision --trained tiny.pt

`tiny.pt` is what train.py wrote. Every other model has two-valued stand-in weights, so that it packs small.
"""

from __future__ import annotations

import argparse
import lzma
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import torch
from answers import answer, read_image
from export import export
from narrow import faster_rcnn_mobilenet, faster_rcnn_one_map, freeze_norms, mask_rcnn, mask_rcnn_v2
from PIL import Image
from stand_ins import fit
from train import CLASSES, example, make_scene

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT / "tests" / "data" / "images"


@dataclass
class Kind:
    """How a model is exported, and which photos and parts of photos torch answers for."""

    opset: int
    pictures: tuple[str, ...]
    size: tuple[int, int] = (160, 240)
    options: dict[str, bool] = field(default_factory=dict)
    simplified: bool = False


KINDS = {
    "mask_rcnn": Kind(11, ("shapes", "coffee", "coffee_tall", "astronaut_square", "coffee_double")),
    "mask_rcnn_fixed": Kind(17, ("coffee", "astronaut_square"), options={"fixed": True}),
    "mask_rcnn_v2": Kind(18, ("coffee", "astronaut", "coffee_tall"), size=(130, 170)),
    "faster_rcnn_mobilenet": Kind(13, ("coffee", "astronaut_square", "coffee_double")),
    "faster_rcnn_mobilenet_swish": Kind(16, ("coffee",)),
    "faster_rcnn_one_map": Kind(12, ("coffee", "coffee_tall"), options={"folded": False}),
    "faster_rcnn_one_map_simplified": Kind(12, ("coffee",), simplified=True),
    "mask_rcnn_fixed_simplified": Kind(17, ("coffee",), options={"fixed": True}, simplified=True),
}


def picture(name: str, folder: Path) -> torch.Tensor:
    """A photo, or what the name says of it, cut as tests/parity/test_torchvision.py does; or a scene in `folder`."""
    base, _, part = name.partition("_")
    image = read_image((folder if base == "shapes" else PHOTOS) / f"{base}.png")
    if part == "double":
        return image.repeat_interleave(2, 1).repeat_interleave(2, 2)
    rows, columns = {"tall": (None, 100), "square": (192, 128)}.get(part, (None, None))
    return image[:, :rows, :columns].contiguous()


def rounded(model: torch.nn.Module) -> torch.nn.Module:
    """Trained kernels take 63 values per layer, which pack; torch answers with these, too."""
    for weights in model.parameters():
        if weights.ndim > 1:
            step = weights.data.abs().max() / 31
            weights.data.copy_((weights.data / step).round() * step)
    return model


def models(trained: Path) -> dict[str, torch.nn.Module]:
    """The models of KINDS, ready to export."""
    torch.manual_seed(0)
    made: dict[str, torch.nn.Module] = {"mask_rcnn": mask_rcnn(CLASSES)}
    made["mask_rcnn"].load_state_dict(torch.load(trained))
    freeze_norms(rounded(made["mask_rcnn"]))
    made["mask_rcnn_fixed"] = mask_rcnn(4, width=4, box_score_thresh=0.1, box_detections_per_img=15)
    made["mask_rcnn_v2"] = mask_rcnn_v2(5)
    made["faster_rcnn_mobilenet"] = faster_rcnn_mobilenet(4)
    made["faster_rcnn_one_map"] = faster_rcnn_one_map(2)
    images = [read_image(path) for path in sorted(PHOTOS.glob("*.png"))]
    for seed, (name, model) in enumerate(made.items()):
        if name != "mask_rcnn":
            fit(model, images, seed, two_valued=True)
    freeze_norms(made["mask_rcnn_fixed"])
    freeze_norms(made["faster_rcnn_mobilenet"])
    freeze_norms(made["faster_rcnn_one_map"])
    for name, base in (
        ("faster_rcnn_mobilenet_swish", "faster_rcnn_mobilenet"),
        ("faster_rcnn_one_map_simplified", "faster_rcnn_one_map"),
        ("mask_rcnn_fixed_simplified", "mask_rcnn_fixed"),
    ):
        made[name] = made[base]
    return made


def write(model: torch.nn.Module, name: str, kind: Kind, folder: Path) -> None:
    """NAME.onnx.xz, and NAME-PICTURE.npz for each image."""
    path = folder / f"{name}.onnx"
    export(model, path, kind.opset, kind.size, **kind.options)
    if kind.simplified:
        onnx.save(onnxsim.simplify(str(path))[0], path)
    packed = lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    path.with_suffix(".onnx.xz").write_bytes(packed)
    path.unlink()
    counts = {}
    for each in kind.pictures:
        arrays = answer(model, picture(each, folder))
        counts[each] = len(arrays["labels"])
        if "masks" in arrays:
            arrays["masks"] = arrays["masks"].astype(np.float16)
        np.savez_compressed(folder / f"{name}-{each}.npz", **arrays)
    print(name, len(packed), counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    scene, _ = example(make_scene("val", 3))
    pixels = (scene * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(options.folder / "shapes.png", optimize=True)
    made = models(options.trained)
    for name in options.only:
        write(made[name], name, KINDS[name], options.folder)


if __name__ == "__main__":
    main()
