"""Run lengths back to masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from mrcnn_cv.structures.masks import LocalMask, from_rle, to_rle


@settings(deadline=None, max_examples=300)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 0.03, 0.5, 0.97, 1]),
)
def test_any_mask_comes_back_cut_to_its_pixels(size: tuple[int, int], seed: int, share: float) -> None:
    full = np.random.default_rng(seed).random(size) < share
    runs = coco.encode(np.asfortranarray(full.astype(np.uint8)))
    top, left, mask = from_rle({"size": list(size), "counts": runs["counts"].decode()})
    rows, columns = mask.shape
    back = np.zeros(size, dtype=np.bool_)
    back[top : top + rows, left : left + columns] = mask
    assert np.array_equal(back, full)
    if mask.size:
        assert all(edge.any() for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    else:
        assert not full.any()


def test_long_runs_and_far_masks() -> None:
    mask = LocalMask(70_000, 9, np.ones((20_000, 3), dtype=np.bool_))
    top, left, back = from_rle(to_rle(mask, (100_000, 1000)))
    assert (top, left, back.shape) == (70_000, 9, (20_000, 3))
    assert back.all()


def test_runs_of_another_image_are_refused() -> None:
    rle = to_rle(LocalMask(0, 0, np.ones((2, 2), dtype=np.bool_)), (4, 4))
    with pytest.raises(ValueError, match="16 pixels of an image of 5 x 4"):
        from_rle({"size": [4, 5], "counts": rle["counts"]})
