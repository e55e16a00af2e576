"""Mutated frozen graphs of the Object Detection API."""

from __future__ import annotations

import random
from pathlib import Path

from mrcnn_cv.graph.protos import graph_pb2 as pb
from tests.robustness.fuzz import models
from tests.robustness.fuzz.graphdef_edits import edit
from tests.robustness.fuzz.models import EXIT_CODES, Seed, attempt
from tests.robustness.fuzz.worker import make_again

__all__ = ["EXIT_CODES", "attempt", "case"]

_NAMES = (
    *("tiny_mask_rcnn", "tiny_mask_rcnn", "tiny_faster_rcnn", "tiny_keras", "tiny_options", "tiny_settings"),
    *("tiny_resnet50_atrous", "tiny_large_crops", "tiny_agnostic_sigmoid", "tiny_box_features", "tiny_resnet50"),
)
SEEDS = tuple(
    Seed(f"{name}/frozen_inference_graph.pb.xz", f"{name}/pipeline.config", "pipeline.config") for name in _NAMES
)


def edited(data: bytes, chance: random.Random) -> bytes:
    """The graph with edits that know a GraphDef."""
    graph = pb.GraphDef.FromString(data)
    edit(graph, chance)
    return graph.SerializeToString()


def case(number: int, seed: int, folder: Path) -> Path:
    """One graph and its config."""
    return models.write(number, seed, folder, SEEDS, "frozen_inference_graph.pb", edited)


if __name__ == "__main__":
    make_again(case, attempt)
