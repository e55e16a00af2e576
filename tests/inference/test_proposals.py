"""From the region proposal network's maps to proposals, on maps small enough to work out by hand."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrcnn_cv.inference.coordinates import geometry
from mrcnn_cv.inference.proposals import find_proposals, foreground
from mrcnn_cv.model.definition import AnchorSpec, ModelDefinition

Float = NDArray[np.float32]


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def maps(objectness: Float, encodings: Float | None = None) -> tuple[Float, Float]:
    """The network's maps (NCHW) for one anchor per cell with the objectness of an (h, w) array; boxes on anchors."""
    logits = np.zeros((1, 2, *objectness.shape), np.float32)
    logits[0, 1] = np.vectorize(logit)(objectness)
    shape = (1, 4, *objectness.shape)
    return (np.zeros(shape, np.float32) if encodings is None else encodings.reshape(shape)), logits


def propose(
    encodings: Float, logits: Float, spec: ModelDefinition, size: tuple[int, int], padded: tuple[int, int]
) -> NDArray[np.float32]:
    """Proposals of a model with one map, for an image of `size` in an input of `padded` pixels."""
    return find_proposals([encodings], [logits], spec, geometry(size, (0, 0), padded, "pixels"))


def test_objectness_is_the_foregrounds_share() -> None:
    found = foreground(np.array([[0, 0], [0, np.log(3)], [1000, -1000], [np.inf, np.inf]], np.float32))
    np.testing.assert_allclose(found, [0.5, 0.75, 0, np.nan], rtol=1e-6)


def test_best_first_as_fractions_of_the_input(spec: ModelDefinition) -> None:
    encodings, logits = maps(np.array([[0.2, 0.9], [0.6, 0.7]], np.float32))
    found = propose(encodings, logits, spec, (32, 32), (32, 32))
    np.testing.assert_allclose(
        found, [[0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1], [0.5, 0, 1, 0.5], [0, 0, 0.5, 0.5]], atol=1e-7
    )


def test_anchors_of_a_cell_are_neighbouring_channels(spec: ModelDefinition) -> None:
    """Channels are y x h w of the first anchor, then of the second; background and foreground likewise."""
    two = AnchorSpec(((16.0, 16.0), (4.0, 4.0)), (16.0, 16.0), (8.0, 8.0), clip_to_image=True)
    encodings = np.zeros((1, 8, 1, 1), np.float32)
    encodings[0, 4] = 10.0  # the second anchor moves down by its own height
    logits = np.array([0, logit(0.6), 0, logit(0.8)], np.float32).reshape(1, 4, 1, 1)
    found = propose(encodings, logits, replace(spec, anchors=(two,)), (16, 16), (16, 16))
    np.testing.assert_allclose(found * 16, [[10, 6, 14, 10], [0, 0, 16, 16]], atol=1e-5)


def test_the_score_must_be_above_the_threshold(spec: ModelDefinition) -> None:
    half = replace(spec, proposal_nms=replace(spec.proposal_nms, score_threshold=0.5))
    encodings, logits = maps(np.array([[0.5, 0.51]], np.float32))
    found = propose(encodings, logits, half, (16, 32), (16, 32))
    np.testing.assert_allclose(found, [[0, 0.5, 1, 1]], atol=1e-7)


def test_no_more_than_the_limit(spec: ModelDefinition) -> None:
    few = replace(spec, proposal_nms=replace(spec.proposal_nms, max_per_class=3, max_total=3))
    encodings, logits = maps(np.linspace(0.1, 0.9, 16, dtype=np.float32).reshape(4, 4))
    found = propose(encodings, logits, few, (64, 64), (64, 64))
    np.testing.assert_allclose(found[:, :2] * 4, [[3, 3], [3, 2], [3, 1]], atol=1e-6)


def shifted_pair() -> tuple[Float, Float]:
    """Two boxes over the left border that overlap by 8/9 before clipping and by 2/3 after it."""
    encodings = np.zeros((1, 4, 1, 2), np.float32)
    # The anchors are 0..16 and 16..32; centres go to -6 and -5, which leaves 2 and 3 pixels inside.
    encodings[0, 1] = [10 * (-6 - 8) / 16, 10 * (-5 - 24) / 16]
    return encodings, maps(np.array([[0.9, 0.8]], np.float32))[1]


def test_newer_exporters_suppress_before_they_clip_older_ones_after(spec: ModelDefinition) -> None:
    encodings, logits = shifted_pair()
    found = propose(encodings, logits, spec, (16, 32), (16, 32))
    np.testing.assert_allclose(found * [16, 32, 16, 32], [[0, 0, 16, 2]], atol=1e-4)
    clip_first = replace(spec, proposal_nms=replace(spec.proposal_nms, clip_first=True))
    found = propose(encodings, logits, clip_first, (16, 32), (16, 32))
    np.testing.assert_allclose(found * [16, 32, 16, 32], [[0, 0, 16, 2], [0, 0, 16, 3]], atol=1e-4)


def test_boxes_wholly_outside_the_image_go(spec: ModelDefinition) -> None:
    """Newer exporters let them take places of the limit first; older ones do not."""
    encodings = np.zeros((1, 4, 1, 2), np.float32)
    encodings[0, 1, 0, 0] = -30
    _, logits = maps(np.array([[0.9, 0.8]], np.float32))
    one = replace(spec, proposal_nms=replace(spec.proposal_nms, max_per_class=1, max_total=1))
    assert len(propose(encodings, logits, one, (16, 32), (16, 32))) == 0
    older = replace(one, proposal_nms=replace(one.proposal_nms, clip_first=True))
    np.testing.assert_allclose(propose(encodings, logits, older, (16, 32), (16, 32)), [[0, 0.5, 1, 1]], atol=1e-7)


def test_proposals_end_at_the_image_and_not_at_the_padding(spec: ModelDefinition) -> None:
    encodings, logits = maps(np.array([[0.9, 0.8], [0.7, 0.6]], np.float32))
    found = propose(encodings, logits, spec, (20, 24), (32, 32))
    np.testing.assert_allclose(
        found * 32, [[0, 0, 16, 16], [0, 16, 16, 24], [16, 0, 20, 16], [16, 16, 20, 24]], atol=1e-5
    )


def test_maps_that_are_no_numbers_give_no_proposals_and_no_warning(spec: ModelDefinition) -> None:
    encodings, logits = maps(np.array([[0.9, 0.8]], np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(propose(encodings + np.nan, logits, spec, (16, 32), (16, 32))) == 0
        assert len(propose(encodings, logits + np.inf, spec, (16, 32), (16, 32))) == 0


number = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, float("nan"), float("inf"), -3e38, 3e38]))


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(number, min_size=24, max_size=24),
    st.lists(number, min_size=12, max_size=12),
    st.sampled_from(["softmax", "sigmoid", "logits"]),
    st.booleans(),
    st.sampled_from([{}, {"per_level": True, "pre_nms_top_n": 2}, {"min_box_size": None}, {"min_box_size": 3.0}]),
)
def test_whatever_the_numbers_proposals_lie_inside(
    spec: ModelDefinition,
    encodings: list[float],
    logits: list[float],
    objectness: Any,
    clip_first: bool,
    changes: dict[str, Any],
) -> None:
    """Two levels of 1 x 2 and 1 x 4 cells."""
    boxes, scores = np.array(encodings, np.float32), np.array(logits, np.float32)
    channels = 2 if objectness == "softmax" else 1
    nms = replace(spec.proposal_nms, max_total=4, clip_first=clip_first, **changes)
    spec = replace(spec, anchors=spec.anchors * 2, objectness=objectness, proposal_nms=nms)
    maps = (
        [boxes[:8].reshape(1, 4, 1, 2), boxes[8:].reshape(1, 4, 1, 4)],
        [part.reshape(1, channels, 1, -1) for part in (scores[: 2 * channels], scores[2 * channels : 6 * channels])],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_proposals(*maps, spec, geometry((12, 60), (2, 0), (16, 64), "pixels"))
    assert len(found) <= 4
    least, most = np.array([2 / 16, 0] * 2, np.float32), np.array([14 / 16, 60 / 64] * 2, np.float32)
    assert ((found >= least) & (found <= most)).all()
