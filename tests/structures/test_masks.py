"""Masks from box to image, and to COCO's run-length encoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco
from threadpoolctl import ThreadpoolController, threadpool_limits

from mrcnn_cv.structures.masks import LocalMask, Sampling, fill_box, paste, to_rle
from mrcnn_cv.util.parallel import parallel_for
from tests.conftest import DATA

Float = NDArray[np.float32]
SIZE = (37, 53)
SAMPLINGS: tuple[Sampling, ...] = ("corners", "centers", "expanded")


def on_image(local: LocalMask, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    full = np.zeros(size, dtype=np.bool_)
    full[local.top : local.top + local.mask.shape[0], local.left : local.left + local.mask.shape[1]] = local.mask
    return full


def crop_and_resize(mask: Float, box: tuple[float, ...], size: tuple[int, int]) -> NDArray[np.float64]:
    """The API's reframe_box_masks_to_image_masks, one pixel at a time in double precision; box y1 x1 y2 x2, 0 to 1.

    The corners of the image are expressed in units of the box, and crop_and_resize samples the mask between them:
    the first and the last pixel lie on the corners, a single one lies in the middle, zeros beyond the mask.
    """

    def places(count: int, low: float, high: float, samples: int) -> list[float]:
        first, last = (0 - low) / (high - low), (1 - low) / (high - low)
        if count == 1:
            return [0.5 * (first + last) * (samples - 1)]
        return [(first + (last - first) * i / (count - 1)) * (samples - 1) for i in range(count)]

    result = np.zeros(size)
    rows, columns = mask.shape
    for y, down in enumerate(places(size[0], box[0], box[2], rows)):
        for x, across in enumerate(places(size[1], box[1], box[3], columns)):
            if not (0 <= down <= rows - 1 and 0 <= across <= columns - 1):
                continue
            top, left = int(down), int(across)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            v, u = down - top, across - left
            upper = mask[top, left] * (1 - u) + mask[top, right] * u
            lower = mask[bottom, left] * (1 - u) + mask[bottom, right] * u
            result[y, x] = upper * (1 - v) + lower * v
    return result


def in_pixels(box: tuple[float, ...], size: tuple[int, int]) -> Float:
    y1, x1, y2, x2 = box
    return np.array([x1 * size[1], y1 * size[0], x2 * size[1], y2 * size[0]], np.float32)


@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_pasted_masks_are_the_apis(index: int, threshold: float) -> None:
    """The API's own masks of whole images, made by TensorFlow; boxes over the border, tiny and outside among them."""
    with np.load(DATA / "unit_answers.npz") as answers:
        mask, box = answers["paste_masks"][index], answers["paste_boxes"][index]
        expected = answers["paste_images"][index]
    found = on_image(paste(mask, in_pixels(box.tolist(), SIZE), SIZE, threshold, "corners"))
    # Float noise may decide over a pixel that is right at the threshold or on the border of the box.
    sure = (np.abs(expected - threshold) > 1e-4) & ~on_border(box.tolist())
    np.testing.assert_array_equal(found[sure], (expected > threshold)[sure])
    assert sure.mean() > 0.9


def on_border(box: list[float]) -> NDArray[np.bool_]:
    """Pixels whose sample lies on an edge of the box, where TensorFlow's rounding decides over in or out."""
    y, x = (np.arange(n) / (n - 1) for n in SIZE)
    rows = np.minimum(np.abs(y - box[0]), np.abs(y - box[2])) < 1e-6
    columns = np.minimum(np.abs(x - box[1]), np.abs(x - box[3])) < 1e-6
    return np.asarray(rows[:, None] | columns[None])


fraction = st.floats(-0.5, 1.5, width=32)


@settings(max_examples=60, deadline=None)
@given(st.tuples(fraction, fraction, fraction, fraction), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_pasted_masks_equal_a_slow_reference(box: tuple[float, ...], size: tuple[int, int]) -> None:
    y1, x1, y2, x2 = min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])
    if y2 - y1 < 0.01 or x2 - x1 < 0.01:
        return
    mask = np.random.default_rng(1).random((5, 4), dtype=np.float32)
    box = (y1, x1, y2, x2)
    expected = crop_and_resize(mask, box, size)
    # Half a step inside or outside, nothing depends on rounding.
    grown = crop_and_resize(np.ones_like(mask), (y1 - 1e-4, x1 - 1e-4, y2 + 1e-4, x2 + 1e-4), size) > 0
    shrunk = crop_and_resize(np.ones_like(mask), (y1 + 1e-4, x1 + 1e-4, y2 - 1e-4, x2 - 1e-4), size) > 0
    sure = (np.abs(expected - 0.5) > 1e-3) & (grown == shrunk)
    found = on_image(paste(mask, in_pixels(box, size), size, 0.5, "corners"), size)
    np.testing.assert_array_equal(found[sure], (expected > 0.5)[sure])


def blended(mask: Float, down: float, across: float) -> float:
    """The mask at a place counted in samples, bilinearly, zero beyond it."""
    rows, columns = mask.shape
    total = 0.0
    for row, column in np.ndindex(rows, columns):
        total += max(0.0, 1 - abs(down - row)) * max(0.0, 1 - abs(across - column)) * float(mask[row, column])
    return total


def in_cells(mask: Float, box: Float, size: tuple[int, int]) -> NDArray[np.float64]:
    """matterport's and Detectron2's paste, pixel by pixel: samples are centres of cells, zero outside of the box."""
    result = np.zeros(size)
    x1, y1, x2, y2 = (float(value) for value in box)
    for y, x in np.ndindex(*size):
        if y1 <= y + 0.5 <= y2 and x1 <= x + 0.5 <= x2:
            down = (y + 0.5 - y1) / (y2 - y1) * mask.shape[0] - 0.5
            result[y, x] = blended(mask, down, (x + 0.5 - x1) / (x2 - x1) * mask.shape[1] - 0.5)
    return result


def in_a_grown_box(mask: Float, box: Float, size: tuple[int, int]) -> NDArray[np.float64]:
    """torchvision's paste, pixel by pixel: a black frame of one sample around, corners cut off to whole pixels."""

    def pixels(start: np.float32, end: np.float32, samples: int) -> tuple[int, int]:
        half = (end - start) * np.float32(0.5) * np.float32((samples + 2) / samples)
        centre = (end + start) * np.float32(0.5)
        return int(centre - half), int(centre + half)

    framed = np.pad(mask, 1)
    (left, right), (top, bottom) = pixels(box[0], box[2], mask.shape[1]), pixels(box[1], box[3], mask.shape[0])
    height, width = max(bottom - top + 1, 1), max(right - left + 1, 1)
    result = np.zeros(size)
    for y in range(max(top, 0), min(bottom + 1, size[0])):
        for x in range(max(left, 0), min(right + 1, size[1])):
            down, across = (y - top + 0.5) * framed.shape[0] / height, (x - left + 0.5) * framed.shape[1] / width
            down, across = (
                min(max(place - 0.5, 0), count - 1) for place, count in zip((down, across), framed.shape, strict=True)
            )
            result[y, x] = blended(framed, down, across)
    return result


corner = st.floats(-6, 14, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(corner, corner, corner, corner),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from([("centers", in_cells), ("expanded", in_a_grown_box)]),
)
def test_other_samplings_equal_a_slow_reference(
    corners: tuple[float, ...], size: tuple[int, int], samples: tuple[int, int], rule: tuple[Sampling, Any]
) -> None:
    """Boxes over the border and outside of it, images of one pixel, and masks of one sample among them."""
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    if x2 - x1 < 0.01 or y2 - y1 < 0.01:
        return
    mask = np.random.default_rng(1).random(samples, dtype=np.float32)
    box = np.array([x1, y1, x2, y2], np.float32)
    expected = rule[1](mask, box, size)
    found = on_image(paste(mask, box, size, 0.5, rule[0]), size)
    sure = np.abs(expected - 0.5) > 1e-4
    np.testing.assert_array_equal(found[sure], (expected > 0.5)[sure])


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_probabilities_that_are_no_numbers_are_no_pixels_beyond_the_box(value: float, sampling: Sampling) -> None:
    mask = np.full((4, 4), 0.2, np.float32)
    mask[1, 1] = value
    found = on_image(paste(mask, np.array([10, 5, 20, 15], np.float32), SIZE, 0.5, sampling))
    assert not found[:, :8].any()
    assert not found[:, 22:].any()
    # Infinity alone is more than the threshold.
    assert found.any() == (value == np.inf)


def test_centres_sampling_gives_each_sample_its_cell() -> None:
    """With a sample per two pixels and no blending at the centres, a checkerboard stays one."""
    mask = np.array([[1, 0], [0, 1]], np.float32)
    found = on_image(paste(mask, np.array([2, 4, 6, 8], np.float32), (12, 12), 0.5, "centers"), (12, 12))
    expected = np.zeros((12, 12), np.bool_)
    expected[4:6, 2:4] = expected[6:8, 4:6] = True
    np.testing.assert_array_equal(found, expected)


def test_only_the_pixels_under_the_box_are_returned() -> None:
    local = paste(np.ones((15, 15), np.float32), np.array([10, 20, 14, 26], np.float32), (10000, 10000), 0.5, "corners")
    assert (local.top, local.left) == (20, 10)
    assert local.mask.shape == (6, 4)


def test_a_huge_box_covers_the_image_and_no_more() -> None:
    box = np.array([-1e9, -1e9, 1e9, 1e9], np.float32)
    for sampling in SAMPLINGS:
        local = paste(np.ones((15, 15), np.float32), box, SIZE, 0.5, sampling)
        assert on_image(local).all()


@pytest.mark.parametrize(
    "box",
    [
        (5, 5, 5, 9),
        (5, 5, 9, 5),
        (9, 9, 5, 5),
        (60, 5, 70, 9),
        (-20, 5, -3, 9),
        (5, 45, 9, 50),
        (np.nan, 0, 5, 5),
        (0, 0, 5, np.nan),
        (0, 0, np.inf, 5),
        (-np.inf, -np.inf, -np.inf, -np.inf),
    ],
)
def test_boxes_without_area_or_outside_or_without_numbers_have_no_mask(box: tuple[float, ...]) -> None:
    corners = np.array(box, np.float32)
    for sampling in SAMPLINGS:
        assert not on_image(paste(np.ones((15, 15), np.float32), corners, SIZE, 0.5, sampling)).any()
    assert not on_image(fill_box(corners, SIZE)).any()


def test_a_filled_box_covers_the_pixels_whose_centres_it_covers() -> None:
    expected = np.zeros(SIZE, np.bool_)
    expected[4:9, 3:12] = True
    np.testing.assert_array_equal(on_image(fill_box(np.array([2.6, 3.9, 12.4, 9.4], np.float32), SIZE)), expected)
    assert on_image(fill_box(np.array([-9, -9, 99, 99], np.float32), SIZE)).all()
    assert not on_image(fill_box(np.array([5, 60, 9, 70], np.float32), SIZE)).any()


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(0, 11), st.integers(0, 11), st.integers(0, 12), st.integers(0, 12)),
    st.integers(0, 2**32),
)
def test_rle_is_pycocotools(size: tuple[int, int], place: tuple[int, int, int, int], seed: int) -> None:
    """Any mask anywhere in the image encodes to the very text that COCO's own tool writes."""
    top, left = place[0] % size[0], place[1] % size[1]
    height, width = min(place[2], size[0] - top), min(place[3], size[1] - left)
    rng = np.random.default_rng(seed)
    local = LocalMask(top, left, rng.random((height, width)) < rng.choice([0, 0.2, 0.5, 0.9, 1]))
    full = on_image(local, size)
    found = to_rle(local, size)
    theirs = coco.encode(np.asfortranarray(full.astype(np.uint8)))
    assert found == {"size": list(size), "counts": theirs["counts"].decode()}
    np.testing.assert_array_equal(coco.decode(found).astype(np.bool_), full)


def test_rle_of_runs_longer_than_one_character() -> None:
    local = LocalMask(100, 2000, np.ones((3000, 1500), np.bool_))
    full = on_image(local, (4000, 6000))
    theirs = coco.encode(np.asfortranarray(full.astype(np.uint8)))
    assert to_rle(local, (4000, 6000))["counts"] == theirs["counts"].decode()


def test_blas_makes_no_threads_while_a_mask_is_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = ThreadpoolController().select(user_api="blas")
    counts: list[int] = []

    def noted(work: Callable[[range], None], count: int, minimum: int) -> None:
        counts.append(max(each.get_num_threads() for each in controller.lib_controllers))
        parallel_for(work, count, minimum=minimum)

    monkeypatch.setattr("mrcnn_cv.structures.masks.parallel_for", noted)
    with threadpool_limits(2, user_api="blas"):
        if max((each.get_num_threads() for each in controller.lib_controllers), default=1) < 2:
            pytest.skip("this BLAS has one thread")
        paste(np.ones((15, 15), np.float32), np.array([1, 1, 30, 20], np.float32), SIZE, 0.5, "corners")
    assert counts == [1]
