"""Files of proposals, as Detectron and Detectron2 write them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.checkpoints.proposals import PrecomputedProposals, read_proposals
from tests.support.checkpoints import Call, Global, assert_same, pickled

BOXES = [np.array([[1, 2, 30, 40], [5.5, 6, 7, 8]], np.float32), np.zeros((0, 4), np.float32)]
SCORES = [np.array([2.5, -1], np.float32), np.zeros(0, np.float32)]
DETECTRON: dict[str, Any] = {"ids": [17, 9], "boxes": BOXES, "scores": SCORES}


def read(path: Path, root: object, protocol: int = 2) -> PrecomputedProposals:
    path.write_bytes(root if isinstance(root, bytes) else pickle.dumps(root, protocol))
    return read_proposals(path)


def objects(items: list[Any]) -> Any:
    made = np.empty(len(items), object)
    made[:] = items
    return made


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "root",
    [
        DETECTRON,
        {"indexes": np.array([17, 9]), "boxes": objects(BOXES), "scores": objects(SCORES)},
        {"ids": [np.int64(17), 9], "boxes": tuple(BOXES), "scores": [SCORES[0].reshape(2, 1), SCORES[1]]},
        {"ids": [17, 9], "boxes": BOXES, "objectness_logits": SCORES, "bbox_mode": 0},
        {"ids": [17, 9], "boxes": [BOXES[0], np.zeros(0, np.float32)], "objectness_logits": SCORES},
    ],
)
def test_forms(root: object, protocol: int, tmp_path: Path) -> None:
    found = read(tmp_path / "proposals.pkl", root, protocol)
    assert found.ids == (17, 9)
    for saved, boxes in zip(BOXES, found.boxes, strict=True):
        assert_same(boxes, saved)
    for marks, scores in zip(SCORES, found.scores, strict=True):
        assert_same(scores, marks)


def test_names_are_ids_too_and_equal_numbers_of_boxes_are_one_array(tmp_path: Path) -> None:
    root = {"ids": ["a", "b"], "boxes": np.stack([BOXES[0]] * 2), "scores": np.ones((2, 2))}
    found = read(tmp_path / "a.pkl", root)
    assert found.ids == ("a", "b")
    np.testing.assert_array_equal(found.boxes[1], BOXES[0])
    np.testing.assert_array_equal(found.scores[1], [1, 1])


def test_boxes_with_a_width_and_a_height(tmp_path: Path) -> None:
    found = read(tmp_path / "a.pkl", {**DETECTRON, "bbox_mode": 1})
    np.testing.assert_array_equal(found.boxes[0], [[1, 2, 31, 42], [5.5, 6, 12.5, 14]])


@pytest.mark.parametrize(("mode", "first"), [(0, 30), (1, 31)])
def test_the_mode_as_detectron2s_own_object(mode: int, first: int, tmp_path: Path) -> None:
    dtype = Call(Global("numpy dtype"), ("f4", False, True), (3, "<", None, None, None, -1, -1, 0))
    buffer = Global("numpy.core.numeric _frombuffer")
    boxes = Call(buffer, (np.array([1, 2, 30, 40], "<f4").tobytes(), dtype, (1, 4), "C"))
    scores = Call(buffer, (np.array([1], "<f4").tobytes(), dtype, (1,), "C"))
    enum = Call(Global("detectron2.structures.boxes BoxMode"), (mode,))
    root = {"ids": [1], "boxes": [boxes], "objectness_logits": [scores], "bbox_mode": enum}
    assert read(tmp_path / "a.pkl", pickled(root)).boxes[0][0, 2] == first


@pytest.mark.parametrize(
    ("root", "told"),
    [
        (b"text", "is no pickle of proposals"),
        ([1], "holds no proposals"),
        ({"ids": [1], "boxes": []}, "it has no objectness_logits or scores"),
        ({"boxes": [], "scores": []}, "it has no ids or indexes"),
        ({**DETECTRON, "ids": [1]}, "has 1 ids, boxes of 2 images and scores of 2"),
        ({**DETECTRON, "ids": [1, None]}, "an id that is neither"),
        ({**DETECTRON, "ids": [1, 0.5]}, "an id that is neither"),
        ({**DETECTRON, "ids": 5}, "has no list as its 'ids'"),
        ({**DETECTRON, "boxes": [BOXES[0], [1, 2, 3, 4]]}, "'boxes[1]', which are no finite numbers"),
        ({**DETECTRON, "boxes": [BOXES[0] * np.nan, BOXES[1]]}, "'boxes[0]', which are no finite numbers"),
        ({**DETECTRON, "boxes": [BOXES[0][:, :3], BOXES[1]]}, "boxes of the shape [2, 3]"),
        ({**DETECTRON, "scores": [SCORES[0][:1], SCORES[1]]}, "scores of [1] for image 0"),
        ({**DETECTRON, "bbox_mode": 4}, "of a mode that is not read"),
        ({**DETECTRON, "bbox_mode": None}, "of a mode that is not read"),
        ({**DETECTRON, "bbox_mode": True}, "of a mode that is not read"),
    ],
)
def test_what_is_no_file_of_proposals(root: object, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    with pytest.raises(ModelFileError) as refused:
        read(path, root)
    assert told in str(refused.value)
    assert str(refused.value).startswith(f"{path} ")
    assert ": " in str(refused.value)
