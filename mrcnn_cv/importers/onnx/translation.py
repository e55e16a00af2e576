"""A part of an ONNX graph on its way to a NetGraph: what is translated, and what layers are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.partial_shapes import output_shape
from mrcnn_cv.importers.constant_folding import Array
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph


@dataclass(frozen=True)
class Map:
    """A tensor that is translated: the name of its layer, and what is known of it.

    size: (channels, height, width) of the crops that a head takes, as far as its layers, or of what a row was before it
    was flattened; None in a trunk. shrunk: pixels of the net's input per cell. flat: a row of numbers per crop.
    channels_last: a row in the order (height, width, channels), as crops are cut, while ONNX's weights expect channels
    first. turned: (N, H, W, C), on its way to become such a row.
    """

    name: str
    size: tuple[int, int, int] | None = None
    shrunk: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))
    flat: bool = False
    channels_last: bool = False
    turned: bool = False


class GraphTranslation:
    """The layers that nodes of `graph` became, in `net`.

    maps: tensor → its translation. orders: tensor → the channels that are wanted of it, in their order. traced: whether
    sizes in the graph are those of the image with which it was traced, and so mean nothing.
    """

    def __init__(
        self, graph: OnnxGraph, values: OnnxConstantFolder, starts: dict[str, Map], traced: bool = True
    ) -> None:
        self.graph = graph
        self.values = values
        self.traced = traced
        self.maps = {graph.skip_identity(tensor): start for tensor, start in starts.items()}
        self.orders: dict[str, Sequence[int]] = {}
        self.net = NetBuilder(tuple(dict.fromkeys(start.name for start in starts.values())))

    def map(self, node: Node, index: int = 0) -> Map:
        """The translated tensor that a node takes."""
        tensor = self.graph.input(node, index)
        if tensor not in self.maps:
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) without one of its inputs")
        found = self.maps[tensor]
        if found.turned and node.op not in ("Flatten", "Reshape"):
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) that takes a map whose axes are turned")
        return found

    def weights(self, node: Node, index: int, what: str) -> NDArray[Any]:
        """A constant that a layer takes, of float32 or float16 as it stands in the file; ModelFileError if it is none.

        What has another type becomes float32.
        """
        value = self.values.find(self.graph.input(node, index))
        if value is None or value.dtype.kind not in "fiu":
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) whose {what} are no constants")
        if value.dtype in (np.float32, np.float16):
            return value
        with np.errstate(over="ignore"):
            return value.astype(np.float32)

    def constant(self, node: Node, index: int, what: str) -> NDArray[np.float32]:
        """The same as float32."""
        return self.weights(node, index, what).astype(np.float32, copy=False)

    def number(self, node: Node, index: int, name: str) -> float | None:
        """A number that is an input from some opset on, an attribute before."""
        if name in node.attributes:
            return node.real(name, 0)
        return self.values.number(self.graph.input(node, index))

    def channels(self, node: Node) -> Sequence[int] | None:
        """The channels that are wanted of a node's result."""
        return self.orders.get(node.outputs[0])

    def order(self, node: Node, values: Array, axis: int) -> Array:
        """Only the channels of a node that are wanted, in the order in which they are; a copy where any are."""
        channels = self.channels(node)
        if channels is None:
            return values
        if max(channels) >= values.shape[axis]:
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) with {values.shape[axis]} results, too few")
        return values.take(np.array(channels, dtype=np.intp), axis=axis)

    def by_channel(self, node: Node, values: Array) -> Array:
        """Numbers for the wanted channels of a node, (C,); a single number is that of all, (1,)."""
        return values.ravel() if values.size == 1 else self.order(node, values.ravel(), 0)

    def biases(self, node: Node) -> NDArray[np.float32] | None:
        """The biases of a layer, its third input, for the wanted channels; None where it is left out."""
        if not self.graph.input(node, 2):
            return None
        return self.by_channel(node, self.constant(node, 2, "biases"))

    def add(self, layer_class: type[ir.Layer], node: Node, sources: Sequence[Map], **fields: Any) -> Map:
        """What the layer that an ONNX node becomes makes of maps; whether it is a row is as with the first of them."""
        name = re.sub(r"[^A-Za-z0-9_./-]", "_", node.name).removesuffix("_output_0").lstrip("/_-")
        first = sources[0]
        name = self.net.add(layer_class, name[:200] or "node", [source.name for source in sources], **fields)
        layer = self.net.layers[name]
        sizes = [source.size for source in sources if source.size is not None]
        size = first.size
        if isinstance(layer, _RESHAPING) and len(sizes) == len(sources):
            _, *sides = output_shape(layer, [(1, *each) for each in sizes])
            channels, height, width = (side or 0 for side in sides)
            if min(height, width) < 1:
                raise ModelFileError(f"has a node '{node.name}' ({node.op}) that leaves nothing of its input")
            size = channels, height, width
        rows, columns = _shrinkage(layer)
        return replace(first, name=layer.name, size=size, shrunk=(first.shrunk[0] * rows, first.shrunk[1] * columns))


_RESHAPING = (
    *(ir.Conv2d, ir.ConvTranspose2d, ir.MaxPool2d, ir.AvgPool2d, ir.GlobalAvgPool),
    *(ir.Pad, ir.Upsample, ir.Resize, ir.Concat),
)


def _shrinkage(layer: ir.Layer) -> tuple[Fraction, Fraction]:
    """How many cells of a map become one of its result, by row and column."""
    match layer:
        case ir.Conv2d() | ir.MaxPool2d() | ir.AvgPool2d():
            return Fraction(layer.stride[0]), Fraction(layer.stride[1])
        case ir.ConvTranspose2d():
            return Fraction(1, layer.kernel[0]), Fraction(1, layer.kernel[1])
        case ir.Upsample():
            return Fraction(1, layer.factors[0]), Fraction(1, layer.factors[1])
        case ir.GlobalAvgPool():
            return Fraction(1 << 30), Fraction(1 << 30)
    return Fraction(1), Fraction(1)
