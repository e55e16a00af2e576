"""From an image to the backbone's input: TensorFlow's own resizing, then the model's pixel preprocessing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import InputError
from mrcnn_cv.inference.preprocess.resize_pillow import resize_antialiased
from mrcnn_cv.inference.preprocess.resize_skimage import resize_zero_border
from mrcnn_cv.inference.preprocess.resize_tensorflow import resample, step
from mrcnn_cv.model.definition import NormalizationStep, ResizeSpec
from mrcnn_cv.util.parallel import parallel_for

Float = NDArray[np.float32]

ROWS_AT_ONCE = 64
"""Rows of the result made at a time, so that the intermediate values stay in the processor's cache."""

MAX_INPUT_PIXELS = 1 << 26
"""Larger inputs than this (8192 x 8192) come from a wrong resizer, not from a photo."""


class NetworkInput(NamedTuple):
    """What the backbone takes.

    pixels: (1, 3, H, W) float32 RGB, or (1, 1, H, W) gray. size, offset: (height, width) of the image in it.
    """

    pixels: Float
    size: tuple[int, int]
    offset: tuple[int, int] = (0, 0)


def resized_size(spec: ResizeSpec, height: int, width: int) -> tuple[int, int]:
    """The (height, width) to which an image is resized, before padding.

    Source: TensorFlow's resize with preserve_aspect_ratio, as core/preprocessor.py (resize_to_range) calls it: float32
    factors, rounded half to even; resize_to_min_dimension and resize_to_max_dimension cut off instead.
    """
    if spec.kind == "fixed" and spec.height and spec.width:
        return spec.height, spec.width
    if not spec.shrinks:
        return _enlarged_size(spec, height, width)
    shorter, longer = np.float32(min(height, width)), np.float32(max(height, width))
    if spec.kind == "at_least" and spec.min_dimension is not None:
        factor = max(shorter, np.float32(spec.min_dimension)) / shorter
        return int(np.float32(height) * factor), int(np.float32(width) * factor)
    if spec.kind == "at_most" and spec.max_dimension is not None:
        factor = min(longer, np.float32(spec.max_dimension)) / longer
        return int(np.float32(height) * factor), int(np.float32(width) * factor)
    if spec.kind == "identity" or spec.min_dimension is None:
        return height, width
    if spec.rounding == "down":
        return _size_rounded_down(spec.min_dimension, spec.max_dimension, height, width)
    if spec.rounding == "half_up":
        return _size_rounded_half_up(spec.min_dimension, spec.max_dimension, height, width)
    factor = np.float32(spec.min_dimension) / shorter
    if spec.max_dimension is not None:
        factor = min(factor, np.float32(spec.max_dimension) / longer)
    new_height, new_width = (int(np.rint(factor * np.float32(side))) for side in (height, width))
    return new_height, new_width


def _size_rounded_down(shorter: int, longer: int | None, height: int, width: int) -> tuple[int, int]:
    """torchvision's rule, in Python's own floats: a side may become one less than its limit.

    Source: models/detection/transform.py and torch.nn.functional.interpolate with recompute_scale_factor.
    """
    scale = shorter / min(height, width)
    if longer is not None:
        scale = min(scale, longer / max(height, width))
    return math.floor(height * scale), math.floor(width * scale)


def _size_rounded_half_up(shorter: int, longer: int | None, height: int, width: int) -> tuple[int, int]:
    """Detectron2's rule, in Python's own floats. Source: its ResizeShortestEdge (get_output_shape)."""
    scale = float(shorter) / min(height, width)
    new_height, new_width = (float(shorter), scale * width) if height < width else (scale * height, float(shorter))
    if longer is not None and max(new_height, new_width) > longer:
        scale = float(longer) / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return int(new_height + 0.5), int(new_width + 0.5)


def _enlarged_size(spec: ResizeSpec, height: int, width: int) -> tuple[int, int]:
    """matterport's rule, in Python's own floats. Source: its mrcnn/utils.py (resize_image)."""
    scale = max(1.0, (spec.min_dimension or 0) / min(height, width), spec.min_scale or 0)
    longer = max(height, width)
    if spec.max_dimension is not None and round(longer * scale) > spec.max_dimension:
        scale = spec.max_dimension / longer
    return round(height * scale), round(width * scale)


def padded_size(spec: ResizeSpec, size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) of the backbone's input for an image that was resized to `size`."""
    if spec.pad_to_max and spec.max_dimension is not None:
        return spec.max_dimension, spec.max_dimension
    multiple = spec.pad_multiple or 1
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def prepare(image_bgr: NDArray[np.uint8], spec: ResizeSpec, steps: tuple[NormalizationStep, ...]) -> NetworkInput:
    """Resize and preprocess an image (H, W, 3) uint8 BGR.

    Raises InputError for an image that is so long and thin that nothing is left of its shorter side.
    """
    size = resized_size(spec, *image_bgr.shape[:2])
    if min(size) < 1 or size[0] * size[1] > MAX_INPUT_PIXELS:
        raise InputError(
            f"an image of {image_bgr.shape[1]}x{image_bgr.shape[0]} pixels would enter the model as"
            f" {size[1]}x{size[0]}: crop it to a less extreme shape"
        )
    padded = padded_size(spec, size)
    result = np.empty((1, 3, *padded), dtype=np.float32)
    if padded != size:
        result[:] = np.array(spec.pad_value, dtype=np.float32).reshape(1, -1, 1, 1)
    top, left = ((whole - part) // 2 if spec.pad_centered else 0 for whole, part in zip(padded, size, strict=True))
    inside = result[0, :, top : top + size[0], left : left + size[1]]
    if spec.zero_border:
        resize_zero_border(_planes(image_bgr), size, spec.truncate_pixels, inside)
    elif spec.method == "antialiased":
        resize_antialiased(_planes(image_bgr), size, inside)
    elif spec.method == "bilinear":
        resize_bilinear(image_bgr, size, spec.half_pixel_centers, inside, spec.align_corners)
    else:
        resample(_planes(image_bgr), spec.method, spec.align_corners, inside)
    if spec.gray_weights:
        result = _gray(result, spec.gray_weights)
    for each in steps:
        operand = np.array(each.operand, dtype=np.float32).reshape(1, -1, 1, 1)
        _IN_PLACE[each.op](result, operand, out=result)
    if spec.pad_prepared:
        result[:, :, top + size[0] :] = 0
        result[:, :, :, left + size[1] :] = 0
    return NetworkInput(result, size, (top, left))


def _planes(image_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(3, H, W) RGB of an image (H, W, 3) BGR."""
    return np.ascontiguousarray(image_bgr[:, :, ::-1].transpose(2, 0, 1))


def _gray(rgb: Float, weights: tuple[float, ...]) -> Float:
    """(1, 1, H, W) of (1, 3, H, W): the channels with their weights, red and green added first."""
    red, green, blue = (rgb[:, channel : channel + 1] * np.float32(weights[channel]) for channel in range(3))
    gray: Float = red + green + blue
    return gray


_IN_PLACE = {"mul": np.multiply, "add": np.add, "sub": np.subtract, "div": np.divide}


def resize_bilinear(
    image_bgr: NDArray[np.uint8],
    size: tuple[int, int],
    half_pixel_centers: bool,
    out: Float,
    align_corners: bool = False,
) -> None:
    """TensorFlow's ResizeBilinear of (H, W, 3) uint8 BGR into `out` (3, height, width) float32 RGB, bit for bit.

    Without `half_pixel_centers` (TensorFlow 1) pixel i of n samples at i * (size / n), with `align_corners` at
    i * (size - 1) / (n - 1).
    Source: core/kernels/image/resize_bilinear_op.cc: float32, along the rows first.
    """
    height, width = image_bgr.shape[:2]
    if (height, width) == size:
        out[:] = _planes(image_bgr)
        return
    top, bottom, y_weights = _samples(height, size[0], half_pixel_centers, align_corners)
    left, right, x_weights = _samples(width, size[1], half_pixel_centers, align_corners)

    def work(part: range) -> None:
        for start in range(part.start, part.stop, ROWS_AT_ONCE):
            rows = slice(start, min(start + ROWS_AT_ONCE, part.stop))
            # Of a much larger image only some rows count.
            counts = np.zeros(height, dtype=np.bool_)
            counts[top[rows]] = counts[bottom[rows]] = True
            places = np.cumsum(counts) - 1
            for plane, result in zip(_planes(image_bgr[counts]), out[:, rows], strict=True):
                across = plane.take(left, axis=1).astype(np.float32)
                across += (plane.take(right, axis=1) - across) * x_weights
                upper = across[places[top[rows]]]
                result[:] = upper + (across[places[bottom[rows]]] - upper) * y_weights[rows, np.newaxis]

    parallel_for(work, size[0], minimum=ROWS_AT_ONCE)


def _samples(
    length: int, new_length: int, half_pixel_centers: bool, align_corners: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], Float]:
    """For every pixel of the result: the two source pixels around it and the weight of the second."""
    scale = step(length, new_length, align_corners)
    pixels = np.arange(new_length, dtype=np.float32)
    positions = (pixels + np.float32(0.5)) * scale - np.float32(0.5) if half_pixel_centers else pixels * scale
    floor = np.floor(positions)
    lower = np.maximum(floor, 0).astype(np.intp)
    upper = np.minimum(np.ceil(positions) if half_pixel_centers else floor + 1, length - 1).astype(np.intp)
    return np.minimum(lower, length - 1), upper, (positions - floor).astype(np.float32)
