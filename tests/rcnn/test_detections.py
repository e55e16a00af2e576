"""From the box head's numbers to detections, on a handful of regions."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv.modelfile.spec import ModelSpec, NmsSpec
from mrcnn_cv.rcnn.detections import Detections, class_scores, find_detections, limits
from mrcnn_cv.rcnn.geometry import geometry

Float = NDArray[np.float32]
LEFT, MIDDLE, RIGHT = (0.0, 0.0, 0.5, 0.2), (0.0, 0.4, 0.5, 0.6), (0.0, 0.8, 0.5, 1.0)


def detect(
    encodings: Float,
    logits: Float,
    proposals: Float,
    spec: ModelSpec,
    nms: NmsSpec,
    wanted: NDArray[np.bool_] | None = None,
    size: tuple[int, int] = (100, 100),
) -> Detections:
    """Detections in an image of `size` on an input of 100 x 100; their boxes as fractions of the image."""
    layout = geometry(size, (0, 0), (100, 100), "pixels")
    found = find_detections(encodings, logits, proposals, spec, nms, layout, wanted)
    return found._replace(boxes=layout.fractions_of_image(found.boxes))


def find(
    spec: ModelSpec, proposals: list[tuple[float, ...]], scores: list[list[float]], encodings: Float | None = None
) -> Detections:
    """Detections on an input of 100 x 100; scores (N, C) become logits of an identity conversion."""
    spec = replace(spec, score_conversion="identity")
    logits = np.array([[0, *row] for row in scores], np.float32).reshape(len(scores), 3)
    if encodings is None:
        encodings = np.zeros((len(proposals), 8), np.float32)
    boxes = np.array(proposals, np.float32).reshape(-1, 4)
    return detect(encodings, logits, boxes, spec, spec.detection_nms)


def with_nms(spec: ModelSpec, **changes: float | bool) -> ModelSpec:
    return replace(spec, detection_nms=replace(spec.detection_nms, **changes))  # type: ignore[arg-type]


def test_softmax_takes_the_background_as_a_rival(spec: ModelSpec) -> None:
    found = class_scores(np.log(np.array([[1, 2, 5], [6, 1, 1]], np.float32)), spec)
    np.testing.assert_allclose(found, [[0.25, 0.625], [0.125, 0.125]], rtol=1e-6)


def test_sigmoid_scores_each_class_alone(spec: ModelSpec) -> None:
    logits = np.array([[50, 0, float(np.log(3))], [0, -1000, 1000]], np.float32)
    found = class_scores(logits, replace(spec, score_conversion="sigmoid"))
    np.testing.assert_allclose(found, [[0.5, 0.75], [0.0, 1.0]], rtol=1e-6)


def test_identity_leaves_them_and_a_factor_scales_them_first(spec: ModelSpec) -> None:
    found = class_scores(np.array([[9, 0.5, -2]], np.float32), replace(spec, score_conversion="identity"))
    np.testing.assert_array_equal(found, [[0.5, -2]])
    halved = replace(spec, score_conversion="sigmoid", logit_factor=0.5)
    found = class_scores(np.array([[9, 2 * np.log(3), 0]], np.float32), halved)
    np.testing.assert_allclose(found, [[0.75, 0.5]], rtol=1e-6)


def test_best_first_over_all_classes(spec: ModelSpec) -> None:
    found = find(spec, [LEFT, MIDDLE, RIGHT], [[0.3, 0.1], [0.1, 0.9], [0.6, 0.0]])
    np.testing.assert_allclose(found.scores, [0.9, 0.6, 0.3, 0.1, 0.1], rtol=1e-6)
    assert found.classes.tolist() == [1, 0, 0, 0, 1]
    np.testing.assert_allclose(found.boxes, [MIDDLE, RIGHT, LEFT, MIDDLE, LEFT], atol=1e-6)


def test_of_equal_scores_the_lower_class_comes_first_then_the_better_region(spec: ModelSpec) -> None:
    found = find(spec, [LEFT, RIGHT], [[0.5, 0.5], [0.5, 0.5]])
    assert found.classes.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(found.boxes, [LEFT, RIGHT, LEFT, RIGHT], atol=1e-6)


def test_boxes_of_one_class_suppress_each_other_and_no_others(spec: ModelSpec) -> None:
    found = find(spec, [LEFT, LEFT], [[0.5, 0.6], [0.7, 0.4]])
    np.testing.assert_allclose(found.scores, [0.7, 0.6], rtol=1e-6)
    assert found.classes.tolist() == [0, 1]


def test_the_score_must_be_above_the_threshold(spec: ModelSpec) -> None:
    found = find(with_nms(spec, score_threshold=0.5), [LEFT, RIGHT], [[0.5, 0], [np.nextafter(np.float32(0.5), 1), 0]])
    np.testing.assert_allclose(found.boxes, [RIGHT], atol=1e-6)


def test_limit_per_class_and_limit_in_all(spec: ModelSpec) -> None:
    scores = [[0.9, 0.3], [0.8, 0.2], [0.7, 0.1]]
    found = find(with_nms(spec, max_per_class=2), [LEFT, MIDDLE, RIGHT], scores)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.3, 0.2], rtol=1e-6)
    found = find(with_nms(spec, max_per_class=2, max_total=3), [LEFT, MIDDLE, RIGHT], scores)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.3], rtol=1e-6)


def test_newer_exporters_suppress_before_they_clip_older_ones_after(spec: ModelSpec) -> None:
    """Two boxes over the left border that overlap much, but whose parts inside overlap little."""
    half = (0.5, 0.1, 1.0, 0.3)
    encodings = np.zeros((2, 8), np.float32)
    encodings[:, 1] = [10 * -0.28 / 0.2, 10 * -0.22 / 0.2]  # centres at -0.08 and -0.02: 0.02 and 0.08 are left
    scores = [[0.9, 0], [0.8, 0]]
    found = find(with_nms(spec, iou_threshold=0.4), [half, half], scores, encodings)
    np.testing.assert_allclose(found.boxes, [[0.5, 0, 1, 0.02]], atol=1e-6)
    found = find(with_nms(spec, iou_threshold=0.4, clip_first=True), [half, half], scores, encodings)
    np.testing.assert_allclose(found.boxes, [[0.5, 0, 1, 0.02], [0.5, 0, 1, 0.08]], atol=1e-6)


def test_boxes_are_clipped_to_the_image_and_those_outside_go(spec: ModelSpec) -> None:
    encodings = np.zeros((2, 8), np.float32)
    encodings[0, 0], encodings[1, 1] = -5, 60
    found = find(spec, [LEFT, RIGHT], [[0.9, 0], [0.8, 0]], encodings)
    np.testing.assert_allclose(found.boxes, [[0, 0, 0.25, 0.2]], atol=1e-6)


def test_boxes_are_fractions_of_the_image_not_of_its_padding(spec: ModelSpec) -> None:
    found = detect(
        np.zeros((1, 8), np.float32),
        np.array([[0, 5, 0]], np.float32),
        np.array([[0, 0, 0.5, 0.5]], np.float32),
        spec,
        spec.detection_nms,
        size=(60, 80),
    )
    np.testing.assert_allclose(found.boxes[0], [0, 0, 50 / 60, 50 / 80], rtol=1e-6)


def test_each_class_has_its_own_box_unless_they_share_one(spec: ModelSpec) -> None:
    encodings = np.zeros((1, 8), np.float32)
    encodings[0, 5] = 10  # class 1 goes right by a width
    found = find(spec, [LEFT], [[0.9, 0.8]], encodings)
    np.testing.assert_allclose(found.boxes, [LEFT, (0, 0.2, 0.5, 0.4)], atol=1e-6)
    shared = np.array([[0, 10, 0, 0]], np.float32)
    found = find(replace(spec, class_agnostic_boxes=True), [LEFT], [[0.9, 0.8]], shared)
    np.testing.assert_allclose(found.boxes, [(0, 0.2, 0.5, 0.4)] * 2, atol=1e-6)
    assert found.classes.tolist() == [0, 1]


def test_only_wanted_classes_are_looked_at(spec: ModelSpec) -> None:
    """They take no places of the limit, either."""
    logits = np.array([[0, 9, 0], [0, 0, 1]], np.float32)
    arguments = (np.zeros((2, 8), np.float32), logits, np.array([LEFT, RIGHT], np.float32), spec)
    nms = NmsSpec(0.3, 0.6, 100, 1, clip_first=False)
    everything = detect(*arguments, nms)
    assert everything.classes.tolist() == [0]
    wanted = detect(*arguments, nms, np.array([False, True]))
    assert wanted.classes.tolist() == [1]
    nothing = detect(*arguments, nms, np.array([False, False]))
    assert len(nothing.scores) == 0


def test_a_class_agnostic_suppression_takes_the_best_class_of_a_region(spec: ModelSpec) -> None:
    """use_class_agnostic_nms: of two regions in one place the better stays, whatever their classes."""
    agnostic = replace(spec, detection_nms=replace(spec.detection_nms, class_agnostic=True))
    scores = [[0.9, 0.8], [0.1, 0.85], [0.2, 0.3]]
    found = find(agnostic, [LEFT, LEFT, RIGHT], scores)
    assert found.classes.tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes, [LEFT, RIGHT], atol=1e-6)
    assert len(find(spec, [LEFT, LEFT, RIGHT], scores).scores) > 2


def test_a_class_that_is_not_wanted_still_suppresses_where_the_model_does_so(spec: ModelSpec) -> None:
    logits = np.array([[0, 9, 0], [0, 0, 8], [0, 0, 7]], np.float32)
    nms = replace(spec.detection_nms, class_agnostic=True)
    regions = np.array([LEFT, LEFT, RIGHT], np.float32)
    wanted = np.array([False, True])
    found = detect(np.zeros((3, 8), np.float32), logits, regions, spec, nms, wanted)
    np.testing.assert_allclose(found.boxes, [RIGHT], atol=1e-6)


def test_no_proposals_no_detections(spec: ModelSpec) -> None:
    found = find(spec, [], [])
    assert found.boxes.shape == (0, 4)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert len(found.scores) == len(found.classes) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_of_a_diverged_head_give_nothing_and_no_warning(spec: ModelSpec, value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bad_boxes = find(spec, [LEFT], [[0.9, 0.8]], np.full((1, 8), np.nan, np.float32))
        logits = np.full((1, 3), value, np.float32)
        arguments = (np.zeros((1, 8), np.float32), logits, np.array([LEFT], np.float32), spec)
        bad_scores = detect(*arguments, spec.detection_nms)
    assert len(bad_boxes.scores) == len(bad_scores.scores) == 0


def test_none_keeps_the_models_own_limits() -> None:
    own = NmsSpec(0.3, 0.6, 10, 20, clip_first=True)
    assert limits(own, None, None, None) == own


def test_the_users_limits_replace_the_models() -> None:
    own = NmsSpec(0.3, 0.6, 10, 20, clip_first=True)
    assert limits(own, 0.0, 1.0, 5) == NmsSpec(0.0, 1.0, 10, 5, clip_first=True)
    # A limit above the model's own must not end at the model's limit per class.
    assert limits(own, None, None, 50) == NmsSpec(0.3, 0.6, 50, 50, clip_first=True)
