"""A net run in pieces: by cv2.dnn and by matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.blas_conv import Product, as_products
from mrcnn_cv.engines.opencv.blas_linear import Rows, as_rows
from mrcnn_cv.engines.opencv.max_pool import Pool, on_tiny_maps
from mrcnn_cv.engines.opencv.net import CvDnnNet
from mrcnn_cv.engines.opencv.partition import Chain, Kind, Layers, Piece, Size, cut
from mrcnn_cv.engines.opencv.upsampled_conv import UpsampledConv, find_upsampled
from mrcnn_cv.engines.opencv.winograd import Winograd, WinogradOrProduct, by_winograd, by_winograd_or_product
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.passes.flatten_channels_last import flatten_channels_last
from mrcnn_cv.graph.shape_inference import Shape, ShapeInference
from mrcnn_cv.util import blas
from mrcnn_cv.util.parallel import parallel_for

LARGE = 1 << 23
"""Bytes of the maps of a net of cv2.dnn that are worth giving back."""

LITTLE = 64
"""Pixels on a side of what takes next to no memory; a multiple of all strides."""

MakeNet = Callable[[ir.NetGraph], CvDnnNet]


def pieces_of(net: ir.NetGraph, size: Size | None, is_classic: bool = True) -> list[Piece]:
    """`net` in the order in which its parts run; just one where cv2.dnn is the fastest at all of it.

    size: (height, width) of its input maps, where it is always the same. is_classic: whether it is for the classic
    engine. The one of 5.1 does the small maps of heads better alone: a box head with their products takes 1.4 times as
    long; rows, enlarged maps and the large maps of backbones are still faster here.
    """
    layers = Layers(flatten_channels_last(net))
    if not blas.is_fast():
        chains = on_tiny_maps(layers, size) if size is not None and is_classic else []
    elif size is None:
        chains = by_winograd(layers)
        chains += as_products(layers, None, _names(chains)) + as_rows(layers)
    else:
        chains = on_tiny_maps(layers, size) if is_classic else []
        chains += find_upsampled(layers, size)
        chains += by_winograd_or_product(layers) if is_classic else []
        chains += as_products(layers, size, _names(chains)) if is_classic else []
        chains += as_rows(layers)
    return cut(layers, chains) if chains else [Piece(net, "net")]


def _names(chains: Iterable[Chain]) -> set[str]:
    return {name for chain in chains for name in chain.names}


class HybridNet:
    """The pieces of a net, one behind the other. make_net: makes those of cv2.dnn."""

    def __init__(self, pieces: Sequence[Piece], net: ir.NetGraph, make_net: MakeNet) -> None:
        outputs = self._outputs = net.outputs
        self._shapes = ShapeInference(net)
        self._shapes_of = [ShapeInference(piece.net) for piece in pieces]
        self._pieces = _all_running(pieces, make_net)
        self._inputs_of = [piece.net.inputs for piece in pieces]
        self._outputs_of = [piece.net.outputs for piece in pieces]
        self._memory = _Memory()
        self._has_run = False
        last = {name: number for number, names in enumerate(self._inputs_of) for name in names}
        ends = [max(last.get(name, 0) for name in names) for names in self._outputs_of]
        self._unused_after = [
            [name for name, end in last.items() if end == number and name not in outputs]
            for number in range(len(pieces))
        ]
        self._free_after = [
            [
                piece
                for piece, end in enumerate(ends)
                if end == number and not set(outputs) & set(self._outputs_of[piece])
            ]
            for number in range(len(pieces))
        ]

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `Net.run`."""
        given = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        # Every net of cv2.dnn keeps the memory of its last run. In the first one, which may be the only one, those that
        # hold much give it back when they are done.
        little = {} if self._has_run else self._little(given)
        self._has_run = True
        with blas.without_threads():
            return self._forward(given, little)

    def _forward(self, values: dict[str, Float], little: Mapping[str, Shape]) -> list[Float]:
        """little: shapes of all maps for next to no image; empty where nets keep their memory."""
        lent: dict[int, Float] = {}
        for number, piece in enumerate(self._pieces):
            given = {name: values[name] for name in self._inputs_of[number]}
            if isinstance(piece, Own):
                lent[number] = self._memory.take(piece.size(given))
                found = piece.run(given, lent[number])
            else:
                found = piece.views(given)
                if little and self._bytes_of(number, given) >= LARGE:
                    found = [np.array(each) for each in found]
                    piece.views({name: np.zeros(little[name], np.float32) for name in given})
            values |= zip(self._outputs_of[number], found, strict=True)
            del given, found
            for name in self._unused_after[number]:
                del values[name]
            for other in self._free_after[number]:
                if other in lent:
                    self._memory.give_back(lent.pop(other))
        results = [np.array(values[name]) for name in self._outputs]
        for memory in lent.values():
            self._memory.give_back(memory)
        return results

    def _little(self, inputs: Mapping[str, Float]) -> dict[str, Shape]:
        """Shapes of all maps for a corner of an image, of which SAME pads as many cells as of all of it."""
        shapes = {name: _little_of(value.shape) for name, value in inputs.items()}
        try:
            return shapes | {layer.name: layer.output for layer in self._shapes.layers(shapes)}
        except ModelFileError:
            return {}

    def _bytes_of(self, number: int, inputs: Mapping[str, Float]) -> int:
        """Of the maps that a piece makes."""
        layers = self._shapes_of[number].layers({name: value.shape for name, value in inputs.items()})
        return sum(4 * prod(layer.output) for layer in layers)

    def devices(self) -> set[str]:
        """See `Net.devices`: all but nets of cv2.dnn are done by the processor."""
        return set().union(*({"cpu"} if isinstance(piece, Own) else piece.devices() for piece in self._pieces))


Own = Product | Rows | UpsampledConv | Pool | Winograd | WinogradOrProduct
Running = CvDnnNet | Own

_PIECES: dict[Kind, Callable[[ir.NetGraph], Own]] = {
    "pool": Pool,
    "product": Product,
    "rows": Rows,
    "winograd": Winograd,
    "winograd or product": WinogradOrProduct,
}


def _all_running(pieces: Sequence[Piece], make_net: MakeNet) -> list[Running]:
    """Made at the same time: to read nets and to order weights takes one thread each."""
    made: dict[int, Running] = {}
    # The last ones of a net are the largest: each thread takes the next one when it is done with its own.
    next_ones = iter(range(len(pieces)))

    def make(_: range) -> None:
        for number in next_ones:
            made[number] = _running(pieces[number], make_net)

    with blas.without_threads():
        parallel_for(make, len(pieces), minimum=1)
    return [made[number] for number in range(len(pieces))]


def _running(piece: Piece, make_net: MakeNet) -> Running:
    if piece.kind == "upsampled":
        return UpsampledConv(piece.net, make_net)
    own = _PIECES.get(piece.kind)
    return make_net(piece.net) if own is None else own(piece.net)


def _little_of(shape: Shape) -> Shape:
    """A corner of an image; of crops the first."""
    if len(shape) == 2 or shape[0] > 1:
        return (1, *shape[1:])
    height, width = (side if side < 2 * LITTLE else LITTLE + side % LITTLE for side in shape[2:])
    return (1, shape[1], height, width)


class _Memory:
    """Arrays of one axis that are used again: memory that is new costs as much time as some of the products."""

    def __init__(self) -> None:
        self._free: list[Float] = []

    def take(self, size: int) -> Float:
        """One with at least `size` numbers."""
        fitting = [index for index, memory in enumerate(self._free) if memory.size >= size]
        if fitting:
            return self._free.pop(min(fitting, key=lambda index: self._free[index].size))
        # What is too small now would be so again, and stay for ever.
        if self._free:
            self._free.pop()
        return np.empty(size, np.float32)

    def give_back(self, memory: Float) -> None:
        """Nobody looks at it any more."""
        self._free.append(memory)
