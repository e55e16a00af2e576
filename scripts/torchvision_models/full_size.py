"""torchvision's full-size models: export one with torch's own weights or stand-ins, and answer and time with torch.

    python full_size.py make maskrcnn_resnet50_fpn work          # work/maskrcnn_resnet50_fpn.onnx and .pt
    python full_size.py answer work/maskrcnn_resnet50_fpn.pt work photo.png ...   # work/MODEL.PHOTO.npz
    python full_size.py serve work/maskrcnn_resnet50_fpn.pt photo.png             # one prediction per line of input

The weights are random, with batch norm fitted and layers scaled on the photos of tests/data, so that all of a model's
numbers matter and noise is not amplified from layer to layer. `--weights` loads a state_dict instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from answers import answer, read_image
from export import export
from stand_ins import fit
from torchvision.models import detection

PHOTOS = Path(__file__).resolve().parents[2] / "tests" / "data" / "images"


def make(name: str, folder: Path, opset: int, weights: Path | None) -> None:
    """Write NAME.onnx and NAME.pt."""
    model = getattr(detection, name)(weights=None, weights_backbone=None).eval()
    if weights is None:
        fit(model, [read_image(path) for path in sorted(PHOTOS.glob("*.png"))], seed=3)
    else:
        model.load_state_dict(torch.load(weights))
    folder.mkdir(parents=True, exist_ok=True)
    export(model, folder / f"{name}.onnx", opset)
    torch.save(model, folder / f"{name}.pt")


def serve(model: torch.nn.Module, photo: Path, threads: int) -> None:
    """For each line of input, predict once and print the milliseconds."""
    torch.set_num_threads(threads)
    image = read_image(photo)
    with torch.no_grad():
        for _ in sys.stdin:
            start = time.perf_counter()
            model([image])
            print((time.perf_counter() - start) * 1000, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make")
    one.add_argument("name")
    one.add_argument("folder", type=Path)
    one.add_argument("--opset", type=int, default=17)
    one.add_argument("--weights", type=Path)
    two = commands.add_parser("answer")
    two.add_argument("model", type=Path)
    two.add_argument("folder", type=Path)
    two.add_argument("photos", type=Path, nargs="+")
    three = commands.add_parser("serve")
    three.add_argument("model", type=Path)
    three.add_argument("photo", type=Path)
    three.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.command == "make":
        make(options.name, options.folder, options.opset, options.weights)
        return
    model = torch.load(options.model, weights_only=False).eval()
    if options.command == "serve":
        serve(model, options.photo, options.threads)
        return
    for photo in options.photos:
        arrays = answer(model, read_image(photo))
        np.savez_compressed(options.folder / f"{options.model.stem}.{photo.stem}.npz", **arrays)


if __name__ == "__main__":
    main()
