"""Convolutions as matrix products of numpy's BLAS, which is two to four times as fast at them as cv2.dnn.

For 3x3 convolutions there is a better way (`winograd.py`, and cv2.dnn has it, too); only those of few channels on tiny
maps are for here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.packed import packed
from mrcnn_cv.engines.opencv.partition import Chain, Layers, Size
from mrcnn_cv.engines.opencv.windows import Window, window_of
from mrcnn_cv.graph import ir
from mrcnn_cv.util.parallel import parallel_for

MIN_GAIN = 100
"""Multiplications for each number that is handed over to or from cv2.dnn; with fewer, that costs more than is saved."""

MIN_CHANNELS = 32
"""Of convolutions of more than a pixel; with fewer, laying out what they see takes longer than it saves."""

MAX_PIXELS_OF_TINY = 16
"""Maps of so few pixels cv2.dnn convolves in several times the time."""

COLUMNS_AT_ONCE = 1024
"""Pixels of several maps that are laid side by side; their channels then fit into the processor's cache."""

MAX_SEEN = 1 << 22
"""Numbers that windows may see of one map, all together: they are laid out in memory."""

MAX_PASSES = 256
"""Over the convolutions of a net, to find out which are worth it; real nets take some ten."""

FOLLOWERS = (ir.Relu, ir.Relu6, ir.Add)
"""What may follow a convolution."""

Steps = list[tuple[type[ir.Layer] | None, Any]]
"""What is done to a result: (None, column of biases), (ir.Add, name of the maps that are added), or an activation."""


class _Group(NamedTuple):
    """Convolutions that take the same maps in the same windows, which are one product."""

    source: str
    window: Window
    taken: int
    """Channels of the maps."""
    chains: list[tuple[Chain, int]]
    """Each with the channels of its result."""


def as_products(layers: Layers, size: Size | None, ours: Collection[str] = ()) -> list[Chain]:
    """The convolutions that are worth it. size: see `pieces_of`. ours: layers that cv2.dnn does not do anyway."""
    found = _groups(layers, {} if size is None else layers.map_sizes(size), ours)
    for _ in range(MAX_PASSES):
        inside = {*ours, *(name for group in found for chain, _ in group.chains for name in chain.names)}
        worth = [group for group in found if _gain(layers, group, inside) >= MIN_GAIN]
        if len(worth) == len(found):
            return [chain for group in found for chain, _ in group.chains]
        # What the others handed on is handed over now, for which one more may not be worth it.
        found = worth
    return []


def _groups(layers: Layers, sizes: Mapping[str, Size], ours: Collection[str]) -> list[_Group]:
    groups: dict[tuple[str, Window], _Group] = {}
    for layer in layers.convolutions():
        window = window_of(layer)
        if layer.name not in ours and window is not None and (window.is_point or _is_slow(layer, window, sizes)):
            key = (layer.inputs[0], window)
            group = groups.setdefault(key, _Group(*key, layer.in_channels, []))
            group.chains.append((layers.chain("product", layer.name, FOLLOWERS, key), layer.out_channels))
    return list(groups.values())


def _is_slow(layer: ir.Conv2d, window: Window, sizes: Mapping[str, Size]) -> bool:
    """Whether cv2.dnn does it slowly, for maps of a head."""
    size = sizes.get(layer.inputs[0])
    if size is None or min(layer.weight.shape[:2]) < MIN_CHANNELS:
        return False
    pixels = math.prod(size)
    is_slow = window.strides != (1, 1) or pixels <= MAX_PIXELS_OF_TINY
    return is_slow and math.prod(layer.weight.shape[1:]) * pixels <= MAX_SEEN


def _gain(layers: Layers, group: _Group, inside: Collection[str]) -> float:
    """Multiplications for each number that is handed over; inside: what products do."""
    if not group.window.is_point:
        return math.inf
    handed = 0 if group.source in inside else group.taken * math.prod(group.window.strides)
    for chain, given in group.chains:
        end = chain.names[-1]
        stays = end not in layers.outputs and all(taker in inside for taker in layers.consumers.get(end, []))
        handed += 0 if stays else given
    return group.taken * sum(given for _, given in group.chains) / handed if handed else math.inf


class _Part(NamedTuple):
    """One convolution of a product: the rows of the matrix that are its own, and what is done to them afterwards."""

    name: str
    rows: slice
    steps: Steps

    @property
    def channels(self) -> int:
        return int(self.rows.stop - self.rows.start)


class Product:
    """A piece of the kind "product"."""

    def __init__(self, net: ir.NetGraph) -> None:
        layers = Layers(net)
        self._source = net.inputs[0]
        convolutions = [layer for layer in net if isinstance(layer, ir.Conv2d)]
        window = window_of(convolutions[0])
        assert window is not None
        self._window = window
        self._matrix = packed(net, convolutions, "product", lambda: _matrix_of(convolutions))
        found: dict[str, _Part] = {}
        first = 0
        for layer in convolutions:
            rows = slice(first, first := first + layer.out_channels)
            end = layers.chain("product", layer.name, FOLLOWERS).names[-1]
            found[end] = _Part(end, rows, steps_of(layers, layer))
        self._parts = [found[name] for name in net.outputs]

    def size(self, inputs: Mapping[str, Float]) -> int:
        """How many numbers the result has."""
        count, _, rows, columns = inputs[self._source].shape
        height, width = self._window.result_size((rows, columns))
        return int(len(self._matrix) * count * height * width)

    def run(self, inputs: Mapping[str, Float], memory: Float) -> list[Float]:
        """The outputs of the stage in its order; they lie in `memory`, an array of one axis that is large enough."""
        count, _, rows, columns = inputs[self._source].shape
        size = self._window.result_size((rows, columns))
        pixels = count * size[0] * size[1]
        results = [
            memory[part.rows.start * pixels : part.rows.stop * pixels].reshape(count, part.channels, *size)
            for part in self._parts
        ]
        if count == 1 and self._window.is_point:
            self._run_one(inputs, memory[: len(self._matrix) * pixels].reshape(-1, pixels))
        else:
            self._run_many(inputs, results)
        return results

    def _run_one(self, inputs: Mapping[str, Float], result: Float) -> None:
        """One map, whose pixels are the columns of a matrix already."""
        down, across = self._window.strides
        columns = inputs[self._source][0, :, ::down, ::across].reshape(-1, result.shape[1])

        def work(part: range) -> None:
            own = slice(part.start, part.stop)
            np.matmul(self._matrix, columns[:, own], out=result[:, own])
            for each in self._parts:
                for kind, operand in each.steps:
                    added = inputs[operand].reshape(-1, result.shape[1])[:, own] if kind is ir.Add else operand
                    apply_step(kind, result[each.rows, own], added)

        parallel_for(work, result.shape[1])

    def _run_many(self, inputs: Mapping[str, Float], results: list[Float]) -> None:
        """Maps side by side as columns, as many at a time as fit into the processor's cache."""
        maps = inputs[self._source]
        size = results[0].shape[2], results[0].shape[3]
        pixels = size[0] * size[1]
        at_once = min(max(1, COLUMNS_AT_ONCE // pixels), max(1, -(-len(maps) // 2)))

        def turned(maps: Float, own: slice) -> Float:
            return maps[own].reshape(own.stop - own.start, -1, pixels).transpose(1, 0, 2)

        def work(part: range) -> None:
            # Memory that is new costs much of what is saved.
            columns, products = (np.empty((side, at_once * pixels), np.float32) for side in self._matrix.shape[::-1])
            for start in range(part.start, part.stop, at_once):
                own = slice(start, min(start + at_once, part.stop))
                seen, given = (each[:, : (own.stop - own.start) * pixels] for each in (columns, products))
                self._see(self._window.padded(maps[own]), seen, size)
                np.matmul(self._matrix, seen, out=given)
                product = given.reshape(len(given), -1, pixels)
                for each, result in zip(self._parts, results, strict=True):
                    rows = product[each.rows]
                    for kind, operand in each.steps:
                        added = turned(inputs[operand], own) if kind is ir.Add else operand
                        apply_step(kind, rows, added[:, :, np.newaxis] if kind is None else added)
                    turned(result, own)[:] = rows

        parallel_for(work, len(maps), minimum=1)

    def _see(self, padded: Float, columns: Float, size: Size) -> None:
        """Lay what the window sees of maps (N, C, h, w) into columns (places in the window * C, N * pixels)."""
        places = columns.reshape(*self._window.kernel, padded.shape[1], len(padded), *size)
        for place in np.ndindex(*self._window.kernel):
            places[place] = self._window.seen(padded, (place[0], place[1]), size).transpose(1, 0, 2, 3)


def _matrix_of(convolutions: Sequence[ir.Conv2d]) -> Float:
    """Rows: what they put out. Columns: the places of their window, and in each the channels."""
    columns = math.prod(convolutions[0].weight.shape[1:])
    matrix = np.empty((sum(layer.out_channels for layer in convolutions), columns), np.float32)
    first = 0
    for layer in convolutions:
        rows = slice(first, first := first + layer.out_channels)
        matrix[rows] = layer.folded().transpose(0, 2, 3, 1).reshape(layer.out_channels, -1)
    return matrix


def apply_step(kind: type[ir.Layer] | None, rows: Float, operand: Any) -> None:
    """Do one of `Steps` in place; operand: what is added."""
    if kind is None or kind is ir.Add:
        rows += operand
    else:
        np.maximum(rows, 0, out=rows)
        if kind is ir.Relu6:
            np.minimum(rows, 6, out=rows)


def steps_of(layers: Layers, layer: ir.Conv2d) -> Steps:
    """What follows the weights of a convolution: its bias, and the rest of its chain."""
    # A copy: weights may be views of a file, which nobody needs once a net is built.
    steps: Steps = [] if layer.bias is None else [(None, np.array(layer.bias, np.float32)[:, np.newaxis])]
    for before, name in pairwise(layers.chain("product", layer.name, FOLLOWERS).names):
        follower = layers.by_name[name]
        others = [source for source in follower.inputs if source != before]
        # A map may be added to itself.
        steps.append((type(follower), (others or [before])[0] if isinstance(follower, ir.Add) else None))
    return steps
