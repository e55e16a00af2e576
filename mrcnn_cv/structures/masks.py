"""Masks of instances: from box-local probabilities to pixels, and to COCO's run-length encoding.

Everything here works on the pixels under a box; nothing of the size of the image is allocated.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.util import blas
from mrcnn_cv.util.parallel import min_rows, parallel_for

Sampling = Literal["corners", "centers", "expanded"]


class LocalMask(NamedTuple):
    """A mask (h, w) bool whose first pixel is row `top`, column `left` of the image."""

    top: int
    left: int
    mask: NDArray[np.bool_]


class Rle(TypedDict):
    """COCO's compressed run-length encoding; `size` is [height, width]."""

    size: list[int]
    counts: str


def paste(
    probabilities: NDArray[np.float32],
    box: NDArray[np.float32],
    image_size: tuple[int, int],
    threshold: float,
    sampling: Sampling,
) -> LocalMask:
    """The pixels of the image whose interpolated probability is above `threshold`.

    probabilities (mask_h, mask_w) float32; box (4,) x1 y1 x2 y2 in pixels. With "corners" the result equals that of
    the Object Detection API's `reframe_box_masks_to_image_masks` (utils/ops.py): bilinear, pixel p of n lies at
    p / (n - 1), pixels outside of the box are empty. With "centers" pixel p covers [p, p + 1), each sample is the
    centre of a cell, and beyond the outermost ones a mask fades to zero (matterport, Detectron2). "expanded" is that
    for a box that has grown by a sample on each side, and whose corners are cut off to whole pixels (torchvision's
    models/detection/roi_heads.py, paste_masks_in_image).
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    mask_height, mask_width = probabilities.shape
    top, rows = _interpolation(y1, y2, image_size[0], mask_height, sampling)
    left, columns = _interpolation(x1, x2, image_size[1], mask_width, sampling)
    if rows.size == 0 or columns.size == 0:
        return LocalMask(0, 0, np.zeros((0, 0), dtype=np.bool_))
    inside = np.empty((len(rows), len(columns)), dtype=np.bool_)

    def work(part: range) -> None:
        values = np.empty((min(at_once, len(part)), len(columns)), dtype=np.float32)
        for start in range(part.start, part.stop, at_once):
            own = slice(start, min(start + at_once, part.stop))
            found = np.matmul(across[own], columns.T, out=values[: own.stop - own.start])
            np.greater(found, np.float32(threshold), out=inside[own])

    # What lies between stays in the processor's cache.
    at_once = min_rows(len(columns))
    with blas.without_threads(), np.errstate(over="ignore", invalid="ignore"):
        across = rows @ probabilities
        parallel_for(work, len(rows), minimum=at_once)
    return LocalMask(top, left, inside)


def _interpolation(
    start: float, end: float, length: int, samples: int, sampling: Sampling
) -> tuple[int, NDArray[np.float32]]:
    """First pixel and the (pixels, samples) float32 weights that take an axis of the mask to pixels of the image."""
    extent = end - start
    if not 0 < extent < np.inf:
        return 0, np.zeros((0, samples), dtype=np.float32)
    if sampling == "expanded":
        return _expanded(start, end, length, samples)
    pixels = np.arange(max(0, int(start) - 1), min(length, int(np.ceil(end)) + 2), dtype=np.float64)
    if sampling == "corners":
        # The API measures pixels in steps of 1 / (n - 1) but boxes in units of n; a single pixel lies in the middle.
        places = pixels * (length / (length - 1)) if length > 1 else pixels + 0.5
        positions = (places - start) / extent * (samples - 1)
        inside = (positions >= 0) & (positions <= samples - 1)
    else:
        positions = (pixels + 0.5 - start) / extent * samples - 0.5
        inside = (pixels + 0.5 >= start) & (pixels + 0.5 <= end)
    return _weights(pixels[inside], positions[inside], samples)


def _expanded(start: float, end: float, length: int, samples: int) -> tuple[int, NDArray[np.float32]]:
    """The same for the box that torchvision makes of one, in its float32 arithmetic."""
    half = np.float32(end - start) * np.float32(0.5) * np.float32((samples + 2) / samples)
    center = (np.float32(end) + np.float32(start)) * np.float32(0.5)
    first, last = int(center - half), int(center + half)
    pixels = np.arange(max(0, first), min(length, last + 1), dtype=np.float64)
    positions = (pixels - first + 0.5) * ((samples + 2) / max(last - first + 1, 1)) - 1.5
    return _weights(pixels, np.clip(positions, -1, samples), samples)


def _weights(
    pixels: NDArray[np.float64], positions: NDArray[np.float64], samples: int
) -> tuple[int, NDArray[np.float32]]:
    """First pixel and the weights for pixels that lie at `positions`, counted in samples from the first one."""
    lower = np.floor(positions).astype(np.intp)
    fraction = (positions - lower).astype(np.float32)
    # A sample more on both sides: between the outermost ones and the edges of the box a mask fades to nothing.
    weights = np.zeros((len(pixels), samples + 2), dtype=np.float32)
    index = np.arange(len(pixels))
    weights[index, lower + 1] = 1 - fraction
    weights[index, np.minimum(lower + 2, samples + 1)] += fraction
    return int(pixels[0]) if len(pixels) else 0, np.ascontiguousarray(weights[:, 1:-1])


def fill_box(box: NDArray[np.float32], image_size: tuple[int, int]) -> LocalMask:
    """All pixels whose centre lies in the box (for models without masks)."""
    height, width = image_size
    if not np.isfinite(box).all():
        return LocalMask(0, 0, np.zeros((0, 0), dtype=np.bool_))
    x1, y1, x2, y2 = (float(value) for value in box)
    left, right = max(0, round(x1)), min(width, round(x2))
    top, bottom = max(0, round(y1)), min(height, round(y2))
    return LocalMask(top, left, np.ones((max(0, bottom - top), max(0, right - left)), dtype=np.bool_))


def overlap(first: LocalMask, second: LocalMask) -> tuple[int, int]:
    """Pixels that two masks of one image have in common, and pixels that at least one of them has."""
    top, left = max(first.top, second.top), max(first.left, second.left)
    bottom = min(each.top + each.mask.shape[0] for each in (first, second))
    right = min(each.left + each.mask.shape[1] for each in (first, second))
    both = 0
    if bottom > top and right > left:
        a, b = (
            each.mask[top - each.top : bottom - each.top, left - each.left : right - each.left]
            for each in (first, second)
        )
        both = int(np.count_nonzero(a & b))
    return both, int(np.count_nonzero(first.mask)) + int(np.count_nonzero(second.mask)) - both


def to_rle(local: LocalMask, image_size: tuple[int, int]) -> Rle:
    """COCO's compressed RLE of a mask, readable by pycocotools."""
    return {"size": list(image_size), "counts": _compress(_runs(local, image_size))}


def _runs(local: LocalMask, image_size: tuple[int, int]) -> NDArray[np.int64]:
    """Run lengths in column order over the whole image, zeros first."""
    height, width = image_size
    rows, columns = local.mask.shape
    framed = np.zeros((columns, rows + 2), dtype=np.int8)
    framed[:, 1:-1] = local.mask.T
    change = np.diff(framed, axis=1)
    column, row = np.nonzero(change)
    position = (column + local.left) * height + row + local.top
    starts, ends = position[0::2], position[1::2]
    # A run that ends at the bottom of a column goes on at the top of the next one.
    joined = np.flatnonzero(ends[:-1] == starts[1:])
    edges = np.stack([np.delete(starts, joined + 1), np.delete(ends, joined)], axis=1).ravel()
    edges = np.concatenate([[0], edges, [height * width]])
    runs: NDArray[np.int64] = np.diff(edges)
    return runs if len(runs) == 1 or runs[-1] > 0 else runs[:-1]


def _compress(runs: NDArray[np.int64]) -> str:
    """COCO's text form: differences to the run before the last, in groups of five bits, least significant first."""
    text = bytearray()
    values = runs.tolist()
    for index, run in enumerate(values):
        value = run - values[index - 2] if index > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text.append((bits | 0x20 if more else bits) + 48)
    return text.decode("ascii")


def from_rle(rle: Rle) -> LocalMask:
    """The mask in COCO's compressed run-length encoding, cut to the pixels that are set.

    Nothing of the size of the image is allocated. ValueError for run lengths that do not fill the image.
    """
    height, width = rle["size"]
    ends = np.cumsum(expand(rle["counts"]))
    if len(ends) and ends[-1] != height * width:
        raise ValueError(f"the runs cover {ends[-1]} pixels of an image of {width} x {height}")
    starts, ends = ends[0::2][: len(ends) // 2], ends[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return LocalMask(0, 0, np.zeros((0, 0), dtype=np.bool_))
    # Cut the runs where a column ends, so that each has a column and its rows.
    first, last = starts // height, (ends - 1) // height
    pieces = last - first + 1
    run = np.repeat(np.arange(len(starts)), pieces)
    column = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + first[run]
    upper = np.maximum(starts[run] - column * height, 0)
    lower = np.minimum(ends[run] - column * height, height)
    top, left = int(upper.min()), int(column[0])
    change = np.zeros((int(lower.max()) - top + 1, int(column[-1]) - left + 1), dtype=np.int8)
    np.add.at(change, (upper - top, column - left), 1)
    np.add.at(change, (lower - top, column - left), -1)
    return LocalMask(top, left, np.cumsum(change, axis=0, dtype=np.int8)[:-1].astype(np.bool_))


def expand(counts: str) -> NDArray[np.int64]:
    """Run lengths from COCO's text form; the inverse of `_compress`."""
    groups = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    if not len(groups):
        return groups
    last = np.flatnonzero(~groups & 0x20)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(groups)) - np.repeat(first, last - first + 1)
    values = np.add.reduceat((groups & 0x1F) << 5 * place, first)
    # The highest bit of the last group is the sign.
    runs: NDArray[np.int64] = values - (((groups[last] >> 4) & 1) << 5 * (place[last] + 1))
    for parity in (1, 2):
        runs[parity::2] = np.cumsum(runs[parity::2])
    return runs
