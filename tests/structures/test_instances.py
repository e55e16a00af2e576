"""Some of several instances, several answers in one, and how much masks overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mrcnn_cv import Instances
from mrcnn_cv.errors import UsageError
from mrcnn_cv.structures.instances import Choice
from mrcnn_cv.structures.masks import Sampling


def found(*scores: float, masks: bool = True, tracked: bool = False) -> Instances:
    """Squares of 10 pixels side by side, cats and dogs in turn, each with a mask of its own height."""
    count = len(scores)
    left = 20.0 * np.arange(count, dtype=np.float32)
    boxes = np.stack([left, np.zeros_like(left), left + 10, np.full_like(left, 10)], axis=1)
    probabilities = np.ones((count, 4, 4), np.float32)
    for index in range(count):
        probabilities[index, 3 - index % 3 :] = 0
    return Instances(
        boxes=boxes,
        scores=np.array(scores, np.float32),
        class_ids=np.array([1 + index % 2 for index in range(count)], np.int32),
        labels=["cat" if index % 2 == 0 else "dog" for index in range(count)],
        mask_probabilities=probabilities if masks else None,
        image_size=(50, 100),
        mask_sampling="centers",
        source="photo.jpg",
        model="model.pb",
        timings_ms={"trunk": 5.0},
        track_ids=np.arange(1, count + 1, dtype=np.int32) if tracked else None,
        trails=[np.full((2, 2), index, np.float32) for index in range(count)] if tracked else None,
    )


class TestSome:
    @pytest.mark.parametrize(
        ("choice", "expected"),
        [
            (0, [0.9]),
            (-1, [0.3]),
            (np.int64(2), [0.7]),
            (slice(1, 3), [0.8, 0.7]),
            (slice(None, None, -1), [0.3, 0.7, 0.8, 0.9]),
            ([2, 0], [0.7, 0.9]),
            (np.array([3]), [0.3]),
            ([], []),
            (np.array([True, False, False, True]), [0.9, 0.3]),
            ([False] * 4, []),
            ("dog", [0.8, 0.3]),
            ("horse", []),
        ],
    )
    def test_everything_that_belongs_to_them_comes_along(self, choice: Choice, expected: list[float]) -> None:
        every = found(0.9, 0.8, 0.7, 0.3, tracked=True)
        some = every[choice]
        np.testing.assert_allclose(some.scores, expected)
        places = [every.scores.tolist().index(score) for score in some.scores.tolist()]
        assert some.labels == [every.labels[place] for place in places]
        assert some.mask_probabilities is not None
        assert some.track_ids is not None
        assert some.trails is not None
        assert every.mask_probabilities is not None
        assert every.track_ids is not None
        for new, place in enumerate(places):
            np.testing.assert_array_equal(some.boxes[new], every.boxes[place])
            np.testing.assert_array_equal(some.mask_probabilities[new], every.mask_probabilities[place])
            np.testing.assert_array_equal(some.full_mask(new), every.full_mask(place))
            assert some.class_ids[new] == every.class_ids[place]
            assert some.track_ids[new] == every.track_ids[place]
            assert some.trails[new][0, 0] == place
        assert (some.source, some.model, some.image_size) == ("photo.jpg", "model.pb", (50, 100))
        assert len(some.to_dict()["instances"]) == len(expected)

    def test_by_a_condition(self) -> None:
        every = found(0.9, 0.8, 0.7)
        assert every[every.scores > 0.75].labels == ["cat", "dog"]

    def test_one_by_one(self) -> None:
        assert [len(one) for one in found(0.9, 0.8)] == [1, 1]

    def test_of_none(self) -> None:
        none = found()
        assert len(none["cat"]) == len(none[:3]) == len(none[none.scores > 0.5]) == 0

    @pytest.mark.parametrize("place", [3, -4, [0, 7]])
    def test_a_place_that_is_not_there(self, place: Choice) -> None:
        with pytest.raises(IndexError):
            found(0.9, 0.8, 0.7)[place]

    @pytest.mark.parametrize("choice", [0.5, [True, False], True, [[0, 1]], None, np.array([0.5, 0.1, 0.2])])
    def test_what_chooses_nothing(self, choice: Choice) -> None:
        with pytest.raises(UsageError, match="chosen by a place, a slice, places, 3 bools or a label"):
            found(0.9, 0.8, 0.7)[choice]


class TestJoined:
    def test_the_best_come_first(self) -> None:
        one, other = found(0.9, 0.5, tracked=True), found(0.7, 0.6, 0.5, tracked=True)
        both = Instances.concatenate([one, other])
        np.testing.assert_allclose(both.scores, [0.9, 0.7, 0.6, 0.5, 0.5])
        assert both.labels == ["cat", "cat", "dog", "dog", "cat"]
        assert both.track_ids is not None
        assert both.track_ids.tolist() == [1, 1, 2, 2, 3]
        np.testing.assert_array_equal(both.boxes[2], other.boxes[1])
        np.testing.assert_array_equal(both.full_mask(4), other.full_mask(2))
        assert both.source == "photo.jpg"
        assert both.timings_ms == {"trunk": 10.0}

    def test_what_they_do_not_agree_on_is_left_out(self) -> None:
        other = replace(found(0.5), source="another.jpg", timings_ms={"mask_head": 1.0})
        both = Instances.concatenate([found(0.9), other])
        assert (both.source, both.model) == (None, "model.pb")
        assert both.timings_ms == {"trunk": 5.0, "mask_head": 1.0}

    def test_nothing_is_added_by_nothing(self) -> None:
        one = found(0.9, 0.8)
        both = Instances.concatenate([found(), one, found()])
        np.testing.assert_array_equal(both.boxes, one.boxes)
        assert Instances.concatenate([found(masks=False), found(0.3, masks=False)]).mask_probabilities is None

    def test_what_does_not_fit_together(self) -> None:
        one = found(0.9, tracked=True)
        sampling: Sampling = "corners"
        others = {
            "image sizes": replace(one, image_size=(5, 5)),
            "mask thresholds": replace(one, mask_threshold=0.4),
            "mask samplings": replace(one, mask_sampling=sampling),
            "with and without masks": replace(one, mask_probabilities=None),
            "with and without track ids": replace(one, track_ids=None),
            "masks of different sizes": replace(one, mask_probabilities=np.ones((1, 5, 5), np.float32)),
        }
        for what, other in others.items():
            with pytest.raises(UsageError, match=what):
                Instances.concatenate([one, other])
        with pytest.raises(UsageError, match="at least one answer"):
            Instances.concatenate([])


def test_in_a_larger_image_they_lie_elsewhere() -> None:
    part = found(0.9, 0.8, tracked=True)
    whole = part.shifted(30, 5, (200, 300))
    assert whole.full_mask(1).shape == (200, 300)
    np.testing.assert_array_equal(whole.full_mask(1)[5:55, 30:130], part.full_mask(1))
    assert whole.full_mask(1).sum() == part.full_mask(1).sum()
    assert whole.trails is not None
    np.testing.assert_array_equal(whole.trails[1], [[31, 6], [31, 6]])


class TestOverlap:
    def test_of_masks_is_exact(self) -> None:
        one = found(0.9, 0.8, 0.7)
        ious = one.mask_iou(one[::-1])
        np.testing.assert_array_equal(ious, np.eye(3)[::-1])
        moved = replace(one, boxes=one.boxes + np.array([5, 0, 5, 0], np.float32))
        for row, column in np.ndindex(3, 3):
            a, b = one.full_mask(row), moved.full_mask(column)
            assert one.mask_iou(moved)[row, column] == pytest.approx((a & b).sum() / (a | b).sum())

    def test_without_masks_boxes_are_filled(self) -> None:
        one = found(0.9, masks=False)
        moved = replace(one, boxes=one.boxes + np.array([5, 0, 5, 0], np.float32))
        assert one.mask_iou(moved)[0, 0] == pytest.approx(1 / 3)

    def test_of_none_and_of_empty_masks(self) -> None:
        one = found(0.9)
        empty = replace(one, mask_probabilities=np.zeros((1, 4, 4), np.float32))
        assert one.mask_iou(found()).shape == (1, 0)
        assert one.mask_iou(empty)[0, 0] == empty.mask_iou(empty)[0, 0] == 0

    def test_of_different_images_there_is_none(self) -> None:
        with pytest.raises(UsageError, match="different sizes"):
            found(0.9).mask_iou(found(0.9).shifted(0, 0, (60, 100)))
