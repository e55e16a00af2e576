"""Convolutions of 3x3 by Winograd's minimal filtering with numpy's BLAS.

Four by four numbers of a result come of a tile of six by six of the map. A tile is transformed (one matrix product for
all), multiplied number by number with the transformed window and summed over the channels (36 matrix products), and
transformed back: 36 multiplications in the place of 144. Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks" (2016), F(4x4, 3x3). On the large maps of backbones and on many small ones that is up to three times as fast
as cv2.dnn. Its errors are half of those of the classic engine, which takes F(6x6, 3x3), and four to seven times those
of 5.1's: 2e-5 for results of about 1.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.blas_conv import FOLLOWERS, Product, apply_step, steps_of
from mrcnn_cv.engines.opencv.packed import packed
from mrcnn_cv.engines.opencv.partition import Chain, Layers, Size
from mrcnn_cv.engines.opencv.windows import window_of
from mrcnn_cv.graph import ir
from mrcnn_cv.util.opencv import cv2
from mrcnn_cv.util.parallel import parallel_for

MAX_PADDING = 2
"""With more, tiles may lie beside the map."""

TILE = 4
"""Rows and columns of a result that come of one tile."""

SEEN = TILE + 2
PLACES = SEEN * SEEN

MIN_CHANNELS = {4: 96, 8: 128, 16: 192, 32: 512}
"""Pixels of the image to a pixel of a backbone's maps → channels, as the harmonic mean of those that come in and go
out, from which on it is worth it: cv2.dnn is slow on large maps, and products are on small ones."""

MIN_CHANNELS_OF_HEADS = 96
"""The same for heads, which see many small maps at once."""

MAX_AT_ONCE = 1 << 21
"""Numbers of transformed tiles that are multiplied at a time: they fit into the processor's outer cache."""

FEW_TILES = 48
"""Of all maps of a head."""

MIN_TILES = 32
"""That are multiplied at a time; with fewer, the weights are fetched too often."""

WEIGHTS_AT_ONCE = 32
"""Channels of a result whose weights are transformed at a time."""

MAX_KEPT = 2 * MAX_AT_ONCE
"""Numbers in each of the two arrays that a thread keeps for its next convolution: 16 MiB."""

# Points 0, 1, -1, 2, -2 and infinity.
_OF_TILE = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OF_WINDOW = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OF_RESULT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

_TILES, _RESULTS = (np.kron(each, each).astype(np.float32) for each in (_OF_TILE, _OF_RESULT))
_WINDOWS = np.kron(_OF_WINDOW, _OF_WINDOW)
"""What is done to rows and to columns, as one matrix."""


def by_winograd(layers: Layers) -> list[Chain]:
    """The convolutions of a backbone that are worth it, with what follows them."""
    strides = layers.strides()
    found = []
    for layer in layers.convolutions():
        stride = math.ceil(strides[layer.inputs[0]])
        least = MIN_CHANNELS.get(max(stride, min(MIN_CHANNELS)))
        if least is not None and _is_plain(layer) and _mean(layer.in_channels, layer.out_channels) >= least:
            found.append(layers.chain("winograd", layer.name, FOLLOWERS))
    return found


def by_winograd_or_product(layers: Layers) -> list[Chain]:
    """The same for a head."""
    return [
        layers.chain("winograd or product", layer.name, FOLLOWERS)
        for layer in layers.convolutions()
        if _is_plain(layer) and _mean(layer.in_channels, layer.out_channels) >= MIN_CHANNELS_OF_HEADS
    ]


def _is_plain(layer: ir.Conv2d) -> bool:
    """Of 3x3 pixels next to each other, each of which sees a part of the map."""
    is_padded_little = layer.padding == "same" or max(layer.padding) <= MAX_PADDING
    return layer.kernel == (3, 3) and layer.stride == (1, 1) and layer.dilation == (1, 1) and is_padded_little


def _mean(one: int, other: int) -> float:
    return 2 * one * other / (one + other)


class Winograd:
    """A piece of the kind "winograd"."""

    def __init__(self, net: ir.NetGraph) -> None:
        layers = Layers(net)
        convolution = next(layer for layer in net if isinstance(layer, ir.Conv2d))
        window = window_of(convolution)
        assert window is not None
        self._window = window
        self._source = convolution.inputs[0]
        self._matrices = packed(net, [convolution], "winograd", lambda: _transformed(convolution))
        self._steps = steps_of(layers, convolution)

    def size(self, inputs: Mapping[str, Float]) -> int:
        """How many numbers the result has."""
        count, _, rows, columns = inputs[self._source].shape
        height, width = self._window.result_size((rows, columns))
        return int(count * self._matrices.shape[1] * height * width)

    def run(self, inputs: Mapping[str, Float], memory: Float) -> list[Float]:
        """The output of the piece; it lies in `memory`, an array of one axis that is large enough."""
        maps = inputs[self._source]
        height, width = self._window.result_size((maps.shape[2], maps.shape[3]))
        result = memory[: self.size(inputs)].reshape(len(maps), self._matrices.shape[1], height, width)
        blocks = _blocks(len(maps), (height, width), max(self._matrices.shape[1:]))

        def work(part: range) -> None:
            for number in part:
                self._convolve(inputs, result, blocks[number])

        parallel_for(work, len(blocks), minimum=1)
        return [result]

    def _convolve(self, inputs: Mapping[str, Float], result: Float, block: _Block) -> None:
        given, taken = self._matrices.shape[1:]
        maps = inputs[self._source][block.maps]
        own = block.of(result)
        # Two that take turns: what is read and what is written.
        first, second = _two_arrays(PLACES * max(given, taken) * block.tiles(len(maps)))
        columns = self._tiles(maps, block, first)
        transformed = np.matmul(_TILES, columns, out=second[: columns.size].reshape(PLACES, -1))
        products = first[: columns.size // taken * given].reshape(PLACES, given, -1)
        np.matmul(self._matrices, transformed.reshape(PLACES, taken, -1), out=products)
        places = second[: products.size // PLACES * TILE * TILE].reshape(TILE * TILE, -1)
        np.matmul(_RESULTS, products.reshape(PLACES, -1), out=places)
        self._lay(places, block, own, first)
        for kind, operand in self._steps:
            added = block.of(inputs[operand]) if kind is ir.Add else operand
            apply_step(kind, own, added[:, np.newaxis] if kind is None else added)

    def _tiles(self, maps: Float, block: _Block, memory: Float) -> Float:
        """(places in a tile, channels * tiles): the tiles of a block of maps, which overlap."""
        channels, height, width = maps.shape[1:]
        (top, _), (left, _) = self._window.pads((height, width))
        before = TILE * block.rows.start - top
        seen = slice(max(before, 0), min(before + TILE * block.height + 2, height))
        # Maps come last: of small ones there are many.
        padded = np.zeros((channels, TILE * block.height + 2, TILE * block.width + 2, len(maps)), np.float32)
        # What lies beyond the last tile nobody sees.
        columns = min(width, padded.shape[2] - left)
        padded[:, seen.start - before : seen.stop - before, left : left + columns] = maps[
            :, :, seen, :columns
        ].transpose(1, 2, 3, 0)
        tiles = memory[: PLACES * channels * block.tiles(len(maps))]
        places = tiles.reshape(SEEN, SEEN, channels, block.height, block.width, len(maps))
        for row, column in np.ndindex(SEEN, SEEN):
            places[row, column] = padded[
                :, row : row + TILE * block.height - 3 : TILE, column : column + TILE * block.width - 3 : TILE
            ]
        return tiles.reshape(PLACES, -1)

    def _lay(self, places: Float, block: _Block, result: Float, memory: Float) -> None:
        """Lay (places in a result's tile, channels * tiles) where they belong; what is beyond the border is dropped."""
        count, channels, height, width = result.shape
        tiles = places.reshape(TILE, TILE, channels, block.height, block.width, count)
        whole = memory[: places.size].reshape(channels, block.height, TILE, block.width, TILE, count)
        for row, column in np.ndindex(TILE, TILE):
            whole[:, :, row, :, column] = tiles[row, column]
        flat = whole.reshape(channels, TILE * block.height, TILE * block.width, count)
        result[:] = flat[:, :height, :width].transpose(3, 0, 1, 2)


class WinogradOrProduct:
    """A piece of the kind "winograd or product": the latter where there are few maps, for which the weights of the
    former, which are four times as many, are fetched in vain."""

    def __init__(self, net: ir.NetGraph) -> None:
        self._winograd = Winograd(net)
        self._product = Product(net)
        self._source = net.inputs[0]

    def size(self, inputs: Mapping[str, Float]) -> int:
        """How many numbers the result has."""
        return self._winograd.size(inputs)

    def run(self, inputs: Mapping[str, Float], memory: Float) -> list[Float]:
        """See `Winograd.run`."""
        count, _, height, width = inputs[self._source].shape
        is_few = count * -(-height // TILE) * -(-width // TILE) < FEW_TILES
        return (self._product if is_few else self._winograd).run(inputs, memory)


class _Block(NamedTuple):
    """Tiles that are multiplied at once. maps: which. rows: of tiles, in each of the maps. width: tiles in a row."""

    maps: slice
    rows: slice
    width: int

    @property
    def height(self) -> int:
        return int(self.rows.stop - self.rows.start)

    def tiles(self, count: int) -> int:
        """Of so many maps."""
        return count * self.height * self.width

    def of(self, maps: Float) -> Float:
        """Its part of maps of the result's size; a view."""
        return maps[self.maps, :, TILE * self.rows.start : TILE * self.rows.stop]


def _blocks(count: int, size: Size, channels: int) -> list[_Block]:
    """All tiles of so many maps, of which the result has `size`, in blocks for which all threads have about as many."""
    height, width = (-(-side // TILE) for side in size)
    at_once = max(MIN_TILES, MAX_AT_ONCE // (PLACES * channels))
    units, each = (height, width) if count == 1 else (count, height * width)
    least = -(-units * each // at_once)
    threads = max(1, cv2.getNumThreads())
    number = max(1, min(units, -(-least // threads) * threads))
    parts = [slice(start, stop) for start, stop in pairwise(units * part // number for part in range(number + 1))]
    if count == 1:
        return [_Block(slice(0, 1), part, width) for part in parts]
    return [_Block(part, slice(0, height), width) for part in parts]


def _transformed(layer: ir.Conv2d) -> Float:
    """(places in a tile, channels out, channels in) of the weights of a convolution."""
    weight, scale = layer.weight, layer.scale
    given, taken = weight.shape[:2]
    result = np.empty((PLACES, given, taken), np.float32)
    for start in range(0, given, WEIGHTS_AT_ONCE):
        part = slice(start, start + WEIGHTS_AT_ONCE)
        exact = weight[part].reshape(-1, 9).T.astype(np.float64)
        if scale is not None:
            exact *= np.repeat(scale[part], taken)
        result[:, part] = (_WINDOWS @ exact).reshape(PLACES, -1, taken)
    return result


class _Kept(threading.local):
    """Each thread's own memory, which is used again: memory that is new costs as much time as the transformations."""

    arrays: tuple[Float, Float] = (np.empty(0, np.float32), np.empty(0, np.float32))


_kept = _Kept()


def _two_arrays(size: int) -> tuple[Float, Float]:
    """Two of one axis with at least so many numbers."""
    arrays = _kept.arrays
    if arrays[0].size < size:
        arrays = np.empty(size, np.float32), np.empty(size, np.float32)
        if size <= MAX_KEPT:
            _kept.arrays = arrays
    return arrays
