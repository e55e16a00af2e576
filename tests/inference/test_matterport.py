"""What matterport's own functions answered to small questions; scripts/matterport/make_unit_answers.py asks them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv import Instances
from mrcnn_cv.inference.preprocess.resize import padded_size, prepare, resized_size
from mrcnn_cv.inference.preprocess.resize_skimage import resize_zero_border
from mrcnn_cv.model.definition import ResizeSpec
from mrcnn_cv.structures.masks import paste
from tests.conftest import DATA

Answers = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def asked() -> Answers:
    with np.load(DATA / "matterport_answers.npz") as arrays:
        return dict(arrays)


def rule(mode: int, least: float, most: float, scale: float) -> ResizeSpec:
    """matterport's modes square (0) and pad64 (1)."""
    return ResizeSpec(
        "keep_aspect",
        min_dimension=int(least) or None,
        max_dimension=None if mode else int(most),
        min_scale=float(scale) or None,
        pad_to_max=not mode,
        pad_multiple=64 if mode else None,
        pad_centered=True,
        shrinks=False,
        zero_border=True,
        truncate_pixels=True,
    )


def test_sizes_and_windows(asked: Answers) -> None:
    for question, answer in zip(asked["size_questions"], asked["size_answers"], strict=True):
        height, width, mode, least, most, scale = question
        spec = rule(int(mode), least, most, scale)
        size = resized_size(spec, int(height), int(width))
        assert padded_size(spec, size) == tuple(answer[:2])
        assert size == (answer[4] - answer[2], answer[5] - answer[3])
        if max(height, width) < 100 and min(size) > 0:
            found = prepare(np.zeros((int(height), int(width), 3), np.uint8), spec, ())
            assert found.offset == tuple(answer[2:4])


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("kind", ["noise", "flat"])
def test_pixels_are_equal_bit_for_bit(asked: Answers, kind: str, index: int) -> None:
    image, expected = asked[f"{kind}_{index}"], asked[f"{kind}_{index}_resized"]
    for whole, answer in ((True, expected), (False, asked[f"{kind}_{index}_unrounded"])):
        found = np.empty((3, *expected.shape[:2]), np.float32)
        resize_zero_border(np.ascontiguousarray(image.transpose(2, 0, 1)), expected.shape[:2], whole, found)
        np.testing.assert_array_equal(found.transpose(1, 2, 0), answer)


def test_the_image_lies_in_the_middle_of_a_black_square() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    found = prepare(image, rule(0, 0, 64, 1.6), ())
    assert (found.size, found.offset, found.pixels.shape) == ((32, 64), (16, 0), (1, 3, 64, 64))
    assert (found.pixels[0, :, 20:44, 4:60] == 200).all()
    assert (found.pixels[0, :, :16] == 0).all()
    assert (found.pixels[0, :, 48:] == 0).all()


def test_masks_are_pasted_as_matterport_pastes_them(asked: Answers) -> None:
    count = len(asked["mask_boxes"])
    pixels = np.unpackbits(asked["mask_pixels"])[: count * 60 * 80].reshape(count, 60, 80).astype(bool)
    boxes = asked["mask_boxes"][:, [1, 0, 3, 2]].astype(np.float32)
    probabilities = asked["mask_probabilities"].astype(np.float32)
    found = Instances(
        boxes, np.ones(count, np.float32), np.ones(count, np.int32), ["x"] * count, probabilities, (60, 80)
    )
    found.mask_sampling = "centers"
    assert pixels.any(axis=(1, 2)).sum() > count // 2
    different = [int((found.full_mask(index) != pixels[index]).sum()) for index in range(count)]
    assert different == [0] * count


def test_a_mask_fades_to_nothing_beyond_its_outermost_samples() -> None:
    box = np.array([0, 0, 8, 8], np.float32)
    local = paste(np.full((2, 2), 0.8, np.float32), box, (8, 8), 0.5, "centers")
    # At 0.625 of the way from the edge to the first sample, 0.8 has become 0.5.
    assert local.mask.sum(axis=0).tolist() == [0, 6, 6, 6, 6, 6, 6, 0]
