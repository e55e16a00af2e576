"""The value that travels between the model, the sinks and the user."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco

from mrcnn_cv.structures.instances import BackendUse, Instances


@pytest.fixture
def two() -> Instances:
    """A cat whose mask is the left half of its box, and a dog that fills its own, over the border."""
    probabilities = np.zeros((2, 15, 15), np.float32)
    probabilities[0, :, :8] = probabilities[1] = 1
    return Instances(
        boxes=np.array([[10, 20, 30, 40], [50, 30, 70, 60]], np.float32),
        scores=np.array([0.9, 0.25], np.float32),
        class_ids=np.array([17, 18], np.int32),
        labels=["cat", "dog"],
        mask_probabilities=probabilities,
        image_size=(48, 64),
        source="photo.jpg",
        model="frozen_inference_graph.pb",
        backend=BackendUse("auto", "cpu", "a processor"),
        timings_ms={"trunk": 1.23456},
    )


def test_full_masks_lie_where_the_boxes_are(two: Instances) -> None:
    left_half, cut = two.full_mask(0), two.full_mask(1)
    assert left_half.shape == cut.shape == (48, 64)
    assert left_half[20:39, 10:20].all()
    assert not left_half[:, 21:].any()
    expected = np.zeros((48, 64), np.bool_)
    expected[30:, 50:] = True
    np.testing.assert_array_equal(cut, expected)


def test_local_masks_are_the_full_masks_cut_out(two: Instances) -> None:
    for index in range(2):
        top, left, mask = two.local_mask(index)
        rows, columns = mask.shape
        np.testing.assert_array_equal(two.full_mask(index)[top : top + rows, left : left + columns], mask)
        assert two.full_mask(index).sum() == mask.sum()


def test_without_masks_the_box_is_filled(two: Instances) -> None:
    two.mask_probabilities = None
    expected = np.zeros((48, 64), np.bool_)
    expected[20:40, 10:30] = True
    np.testing.assert_array_equal(two.full_mask(0), expected)
    assert [record["mask"] for record in two.to_dict()["instances"]] == [None, None]


def test_record_is_plain_json_and_says_everything(two: Instances) -> None:
    record = json.loads(json.dumps(two.to_dict(), allow_nan=False))
    assert {key: record[key] for key in ("source", "frame", "width", "height", "model")} == {
        "source": "photo.jpg",
        "frame": None,
        "width": 64,
        "height": 48,
        "model": "frozen_inference_graph.pb",
    }
    assert record["backend"] == {"requested": "auto", "used": "cpu", "device": "a processor"}
    assert record["timings_ms"] == {"trunk": 1.235}
    cat, dog = record["instances"]
    assert (cat["class_id"], cat["label"], cat["score"], cat["box"]) == (17, "cat", 0.9, [10, 20, 30, 40])
    assert dog["area"] == (48 - 30) * (64 - 50)


def test_the_records_masks_decode_with_cocos_tools(two: Instances) -> None:
    for index, record in enumerate(two.to_dict()["instances"]):
        np.testing.assert_array_equal(coco.decode(record["mask"]).astype(np.bool_), two.full_mask(index))
        assert record["area"] == coco.area(record["mask"])


def test_counts_by_label_most_frequent_first() -> None:
    labels = ["dog", "cat", "dog", "bird", "cat", "dog"]
    nothing = np.zeros((6, 4), np.float32)
    found = Instances(nothing, nothing[:, 0], nothing[:, 0].astype(np.int32), labels, None, (4, 4))
    assert len(found) == 6
    assert list(found.counts().items()) == [("dog", 3), ("cat", 2), ("bird", 1)]


def test_nothing_found_is_a_record_too() -> None:
    nothing = Instances(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), [], None, (480, 640)
    )
    assert nothing.to_dict()["instances"] == []
    assert nothing.counts() == {}
    assert len(nothing) == 0
