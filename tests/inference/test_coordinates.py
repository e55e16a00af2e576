"""Boxes between the trunk's input and the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_cv.inference.coordinates import detector_postprocess, geometry


def test_an_image_in_the_middle_of_its_padding() -> None:
    layout = geometry((50, 100), (25, 0), (100, 100), "pixels")
    boxes = np.array([[25, 0, 75, 100], [50, 50, 75, 75]], np.float32)
    np.testing.assert_allclose(layout.fractions(boxes), [[0.25, 0.0, 0.75, 1.0], [0.5, 0.5, 0.75, 0.75]], rtol=1e-6)
    in_image = layout.fractions_of_image(boxes)
    np.testing.assert_allclose(in_image, [[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 1.0, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(
        detector_postprocess(in_image, (200, 400), "pixels"), [[0, 0, 400, 200], [200, 100, 300, 200]]
    )


def test_between_pixel_centres_the_last_pixel_is_a_side_less_one() -> None:
    """matterport's utils.norm_boxes and denorm_boxes: (boxes - [0, 0, 1, 1]) / (side - 1), and back."""
    layout = geometry((50, 100), (25, 0), (100, 100), "centers")
    assert layout.extent == (99, 99)
    whole = np.array([[25, 0, 74, 99]], np.float32)
    np.testing.assert_allclose(layout.fractions(whole), [[25 / 99, 0, 74 / 99, 1]], rtol=1e-6)
    np.testing.assert_allclose(layout.fractions_of_image(whole), [[0, 0, 1, 1]], rtol=1e-6)
    np.testing.assert_allclose(
        detector_postprocess(np.array([[0, 0, 1, 1]], np.float32), (200, 400), "centers"), [[0, 0, 400, 200]]
    )


side = st.integers(1, 3000)
share = st.floats(0, 1, width=32)


@settings(deadline=None)
@given(side, side, side, side, st.integers(0, 50), st.tuples(share, share), st.sampled_from(["pixels", "centers"]))
def test_a_box_comes_back_to_where_it_was_in_the_image(
    height: int, width: int, rows: int, columns: int, offset: int, corner: tuple[float, float], edges: Any
) -> None:
    """From the image into the trunk's input by hand, and back; a side of one pixel has no length between centres."""
    less = 0 if edges == "pixels" else 1
    layout = geometry((rows, columns), (offset, 0), (rows + 2 * offset, columns + 7), edges)
    shares = np.array([[0, 0, *corner]], np.float32)
    lengths = np.array([max(rows - less, 1), max(columns - less, 1)] * 2, np.float32)
    boxes = shares * lengths + np.array([offset, 0, offset, 0], np.float32)
    assert layout.window == (offset, 0, offset + lengths[0], lengths[1])
    found = layout.fractions_of_image(boxes)
    np.testing.assert_allclose(found, shares, atol=1e-3)
    back = detector_postprocess(found, (height, width), edges)
    x2, y2 = corner[1] * (width - less) + less, corner[0] * (height - less) + less
    np.testing.assert_allclose(back, [[0, 0, x2, y2]], atol=1e-3 * max(height, width))
    whole = layout.fractions(np.array([[0, 0, *layout.extent]], np.float32))
    np.testing.assert_allclose(whole, [[0, 0, 1, 1]], rtol=1e-6)
