"""Mutated ONNX files of torchvision's and Detectron2's detectors."""

from __future__ import annotations

import random
from pathlib import Path

from mrcnn_cv.graph.protos import onnx_pb2 as pb
from tests.robustness.fuzz import models
from tests.robustness.fuzz.models import EXIT_CODES, Seed, attempt
from tests.robustness.fuzz.onnx_edits import edit
from tests.robustness.fuzz.worker import make_again

__all__ = ["EXIT_CODES", "attempt", "case"]

# The small ones more often.
_TORCHVISION = (
    *("mask_rcnn_fixed", "mask_rcnn_v2", "faster_rcnn_one_map", "faster_rcnn_one_map", "faster_rcnn_one_map"),
    *("faster_rcnn_one_map_simplified", "faster_rcnn_mobilenet", "faster_rcnn_mobilenet", "mask_rcnn"),
)
_DETECTRON2 = {"faster_rgb": "faster_rgb-coffee", "r50": "r50-coffee", "x101": "x101-coffee"}
SEEDS = (
    *(Seed(f"torchvision/{name}.onnx.xz") for name in _TORCHVISION),
    *(
        Seed(f"detectron2/{name}.onnx.xz", f"detectron2/{config}.yaml", "model.yaml")
        for name, config in _DETECTRON2.items()
    ),
)


def edited(data: bytes, chance: random.Random) -> bytes:
    """The model with edits that know ONNX."""
    model = pb.ModelProto.FromString(data)
    edit(model, chance)
    return model.SerializeToString()


def case(number: int, seed: int, folder: Path) -> Path:
    """One model, and its config where it is Detectron2's."""
    return models.write(number, seed, folder, SEEDS, "model.onnx", edited)


if __name__ == "__main__":
    make_again(case, attempt)
