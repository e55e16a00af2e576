"""Detectron2's resizing: Pillow is the judge of the pixels, closed form of the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mrcnn_cv.inference.preprocess.resize import prepare, resized_size
from mrcnn_cv.inference.preprocess.resize_pillow import resize_antialiased
from mrcnn_cv.model.definition import ResizeSpec

sides = st.integers(1, 150)


@given(sides, sides, sides, sides, st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_pixels_are_those_of_pillow(height: int, width: int, new_height: int, new_width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = np.empty((3, new_height, new_width), dtype=np.float32)
    resize_antialiased(np.ascontiguousarray(image.transpose(2, 0, 1)), (new_height, new_width), out)
    # The rows first, as Pillow before 13 always does; later ones may begin with the columns.
    across = Image.fromarray(image).resize((new_width, height), Image.Resampling.BILINEAR)
    theirs = np.asarray(across.resize((new_width, new_height), Image.Resampling.BILINEAR))
    assert (out.transpose(1, 2, 0) == theirs).all()


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    out = np.empty((3, 7, 9), dtype=np.float32)
    resize_antialiased(np.ascontiguousarray(image.transpose(2, 0, 1)), (7, 9), out)
    assert (out.transpose(1, 2, 0) == image).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1067)),  # 1066.67
        ((640, 480), (1067, 800)),
        ((500, 500), (800, 800)),
        ((427, 640), (800, 1199)),  # 1199.06
        ((1080, 1920), (750, 1333)),  # the longer side decides: 749.8
        ((300, 1000), (400, 1333)),  # 399.9
        ((2, 3999), (1, 1333)),  # 0.67
        ((800, 1333), (800, 1333)),
        ((16, 1), (1333, 83)),  # 83.31
    ],
)
def test_sides_are_rounded_half_up(size: tuple[int, int], expected: tuple[int, int]) -> None:
    spec = ResizeSpec("keep_aspect", 800, 1333, rounding="half_up", method="antialiased")
    assert resized_size(spec, *size) == expected


def test_padding_is_zero_behind_the_preprocessing() -> None:
    spec = ResizeSpec(
        "keep_aspect", 40, 100, rounding="half_up", method="antialiased", pad_multiple=32, pad_prepared=True
    )
    found = prepare(np.full((20, 30, 3), 200, np.uint8), spec, ())
    assert (found.pixels.shape, found.size) == ((1, 3, 64, 64), (40, 60))
    assert (found.pixels[:, :, :40, :60] == 200).all()
    assert not found.pixels[:, :, 40:].any()
    assert not found.pixels[:, :, :, 60:].any()
