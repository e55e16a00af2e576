"""From the box head's numbers to detections, on a handful of regions."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrcnn_cv.inference.coordinates import geometry
from mrcnn_cv.inference.detections import Detections, class_scores, find_detections, limits
from mrcnn_cv.model.definition import ModelDefinition, NmsSpec
from tests.inference.test_nms import greedy

Float = NDArray[np.float32]
LEFT, MIDDLE, RIGHT = (0.0, 0.0, 0.5, 0.2), (0.0, 0.4, 0.5, 0.6), (0.0, 0.8, 0.5, 1.0)


def detect(
    encodings: Float,
    logits: Float,
    proposals: Float,
    spec: ModelDefinition,
    nms: NmsSpec,
    wanted: NDArray[np.bool_] | None = None,
    size: tuple[int, int] = (100, 100),
) -> Detections:
    """Detections in an image of `size` on an input of 100 x 100; their boxes as fractions of the image."""
    layout = geometry(size, (0, 0), (100, 100), "pixels")
    found = find_detections(encodings, logits, proposals, spec, nms, layout, wanted)
    return found._replace(boxes=layout.fractions_of_image(found.boxes))


def find(
    spec: ModelDefinition, proposals: list[tuple[float, ...]], scores: list[list[float]], encodings: Float | None = None
) -> Detections:
    """Detections on an input of 100 x 100; scores (N, C) become logits of an identity conversion."""
    spec = replace(spec, score_activation="identity")
    logits = np.array([[0, *row] for row in scores], np.float32).reshape(len(scores), 3)
    if encodings is None:
        encodings = np.zeros((len(proposals), 8), np.float32)
    boxes = np.array(proposals, np.float32).reshape(-1, 4)
    return detect(encodings, logits, boxes, spec, spec.detection_nms)


def with_nms(spec: ModelDefinition, **changes: float | bool) -> ModelDefinition:
    return replace(spec, detection_nms=replace(spec.detection_nms, **changes))  # type: ignore[arg-type]


def test_softmax_takes_the_background_as_a_rival(spec: ModelDefinition) -> None:
    found = class_scores(np.log(np.array([[1, 2, 5], [6, 1, 1]], np.float32)), spec)
    np.testing.assert_allclose(found, [[0.25, 0.625], [0.125, 0.125]], rtol=1e-6)


def test_sigmoid_scores_each_class_alone(spec: ModelDefinition) -> None:
    logits = np.array([[50, 0, float(np.log(3))], [0, -1000, 1000]], np.float32)
    found = class_scores(logits, replace(spec, score_activation="sigmoid"))
    np.testing.assert_allclose(found, [[0.5, 0.75], [0.0, 1.0]], rtol=1e-6)


def test_identity_leaves_them_and_a_factor_scales_them_first(spec: ModelDefinition) -> None:
    found = class_scores(np.array([[9, 0.5, -2]], np.float32), replace(spec, score_activation="identity"))
    np.testing.assert_array_equal(found, [[0.5, -2]])
    halved = replace(spec, score_activation="sigmoid", logit_factor=0.5)
    found = class_scores(np.array([[9, 2 * np.log(3), 0]], np.float32), halved)
    np.testing.assert_allclose(found, [[0.75, 0.5]], rtol=1e-6)


def test_best_first_over_all_classes(spec: ModelDefinition) -> None:
    found = find(spec, [LEFT, MIDDLE, RIGHT], [[0.3, 0.1], [0.1, 0.9], [0.6, 0.0]])
    np.testing.assert_allclose(found.scores, [0.9, 0.6, 0.3, 0.1, 0.1], rtol=1e-6)
    assert found.classes.tolist() == [1, 0, 0, 0, 1]
    np.testing.assert_allclose(found.boxes, [MIDDLE, RIGHT, LEFT, MIDDLE, LEFT], atol=1e-6)


def test_of_equal_scores_the_lower_class_comes_first_then_the_better_region(spec: ModelDefinition) -> None:
    found = find(spec, [LEFT, RIGHT], [[0.5, 0.5], [0.5, 0.5]])
    assert found.classes.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(found.boxes, [LEFT, RIGHT, LEFT, RIGHT], atol=1e-6)


def test_boxes_of_one_class_suppress_each_other_and_no_others(spec: ModelDefinition) -> None:
    found = find(spec, [LEFT, LEFT], [[0.5, 0.6], [0.7, 0.4]])
    np.testing.assert_allclose(found.scores, [0.7, 0.6], rtol=1e-6)
    assert found.classes.tolist() == [0, 1]


def test_the_score_must_be_above_the_threshold(spec: ModelDefinition) -> None:
    found = find(
        with_nms(spec, score_threshold=0.5),
        [LEFT, RIGHT],
        [[0.5, 0], [np.nextafter(np.float32(0.5), np.float32(1)), 0]],
    )
    np.testing.assert_allclose(found.boxes, [RIGHT], atol=1e-6)


def test_limit_per_class_and_limit_in_all(spec: ModelDefinition) -> None:
    scores = [[0.9, 0.3], [0.8, 0.2], [0.7, 0.1]]
    found = find(with_nms(spec, max_per_class=2), [LEFT, MIDDLE, RIGHT], scores)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.3, 0.2], rtol=1e-6)
    found = find(with_nms(spec, max_per_class=2, max_total=3), [LEFT, MIDDLE, RIGHT], scores)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.3], rtol=1e-6)


def test_newer_exporters_suppress_before_they_clip_older_ones_after(spec: ModelDefinition) -> None:
    """Two boxes over the left border that overlap much, but whose parts inside overlap little."""
    half = (0.5, 0.1, 1.0, 0.3)
    encodings = np.zeros((2, 8), np.float32)
    encodings[:, 1] = [10 * -0.28 / 0.2, 10 * -0.22 / 0.2]  # centres at -0.08 and -0.02: 0.02 and 0.08 are left
    scores = [[0.9, 0], [0.8, 0]]
    found = find(with_nms(spec, iou_threshold=0.4), [half, half], scores, encodings)
    np.testing.assert_allclose(found.boxes, [[0.5, 0, 1, 0.02]], atol=1e-6)
    found = find(with_nms(spec, iou_threshold=0.4, clip_first=True), [half, half], scores, encodings)
    np.testing.assert_allclose(found.boxes, [[0.5, 0, 1, 0.02], [0.5, 0, 1, 0.08]], atol=1e-6)


def test_boxes_are_clipped_to_the_image_and_those_outside_go(spec: ModelDefinition) -> None:
    encodings = np.zeros((2, 8), np.float32)
    encodings[0, 0], encodings[1, 1] = -5, 60
    found = find(spec, [LEFT, RIGHT], [[0.9, 0], [0.8, 0]], encodings)
    np.testing.assert_allclose(found.boxes, [[0, 0, 0.25, 0.2]], atol=1e-6)


def test_boxes_are_fractions_of_the_image_not_of_its_padding(spec: ModelDefinition) -> None:
    found = detect(
        np.zeros((1, 8), np.float32),
        np.array([[0, 5, 0]], np.float32),
        np.array([[0, 0, 0.5, 0.5]], np.float32),
        spec,
        spec.detection_nms,
        size=(60, 80),
    )
    np.testing.assert_allclose(found.boxes[0], [0, 0, 50 / 60, 50 / 80], rtol=1e-6)


def test_each_class_has_its_own_box_unless_they_share_one(spec: ModelDefinition) -> None:
    encodings = np.zeros((1, 8), np.float32)
    encodings[0, 5] = 10  # class 1 goes right by a width
    found = find(spec, [LEFT], [[0.9, 0.8]], encodings)
    np.testing.assert_allclose(found.boxes, [LEFT, (0, 0.2, 0.5, 0.4)], atol=1e-6)
    shared = np.array([[0, 10, 0, 0]], np.float32)
    found = find(replace(spec, class_agnostic_boxes=True), [LEFT], [[0.9, 0.8]], shared)
    np.testing.assert_allclose(found.boxes, [(0, 0.2, 0.5, 0.4)] * 2, atol=1e-6)
    assert found.classes.tolist() == [0, 1]


def test_only_wanted_classes_are_looked_at(spec: ModelDefinition) -> None:
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


def test_a_class_agnostic_suppression_takes_the_best_class_of_a_region(spec: ModelDefinition) -> None:
    """use_class_agnostic_nms: of two regions in one place the better stays, whatever their classes."""
    agnostic = replace(spec, detection_nms=replace(spec.detection_nms, class_agnostic=True))
    scores = [[0.9, 0.8], [0.1, 0.85], [0.2, 0.3]]
    found = find(agnostic, [LEFT, LEFT, RIGHT], scores)
    assert found.classes.tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes, [LEFT, RIGHT], atol=1e-6)
    assert len(find(spec, [LEFT, LEFT, RIGHT], scores).scores) > 2


def test_a_class_that_is_not_wanted_still_suppresses_where_the_model_does_so(spec: ModelDefinition) -> None:
    logits = np.array([[0, 9, 0], [0, 0, 8], [0, 0, 7]], np.float32)
    nms = replace(spec.detection_nms, class_agnostic=True)
    regions = np.array([LEFT, LEFT, RIGHT], np.float32)
    wanted = np.array([False, True])
    found = detect(np.zeros((3, 8), np.float32), logits, regions, spec, nms, wanted)
    np.testing.assert_allclose(found.boxes, [RIGHT], atol=1e-6)


def test_no_proposals_no_detections(spec: ModelDefinition) -> None:
    found = find(spec, [], [])
    assert found.boxes.shape == (0, 4)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert len(found.scores) == len(found.classes) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_of_a_diverged_head_give_nothing_and_no_warning(spec: ModelDefinition, value: float) -> None:
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


eighth = st.integers(0, 8).map(lambda number: number / 8)
corners = st.tuples(eighth, eighth, eighth, eighth).map(lambda b: (*map(min, b[:2], b[2:]), *map(max, b[:2], b[2:])))
score = st.sampled_from([0.0, 0.1, 0.2, 0.2, 0.5, 0.7, 0.9])
# The fixture is frozen numbers, the same for all examples.
with_fixture = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


def one_after_the_other(
    proposals: list[tuple[float, ...]], scores: list[tuple[float, ...]], nms: NmsSpec, size: tuple[int, int]
) -> list[tuple[Any, ...]]:
    """(score, class, box) as core/post_processing.py has it, each step in plain Python."""

    def cut(box: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(min(max(c, 0), most) for c, most in zip(box, (*size, *size), strict=True))

    def has_area(box: tuple[float, ...]) -> bool:
        return box[2] > box[0] and box[3] > box[1]

    found = []
    for index in range(2):
        boxes = [(tuple(100 * c for c in box), own[index]) for box, own in zip(proposals, scores, strict=True)]
        if nms.clip_first:
            boxes = [(cut(box), own) for box, own in boxes if has_area(cut(box))]
        corners = np.array([box for box, _ in boxes], np.float32).reshape(-1, 4)
        own_scores = np.array([own for _, own in boxes], np.float32)
        kept = greedy(corners, own_scores, nms.iou_threshold, nms.score_threshold, nms.max_per_class)
        found += [(boxes[i][1], index, boxes[i][0]) for i in kept]
    # Sorting is stable: of equal scores the lower class, then the one that was kept first.
    ordered = sorted(found, key=lambda each: -each[0])
    return [(own, index, cut(box)) for own, index, box in ordered if has_area(cut(box))][: nms.max_total]


@with_fixture
@given(
    st.lists(st.tuples(corners, st.tuples(score, score)), max_size=8),
    st.booleans(),
    st.sampled_from([0.05, 0.2]),
    st.sampled_from([0.0, 0.3, 0.6]),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_equal_to_a_slow_reference(
    spec: ModelDefinition,
    regions: list[tuple[Any, Any]],
    clip_first: bool,
    least: float,
    overlap: float,
    most_of_a_class: int,
    most: int,
) -> None:
    nms = NmsSpec(least, overlap, most_of_a_class, most, clip_first=clip_first)
    proposals, scores = [box for box, _ in regions], [own for _, own in regions]
    logits = np.array([[0, *row] for row in scores], np.float32).reshape(-1, 3)
    arguments = np.zeros((len(regions), 8), np.float32), logits, np.array(proposals, np.float32).reshape(-1, 4)
    layout = geometry((75, 100), (0, 0), (100, 100), "pixels")
    found = find_detections(*arguments, replace(spec, score_activation="identity"), nms, layout)
    expected = one_after_the_other(proposals, scores, nms, (75, 100))
    assert found.classes.tolist() == [index for _, index, _ in expected]
    np.testing.assert_array_equal(found.scores, np.array([own for own, _, _ in expected], np.float32))
    np.testing.assert_array_equal(found.boxes, np.array([box for _, _, box in expected], np.float32).reshape(-1, 4))


number = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, float("nan"), float("inf"), -3e38, 3e38]))


@with_fixture
@given(
    st.lists(st.tuples(*[number] * 8, *[number] * 3, corners), max_size=4),
    st.sampled_from(["softmax", "sigmoid", "identity"]),
    st.booleans(),
    st.sampled_from(
        [{}, {"class_agnostic": True}, {"argmax_class_only": True}, {"round_first": True}, {"min_box_size": None}]
    ),
)
def test_whatever_the_numbers_detections_are_finite_and_inside(
    spec: ModelDefinition, rows: list[tuple[Any, ...]], conversion: Any, clip_first: bool, changes: dict[str, Any]
) -> None:
    encodings, logits, proposals = (
        np.array([row[part] for row in rows], np.float32).reshape(len(rows), width)
        for part, width in ((slice(0, 8), 8), (slice(8, 11), 3), (11, 4))
    )
    nms = replace(NmsSpec(0.1, 0.5, 10, 3, clip_first=clip_first), **changes)
    layout = geometry((75, 100), (10, 0), (100, 100), "pixels")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_detections(encodings, logits, proposals, replace(spec, score_activation=conversion), nms, layout)
    assert len(found.boxes) == len(found.scores) == len(found.classes) <= 3
    assert ((found.boxes >= [10, 0, 10, 0]) & (found.boxes <= [85, 100, 85, 100])).all()
    assert (np.isfinite(found.scores) & (found.scores > np.float32(0.1))).all()
    assert (found.scores[1:] <= found.scores[:-1]).all()
