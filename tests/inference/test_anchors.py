"""The grid of anchors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_cv.inference.proposals import anchor_grid
from mrcnn_cv.model.definition import AnchorSpec, anchor_sizes


def test_one_anchor_per_cell_in_closed_form() -> None:
    spec = AnchorSpec(sizes=((4.0, 10.0),), stride=(8.0, 16.0), offset=(1.0, 3.0), clip_to_image=False)
    found = anchor_grid(spec, 2, 2, (100, 100))
    np.testing.assert_array_equal(found, [[-1, -2, 3, 8], [-1, 14, 3, 24], [7, -2, 11, 8], [7, 14, 11, 24]])


def test_clipped_to_the_image() -> None:
    spec = AnchorSpec(sizes=((4.0, 10.0),), stride=(8.0, 16.0), offset=(1.0, 3.0), clip_to_image=True)
    found = anchor_grid(spec, 2, 2, (10, 20))
    np.testing.assert_array_equal(found, [[0, 0, 3, 8], [0, 14, 3, 20], [7, 0, 10, 8], [7, 14, 10, 20]])


def test_order_is_that_of_the_object_detection_api() -> None:
    """Row by row, cell by cell; in a cell ratios outside and scales inside; wide for ratios above one."""
    scales, ratios, base, stride, offset = (0.25, 0.5, 2.0), (0.5, 1.0, 2.0), (256.0, 128.0), (16.0, 8.0), (2.0, -3.0)
    expected = []
    for row in range(3):
        for column in range(4):
            for ratio in ratios:
                for scale in scales:
                    height, width = scale / ratio**0.5 * base[0], scale * ratio**0.5 * base[1]
                    y, x = row * stride[0] + offset[0], column * stride[1] + offset[1]
                    expected.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2))
    spec = AnchorSpec(anchor_sizes(scales, ratios, base), stride, offset, clip_to_image=False)
    np.testing.assert_allclose(anchor_grid(spec, 3, 4, (48, 32)), expected, rtol=1e-6, atol=1e-4)


def test_nobody_can_change_the_shared_grid() -> None:
    spec = AnchorSpec(sizes=((4.0, 4.0),), stride=(8.0, 8.0), offset=(0.0, 0.0), clip_to_image=False)
    with pytest.raises(ValueError, match="read-only"):
        anchor_grid(spec, 2, 2, (16, 16))[0] = 0


size = st.floats(0.25, 500, width=32)
place = st.floats(-64, 64, width=32)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(size, size), min_size=1, max_size=3),
    st.one_of(st.none(), st.tuples(size, size)),
    st.tuples(place, place),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.booleans(),
)
def test_equal_to_a_slow_reference(
    sizes: list[tuple[float, float]],
    stride: tuple[float, float] | None,
    offset: tuple[float, float],
    cells: tuple[int, int],
    clipped: bool,
) -> None:
    height, width = 97, 41
    steps = stride or (height // cells[0], width // cells[1])
    expected = []
    for row, column in np.ndindex(*cells):
        y, x = row * steps[0] + offset[0], column * steps[1] + offset[1]
        for tall, wide in sizes:
            corners = (y - tall / 2, x - wide / 2, y + tall / 2, x + wide / 2)
            limits = (height, width, height, width)
            expected.append([min(max(c, 0), m) if clipped else c for c, m in zip(corners, limits, strict=True)])
    spec = AnchorSpec(tuple(sizes), stride, offset, clip_to_image=clipped)
    found = anchor_grid(spec, *cells, (height, width))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
