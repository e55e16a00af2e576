"""Files of proposals: the boxes that a Fast R-CNN is given with each image, as Detectron and Detectron2 keep them.

Source: detectron/datasets/json_dataset.py (_add_proposals_from_file), detectron2/data/build.py
(load_proposals_into_dataset).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile, named
from mrcnn_cv.importers.checkpoints.base import mapped
from mrcnn_cv.importers.checkpoints.contents import named_array
from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget, is_whole
from mrcnn_cv.importers.checkpoints.pickles.machine import run_pickle
from mrcnn_cv.importers.checkpoints.pickles.torch_objects import NoStorages
from mrcnn_cv.importers.checkpoints.pickles.values import StoredArray
from mrcnn_cv.importers.checkpoints.readers.numpy_pickle import NumpyPickle

XYXY, XYWH = 0, 1
"""Detectron2's BoxMode: what the numbers of a box are."""

_IDS, _SCORES = ("ids", "indexes"), ("objectness_logits", "scores")


@dataclass(frozen=True)
class PrecomputedProposals:
    """Boxes for images by their ids, one row each of all three.

    Attributes
    ----------
    ids
        Names or numbers of images, as the file has them.
    boxes
        (N, 4) numbers each: x1 y1 x2 y2, in pixels of the image.
    scores
        (N,) numbers each: objectness, of any scale.
    """

    ids: tuple[str | int, ...]
    boxes: tuple[NDArray[Any], ...]
    scores: tuple[NDArray[Any], ...]


def read_proposals(path: Path) -> PrecomputedProposals:
    """The proposals in a pickle. Raises ModelFileError, one sentence with the path, for what is none."""
    file = CandidateFile(path)
    with named(path):
        if not NumpyPickle().detect(file):
            raise ModelFileError("is no pickle of proposals: name one with ids, boxes and scores")
        budget = CheckpointBudget()
        root, _ = run_pickle(mapped(file).data, 0, budget)
        return _proposals(root, budget)


def _proposals(root: object, budget: CheckpointBudget) -> PrecomputedProposals:
    if not isinstance(root, dict):
        raise ModelFileError("holds no proposals: name a file with ids, boxes and scores")
    parts = []
    for names in (_IDS, ("boxes",), _SCORES):
        key = next((name for name in names if name in root), None)
        if key is None:
            raise ModelFileError(f"holds no proposals, as it has no {' or '.join(names)}: name a file that has")
        parts.append(_items(root[key], key, budget))
    ids, boxes, scores = parts
    if not len(ids) == len(boxes) == len(scores):
        raise ModelFileError(
            f"has {len(ids)} ids, boxes of {len(boxes)} images and scores of {len(scores)}: make it again"
        )
    mode = root.get("bbox_mode", XYXY)
    if mode not in (XYXY, XYWH) or not is_whole(mode):
        raise ModelFileError("has boxes of a mode that is not read: save them as x1 y1 x2 y2 (BoxMode.XYXY_ABS)")
    made = [_image(index, *each, budget) for index, each in enumerate(zip(boxes, scores, strict=True))]
    return PrecomputedProposals(
        tuple(_id(each, budget) for each in ids),
        tuple(_corners(each) if mode == XYWH else each for each, _ in made),
        tuple(each for _, each in made),
    )


def _items(value: object, key: str, budget: CheckpointBudget) -> Sequence[object]:
    """The items of a list, of an array of objects, or the rows of an array."""
    if isinstance(value, StoredArray):
        return value.items if value.items is not None else list(named_array(key, value, NoStorages(), budget))
    if not isinstance(value, list | tuple):
        raise ModelFileError(f"has no list as its '{key}': name a file of proposals")
    return value


def _id(value: object, budget: CheckpointBudget) -> str | int:
    if isinstance(value, StoredArray):
        value = named_array("ids", value, NoStorages(), budget)
    if isinstance(value, np.generic | np.ndarray) and value.shape == ():
        value = value.item()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) and is_whole(value):
        return value
    raise ModelFileError("has an id that is neither a name nor a number: make it again")


def _image(index: int, boxes: object, scores: object, budget: CheckpointBudget) -> tuple[NDArray[Any], NDArray[Any]]:
    found = _numbers(boxes, f"boxes[{index}]", budget)
    marks = _numbers(scores, f"scores[{index}]", budget)
    if found.size == 0:
        found = found.reshape(0, 4)
    if found.ndim != 2 or found.shape[1] != 4 or marks.size != len(found):
        raise ModelFileError(
            f"has boxes of the shape {list(found.shape)} and scores of {list(marks.shape)} for image {index}: it takes"
            " (N, 4) and (N,)"
        )
    return found, marks.reshape(-1)


def _numbers(value: object, name: str, budget: CheckpointBudget) -> NDArray[Any]:
    if isinstance(value, StoredArray):
        value = named_array(name, value, NoStorages(), budget)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise ModelFileError(f"has '{name}', which are no finite numbers: make it again")
    return value


def _corners(boxes: NDArray[Any]) -> NDArray[Any]:
    """x y width height → x1 y1 x2 y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
