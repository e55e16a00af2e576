"""Fully connected layers as matrix products of numpy's BLAS; cv2.dnn's take two to four times as long."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.packed import packed
from mrcnn_cv.engines.opencv.partition import Chain, Layers
from mrcnn_cv.graph import ir
from mrcnn_cv.util.parallel import parallel_for

FOLLOWERS = (ir.Relu, ir.Relu6)
"""What may follow such a layer."""


def as_rows(layers: Layers) -> list[Chain]:
    """All fully connected layers of a net whose order of numbers is told by their input alone."""
    return [layers.chain("rows", layer.name, FOLLOWERS) for layer in layers.net if isinstance(layer, ir.Linear)]


class Rows:
    """A piece of the kind "rows"."""

    def __init__(self, net: ir.NetGraph) -> None:
        layer = net.layers[0]
        assert isinstance(layer, ir.Linear)
        self._source = net.inputs[0]
        self._matrix = packed(net, [layer], "rows", layer.folded)
        # A copy: weights may be views of a file, which nobody needs once a net is built.
        self._bias = None if layer.bias is None else np.array(layer.bias, np.float32)
        self._activations = [type(follower) for follower in net.layers[1:]]

    def size(self, inputs: Mapping[str, Float]) -> int:
        """How many numbers the result has."""
        return len(inputs[self._source]) * len(self._matrix)

    def run(self, inputs: Mapping[str, Float], memory: Float) -> list[Float]:
        """The output of the piece; it lies in `memory`, an array of one axis that is large enough."""
        rows = inputs[self._source]
        result = memory[: self.size(inputs)].reshape(len(rows), len(self._matrix))

        def work(part: range) -> None:
            own = slice(part.start, part.stop)
            np.matmul(rows[own], self._matrix.T, out=result[own])
            if self._bias is not None:
                result[own] += self._bias
            for activation in self._activations:
                np.maximum(result[own], 0, out=result[own])
                if activation is ir.Relu6:
                    np.minimum(result[own], 6, out=result[own])

        parallel_for(work, len(rows))
        return [result]
