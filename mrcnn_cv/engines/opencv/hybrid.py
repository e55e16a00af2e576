"""A stage run in pieces: by cv2.dnn, by cv2.dnn on sheets of small maps, and by matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.blas_conv import Product, as_products
from mrcnn_cv.engines.opencv.max_pool import Pool, on_tiny_maps
from mrcnn_cv.engines.opencv.net import CvNet
from mrcnn_cv.engines.opencv.partition import Layers, Piece, Size, cut
from mrcnn_cv.engines.opencv.small_maps import Sheet, on_sheets
from mrcnn_cv.engines.opencv.upsampled_conv import Enlarged, on_enlarged
from mrcnn_cv.engines.registry import Backend
from mrcnn_cv.model.definition import StageGraph
from mrcnn_cv.util import blas


def pieces_of(stage: StageGraph, size: Size | None, channels: int | None = None) -> list[Piece]:
    """`stage` in the order in which its parts run; just one where cv2.dnn is the fastest at all of it.

    size: (height, width) of its input maps, where it is always the same. channels: see `Probe.build`.
    """
    layers = Layers(stage)
    chains = [] if size is None else on_sheets(layers, size) + on_tiny_maps(layers, size)
    if blas.is_fast():
        full = layers.of_all_channels(channels)
        chains += ([] if size is None else on_enlarged(layers, size, full)) + as_products(layers, size, full)
    return cut(layers, chains) if chains else [Piece(stage, "net")]


class CvPieces:
    """The pieces of a stage, one behind the other."""

    def __init__(self, pieces: Sequence[Piece], outputs: Sequence[str], backend: Backend) -> None:
        self._outputs = outputs
        self._pieces = [_running(piece, backend) for piece in pieces]
        self._inputs_of = [piece.stage.inputs for piece in pieces]
        self._outputs_of = [piece.stage.outputs for piece in pieces]
        self._memory = _Memory()
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
        values = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        lent: dict[int, Float] = {}
        with blas.without_threads():
            for number, piece in enumerate(self._pieces):
                given = {name: values[name] for name in self._inputs_of[number]}
                if isinstance(piece, (Product, Enlarged, Pool)):
                    lent[number] = self._memory.take(piece.size(given))
                    found = piece.run(given, lent[number])
                else:
                    found = piece.views(given)
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

    def devices(self) -> set[str]:
        """See `Net.devices`."""
        return set().union(*(piece.devices() for piece in self._pieces))


class _OnSheet:
    """A net whose one input is laid out on a sheet."""

    def __init__(self, net: CvNet) -> None:
        self._net = net
        self._sheet = Sheet()
        self.devices = net.devices

    def views(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `CvNet.views`."""
        ((name, maps),) = inputs.items()
        (result,) = self._net.views({name: self._sheet.lay(maps)})
        return [self._sheet.pick(result, maps.shape)]


def _running(piece: Piece, backend: Backend) -> CvNet | _OnSheet | Product | Enlarged | Pool:
    if piece.kind == "enlarged":
        return Enlarged(piece.stage, backend)
    if piece.kind == "pool":
        return Pool(piece.stage)
    if piece.kind == "product":
        return Product(piece.stage)
    net = CvNet(piece.stage, backend)
    return _OnSheet(net) if piece.kind == "sheet" else net


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
