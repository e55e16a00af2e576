"""The trunk's input: TensorFlow's sizes, TensorFlow's pixels, zeros around them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrcnn_cv.errors import InputError
from mrcnn_cv.inference.preprocess.resize import padded_size, prepare, resize_bilinear, resized_size
from mrcnn_cv.model.definition import NormalizationStep, ResizeSpec

Image = NDArray[np.uint8]
sides = st.integers(1, 40)


def random_image(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def resized(image_rgb: Image, size: tuple[int, int], half_pixel: bool = False) -> NDArray[np.float32]:
    out = np.empty((3, *size), dtype=np.float32)
    resize_bilinear(image_rgb[:, :, ::-1], size, half_pixel, out)
    return out.transpose(1, 2, 0)


def pixel_by_pixel(image: Image, size: tuple[int, int], half_pixel: bool) -> NDArray[np.float32]:
    """TensorFlow's resize_bilinear_op.cc in the words of its documentation, one pixel at a time, in float32."""
    f = np.float32

    def sample(index: int, before: int, after: int) -> tuple[int, int, np.float32]:
        scale = f(before) / f(after)
        place = (f(index) + f(0.5)) * scale - f(0.5) if half_pixel else f(index) * scale
        low = int(np.floor(place))
        high = int(np.ceil(place)) if half_pixel else low + 1
        return max(low, 0), min(high, before - 1), f(place - f(low))

    result = np.empty((*size, 3), dtype=np.float32)
    for y in range(size[0]):
        top, bottom, down = sample(y, image.shape[0], size[0])
        for x in range(size[1]):
            left, right, across = sample(x, image.shape[1], size[1])
            for channel in range(3):
                a, b = f(image[top, left, channel]), f(image[top, right, channel])
                c, d = f(image[bottom, left, channel]), f(image[bottom, right, channel])
                upper, lower = a + (b - a) * across, c + (d - c) * across
                result[y, x, channel] = upper + (lower - upper) * down
    return result


@settings(deadline=None)
@given(sides, sides, sides, sides, st.booleans())
def test_equals_a_slow_reference_bit_for_bit(height: int, width: int, rows: int, columns: int, half: bool) -> None:
    height, width, rows, columns = height % 13 + 1, width % 13 + 1, rows % 13 + 1, columns % 13 + 1
    image = random_image(height, width, height * width)
    np.testing.assert_array_equal(resized(image, (rows, columns), half), pixel_by_pixel(image, (rows, columns), half))


@pytest.mark.parametrize(("name", "half"), [("corner", False), ("half_pixel", True)])
@pytest.mark.parametrize("index", range(5))
def test_equals_tensorflow(answers: dict[str, NDArray[Any]], index: int, name: str, half: bool) -> None:
    expected = answers[f"resize_{index}_{name}"]
    size: tuple[int, int] = expected.shape[:2]
    np.testing.assert_allclose(resized(answers[f"resize_{index}_image"], size, half), expected, atol=3e-5)


@pytest.mark.parametrize("aligned", [False, True], ids=["plain", "aligned"])
@pytest.mark.parametrize("method", ["nearest", "bicubic", "area"])
@pytest.mark.parametrize("index", range(5))
def test_other_methods_equal_tensorflow_bit_for_bit(
    answers: dict[str, NDArray[Any]], index: int, method: Literal["nearest", "bicubic", "area"], aligned: bool
) -> None:
    expected = answers[f"resize_{index}_{method}_{'aligned' if aligned else 'plain'}"]
    height, width = expected.shape[:2]
    spec = ResizeSpec("fixed", height=height, width=width, method=method, align_corners=aligned)
    found = prepare(answers[f"resize_{index}_image"][:, :, ::-1], spec, ()).pixels
    np.testing.assert_array_equal(found[0].transpose(1, 2, 0), expected)


@pytest.mark.parametrize("index", range(5))
def test_aligned_corners_equal_tensorflow(answers: dict[str, NDArray[Any]], index: int) -> None:
    expected = answers[f"resize_{index}_bilinear_aligned"]
    height, width = expected.shape[:2]
    spec = ResizeSpec("fixed", height=height, width=width, align_corners=True)
    found = prepare(answers[f"resize_{index}_image"][:, :, ::-1], spec, ()).pixels
    np.testing.assert_allclose(found[0].transpose(1, 2, 0), expected, atol=3e-5)


def test_rows_beyond_the_first_block_are_right_too() -> None:
    """The work is done in blocks of rows; a tall ramp is one straight line over all of them."""
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 3, axis=2)
    expected = np.minimum(np.arange(200) / 2, 99)
    np.testing.assert_array_equal(resized(ramp, (200, 1))[:, 0, 0], expected.astype(np.float32))


@settings(deadline=None)
@given(sides, sides)
def test_same_size_changes_nothing(height: int, width: int) -> None:
    image = random_image(height, width)
    np.testing.assert_array_equal(resized(image, (height, width)), image.astype(np.float32))


def test_keep_aspect_sizes_are_tensorflows(answers: dict[str, NDArray[Any]]) -> None:
    for low, high, height, width, new_height, new_width in answers["keep_aspect_sizes"].tolist():
        found = resized_size(ResizeSpec("keep_aspect", low, high), height, width)
        expected = (new_height, new_width)
        if new_height == 0:
            # TensorFlow fails where one side would have no pixel; the size itself says so here.
            expected = (0, high) if height < width else (high, 0)
        assert found == expected, (low, high, height, width)


def test_conditional_sizes_are_tensorflows(answers: dict[str, NDArray[Any]]) -> None:
    for low, high, height, width, new_height, new_width in answers["conditional_sizes"].tolist():
        spec = ResizeSpec("at_least", low) if low else ResizeSpec("at_most", max_dimension=high)
        assert resized_size(spec, height, width) == (new_height, new_width), (spec, height, width)


def test_keep_aspect_without_a_longer_limit() -> None:
    assert resized_size(ResizeSpec("keep_aspect", 100), 200, 1000) == (100, 500)


def test_fixed_shape_ignores_the_aspect() -> None:
    assert resized_size(ResizeSpec("fixed", height=96, width=128), 10, 1000) == (96, 128)
    assert prepare(random_image(10, 50), ResizeSpec("fixed", height=96, width=128), ()).pixels.shape == (1, 3, 96, 128)


def test_identity_keeps_the_size() -> None:
    assert resized_size(ResizeSpec("identity"), 31, 17) == (31, 17)


def test_padding_is_zeros_before_the_pixel_steps_at_the_bottom_and_the_right() -> None:
    spec = ResizeSpec("keep_aspect", 10, 20, pad_to_max=True)
    found = prepare(np.full((10, 15, 3), 200, np.uint8), spec, (NormalizationStep("sub", (7.0,)),))
    assert found.size == (10, 15)
    expected = np.full((1, 3, 20, 20), -7, np.float32)
    expected[..., :10, :15] = 193
    np.testing.assert_array_equal(found.pixels, expected)


def test_padding_with_another_colour_per_channel() -> None:
    """per_channel_pad_value is in RGB order, as the pixel steps are."""
    spec = ResizeSpec("keep_aspect", 10, 20, pad_to_max=True, pad_value=(1.0, 2.0, 3.0))
    found = prepare(np.zeros((10, 15, 3), np.uint8), spec, (NormalizationStep("mul", (2.0,)),)).pixels
    assert found[0, :, 19, 19].tolist() == [2, 4, 6]
    assert found[0, :, 9, 14].tolist() == [0, 0, 0]


def test_padding_to_a_multiple_is_zeros_before_the_pixel_steps() -> None:
    found = prepare(random_image(10, 16), ResizeSpec("identity", pad_multiple=8), (NormalizationStep("sub", (7.0,)),))
    assert (found.size, found.pixels.shape) == ((10, 16), (1, 3, 16, 16))
    assert (found.pixels[..., 10:, :] == -7).all()


def test_gray_is_the_weighted_sum_of_the_channels() -> None:
    blue, green, red = 10, 20, 30
    image = np.array([[[blue, green, red]]], dtype=np.uint8)
    found = prepare(image, ResizeSpec("identity", gray_weights=(0.5, 0.25, 0.125)), (NormalizationStep("sub", (1.0,)),))
    np.testing.assert_array_equal(found.pixels, [[[[0.5 * red + 0.25 * green + 0.125 * blue - 1]]]])


def test_pixel_steps_are_per_channel_in_rgb_order_one_after_the_other() -> None:
    blue, green, red = 10, 20, 30
    image = np.array([[[blue, green, red]]], dtype=np.uint8)
    steps = (
        NormalizationStep("mul", (2.0,)),
        NormalizationStep("add", (1.0, 2.0, 3.0)),
        NormalizationStep("div", (4.0,)),
    )
    found = prepare(image, ResizeSpec("identity"), steps).pixels
    np.testing.assert_array_equal(found.ravel(), [(2 * red + 1) / 4, (2 * green + 2) / 4, (2 * blue + 3) / 4])


def test_views_of_an_image_are_as_good_as_copies() -> None:
    image = random_image(20, 30)
    spec = ResizeSpec("fixed", height=9, width=7)
    view = image[::-1, 3:20:2]
    np.testing.assert_array_equal(prepare(view, spec, ()).pixels, prepare(view.copy(), spec, ()).pixels)


@pytest.mark.parametrize("shape", [(1, 2730), (7, 40000), (2730, 1)])
def test_an_image_without_a_shorter_side_left_is_refused(shape: tuple[int, int]) -> None:
    spec = ResizeSpec("keep_aspect", 800, 1365) if min(shape) == 1 else ResizeSpec("keep_aspect", 96, 160)
    with pytest.raises(InputError, match=f"{shape[1]}x{shape[0]}.*crop it"):
        prepare(random_image(*shape), spec, ())


def test_an_input_too_large_for_memory_is_refused_before_it_is_made() -> None:
    with pytest.raises(InputError, match="800x800000"):
        prepare(random_image(1000, 1), ResizeSpec("keep_aspect", 800), ())


TORCHVISION = ResizeSpec(
    "keep_aspect", 800, 1333, rounding="down", half_pixel_centers=True, pad_multiple=32, pad_prepared=True
)


@pytest.mark.parametrize(
    ("size", "resized", "padded"),
    [
        ((480, 640), (800, 1066), (800, 1088)),
        ((1080, 1920), (749, 1333), (768, 1344)),
        ((3000, 2000), (1200, 800), (1216, 800)),
        ((93, 200), (619, 1333), (640, 1344)),
        ((161, 163), (799, 809), (800, 832)),
        ((1, 5), (266, 1333), (288, 1344)),
    ],
)
def test_sides_rounded_down_are_torchvisions(
    size: tuple[int, int], resized: tuple[int, int], padded: tuple[int, int]
) -> None:
    """What torchvision 0.28's GeneralizedRCNNTransform makes of images of these sizes."""
    assert resized_size(TORCHVISION, *size) == resized
    assert padded_size(TORCHVISION, resized) == padded


def test_padding_that_is_zero_after_the_pixel_steps() -> None:
    """What torchvision's GeneralizedRCNNTransform(7, 12, ..., size_divisible=4) makes of a ramp of 4x5 pixels."""
    ramp = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) * 4
    spec = ResizeSpec("keep_aspect", 7, 12, rounding="down", half_pixel_centers=True, pad_multiple=4, pad_prepared=True)
    steps = (
        NormalizationStep("div", (255.0,)),
        NormalizationStep("sub", (0.5, 0.4, 0.3)),
        NormalizationStep("div", (0.2, 0.3, 0.4)),
    )
    network_input = prepare(np.ascontiguousarray(ramp[::-1].transpose(1, 2, 0)), spec, steps)
    assert network_input.size == (7, 8)
    assert network_input.pixels.shape == (1, 3, 8, 8)
    expected = [-2.5, -2.3676469, -2.2205882, -1.9117647, -1.7794118, -1.6323529, -1.3235295, -1.1911764, -1.0441176]
    np.testing.assert_allclose(network_input.pixels[0, 0, ::3, ::3].ravel(), expected, atol=1e-5)
    assert not network_input.pixels[0, :, 7].any()


def places(length: int, new_length: int, aligned: bool) -> tuple[np.float32, NDArray[np.float32]]:
    """Source pixels per pixel of the result, and where each of these begins, as TensorFlow's kernels have it."""
    f = np.float32
    is_aligned = aligned and length > 1 and new_length > 1
    scale = f(length - 1) / f(new_length - 1) if is_aligned else f(length) / f(new_length)
    return scale, np.arange(new_length).astype(np.float32) * scale


def keys_cubic(distance: float) -> float:
    """Keys' kernel with a = -0.75, whose argument TensorFlow rounds to a 1024th."""
    x, a = abs(round(distance * 1024) / 1024), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def weights(method: str, length: int, new_length: int, aligned: bool) -> NDArray[np.float64]:
    """(new_length, length): what each source pixel adds to each pixel of the result, from the definitions."""
    scale, starts = places(length, new_length, aligned)
    result = np.zeros((new_length, length))
    for new, start in enumerate(starts):
        if method == "nearest":
            result[new, min(int(start + np.float32(0.5 if aligned else 0)), length - 1)] = 1
        elif method == "bicubic":
            first = int(start)
            offset = float(start - np.float32(first))
            for old in range(first - 1, first + 3):
                result[new, min(max(old, 0), length - 1)] += keys_cubic(old - first - offset)
        elif method == "bilinear":
            first, fraction = int(start), float(start) % 1
            result[new, min(first, length - 1)] += 1 - fraction
            result[new, min(first + 1, length - 1)] += fraction
        else:
            end = float(np.float32(new + 1) * scale)
            for old in range(int(start), int(np.ceil(end))):
                covered = min(old + 1, end) - max(old, float(start))
                result[new, min(old, length - 1)] += max(covered, 0) / float(scale)
    return result


few = st.integers(1, 9)


@settings(deadline=None, max_examples=60)
@given(few, few, few, few, st.sampled_from(["nearest", "bicubic", "area", "bilinear"]), st.booleans())
def test_every_method_is_a_weighted_sum_by_its_definition(
    height: int, width: int, rows: int, columns: int, method: Any, aligned: bool
) -> None:
    """Single pixels, single rows and the same size among them."""
    image = random_image(height, width, 10 * height + width)
    spec = ResizeSpec("fixed", height=rows, width=columns, method=method, align_corners=aligned)
    down, across = weights(method, height, rows, aligned), weights(method, width, columns, aligned)
    expected = np.einsum("yh,hwc,xw->cyx", down, image[:, :, ::-1].astype(np.float64), across)
    np.testing.assert_allclose(prepare(image, spec, ()).pixels[0], expected, atol=0.02)


@settings(deadline=None, max_examples=40)
@given(few, few, few, few)
def test_a_black_border_is_blended_in(height: int, width: int, rows: int, columns: int) -> None:
    """Pixel centres at half a pixel, black outside, and never darker than the image where it has no black."""
    image = random_image(height, width, 10 * height + width)
    spec = ResizeSpec("fixed", height=rows, width=columns, zero_border=True)
    found = prepare(image, spec, ()).pixels[0]

    def value(y: float, x: float, channel: int) -> float:
        total = 0.0
        for row, column in np.ndindex(height, width):
            total += max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column)) * float(image[row, column, channel])
        return max(total, float(image.min()))

    for channel, y, x in np.ndindex(3, rows, columns):
        place = (y + 0.5) * height / rows - 0.5, (x + 0.5) * width / columns - 0.5
        assert abs(found[channel, y, x] - value(*place, 2 - channel)) < 1e-3
    whole = prepare(image, replace(spec, truncate_pixels=True), ()).pixels[0]
    assert (whole == np.trunc(whole)).all()
    assert (np.abs(whole - found) < 1.001).all()


RULES = (
    ResizeSpec("keep_aspect", 96, 160),
    ResizeSpec("keep_aspect", 96, 160, rounding="down"),
    ResizeSpec("keep_aspect", 96, 160, rounding="half_up"),
    ResizeSpec("keep_aspect", 96, 160, shrinks=False),
    ResizeSpec("keep_aspect", 96, 160, pad_to_max=True),
    ResizeSpec("keep_aspect", 96, 160, pad_multiple=32),
    ResizeSpec("at_least", 96),
    ResizeSpec("at_most", max_dimension=160),
)


@given(st.sampled_from(RULES), st.integers(1, 5000), st.integers(1, 5000))
def test_sizes_keep_to_the_limits_and_the_aspect(spec: ResizeSpec, height: int, width: int) -> None:
    rows, columns = resized_size(spec, height, width)
    padded = padded_size(spec, (rows, columns))
    assert rows <= padded[0]
    assert columns <= padded[1]
    if spec.max_dimension is not None:
        assert max(rows, columns) <= spec.max_dimension
    else:
        # What is cut off may be all but a pixel.
        assert min(rows, columns) >= 95
    # Either side is within a pixel of its share.
    assert abs(rows * width - columns * height) <= 1.01 * (height + width)
