"""Sums on boxes."""

from __future__ import annotations

import math
import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_cv.inference.box_ops import apply_deltas, areas, clip, is_nonempty
from mrcnn_cv.model.definition import BoxCoder

CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))
Box = tuple[float, float, float, float]

corners = st.floats(-500, 500, width=32)
lengths = st.floats(1, 300, width=32)
boxes = st.builds(lambda y, x, h, w: (y, x, y + h, x + w), corners, corners, lengths, lengths)
anything = st.floats(width=32)
quadruples = st.tuples(anything, anything, anything, anything)


def encode(box: Box, anchor: Box, coder: BoxCoder) -> Box:
    """Faster R-CNN, section 3.1.2, equation 2."""
    (h, w), (ha, wa) = ((b[2] - b[0], b[3] - b[1]) for b in (box, anchor))
    (y, x), (ya, xa) = (((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in (box, anchor))
    s = coder.scales
    return s[0] * (y - ya) / ha, s[1] * (x - xa) / wa, s[2] * math.log(h / ha), s[3] * math.log(w / wa)


def test_decode_in_closed_form() -> None:
    """The centre moves by a tenth of the anchor per unit; a size of 5 ln 2 doubles it."""
    twice = 5 * math.log(2)
    found = apply_deltas(
        np.array([[0, 0, 0, 0], [1, -2, 0, 0], [0, 0, twice, -twice]], np.float32),
        np.array([[10, 20, 30, 60]] * 3, np.float32),
        CODER,
    )
    np.testing.assert_allclose(found, [[10, 20, 30, 60], [12, 12, 32, 52], [0, 30, 40, 50]], rtol=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(boxes, boxes), min_size=1, max_size=5), st.sampled_from([CODER, BoxCoder((1, 2, 3, 4))]))
def test_decode_undoes_encode(pairs: list[tuple[Box, Box]], coder: BoxCoder) -> None:
    encodings = np.array([encode(box, anchor, coder) for box, anchor in pairs], np.float32)
    found = apply_deltas(encodings, np.array([anchor for _, anchor in pairs], np.float32), coder)
    np.testing.assert_allclose(found, [box for box, _ in pairs], atol=0.02)


def test_an_encoding_that_overflows_is_an_infinite_box_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = apply_deltas(np.array([[0, 0, 1e6, 0]], np.float32), np.array([[0, 0, 1, 1]], np.float32), CODER)
    np.testing.assert_array_equal(found, [[-np.inf, 0, np.inf, 1]])


def test_growth_has_a_limit_where_the_model_has_one() -> None:
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0), bbox_xform_clip=math.log(4))
    encodings = np.array([[0, 0, 9, math.log(2)], [0, 0, -9, np.nan]], np.float32)
    found = apply_deltas(encodings, np.array([[0, 0, 2, 2]] * 2, np.float32), coder)
    np.testing.assert_allclose(found[0], [-3, -1, 5, 3], rtol=1e-6)
    np.testing.assert_allclose(found[1, [0, 2]], [1, 1], atol=1e-3)
    assert np.isnan(found[1, [1, 3]]).all()


@settings(deadline=None)
@given(
    st.lists(st.tuples(quadruples, quadruples), max_size=4),
    st.sampled_from([CODER, BoxCoder((0.1, 0.1, 0.2, 0.2), bbox_xform_clip=4.0)]),
)
def test_whatever_is_decoded_can_be_clipped_without_a_warning(pairs: list[tuple[Box, Box]], coder: BoxCoder) -> None:
    encodings, anchors = (np.array([pair[i] for pair in pairs], np.float32).reshape(-1, 4) for i in (0, 1))
    # Anchors are checked when a model is read.
    anchors = np.nan_to_num(np.clip(anchors, -1e6, 1e6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clip(apply_deltas(encodings, anchors, coder), (5, 0, 20, 30))
        assert is_nonempty(found, 0.0).shape == (len(pairs),)
    assert ((found >= [5, 0, 5, 0]) & (found <= [20, 30, 20, 30])).all()


@settings(deadline=None)
@given(quadruples)
def test_clipped_boxes_lie_inside_whatever_they_were(box: Box) -> None:
    found = clip(np.array([box], np.float32), (0, 0, 20, 30))
    assert ((found >= 0) & (found <= [20, 30, 20, 30])).all()
    np.testing.assert_array_equal(clip(found, (0, 0, 20, 30)), found)
    for before, after, limit in zip(box, found[0], (20, 30, 20, 30), strict=True):
        if 0 <= before <= limit:
            assert after == np.float32(before)


def test_solid_boxes_have_an_area_and_sides_that_are_long_enough() -> None:
    boxes = np.array([[0, 0, 2, 3], [1, 1, 1, 5], [3, 3, 1, 1], [0, 0, 9, 0.5], [0, np.nan, 5, 5]], np.float32)
    assert is_nonempty(boxes, 0.0).tolist() == [True, False, False, True, False]
    assert is_nonempty(boxes, 2.0).tolist() == [True, False, False, False, False]
    assert is_nonempty(boxes, None).all()
    assert is_nonempty(np.zeros((0, 4), np.float32), 0.0).shape == (0,)


def test_areas() -> None:
    found = areas(np.array([[0, 0, 2, 3], [1, 1, 1, 5], [2, 0, 1, 3]], np.float32))
    np.testing.assert_array_equal(found, [6, 0, -3])
