"""The masks of the detections' own classes, against the same choice one sample at a time."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_cv.inference.detections import sigmoid
from mrcnn_cv.inference.masks import select_masks

few = st.integers(1, 3)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 4), few, few, few, st.integers(1, 2), st.booleans())
def test_each_detection_has_the_mask_of_its_class(
    count: int, classes: int, height: int, width: int, mask_block_size: int, agnostic: bool
) -> None:
    random = np.random.default_rng(count)
    channels = mask_block_size**2 * (1 if agnostic else classes)
    logits = random.normal(size=(count, channels, height, width)).astype(np.float32)
    own = random.integers(0, classes, count).astype(np.intp)
    found = select_masks(logits, own, mask_block_size)
    assert found.shape == (count, height * mask_block_size, width * mask_block_size)
    for index, y, x in np.ndindex(*found.shape):
        block = (y % mask_block_size) * mask_block_size + x % mask_block_size
        channel = block if agnostic else block * classes + own[index]
        logit = float(logits[index, channel, y // mask_block_size, x // mask_block_size])
        assert math.isclose(found[index, y, x], 1 / (1 + math.exp(-logit)), rel_tol=1e-5)


@given(st.lists(st.floats(width=32), max_size=9))
def test_probabilities_of_whatever_logits(logits: list[float]) -> None:
    found = sigmoid(np.array(logits, np.float32))
    assert (np.isnan(found) == np.isnan(logits)).all()
    known = found[~np.isnan(found)]
    assert ((known >= 0) & (known <= 1)).all()
