"""A part of an ONNX graph on its way to TensorFlow's layers: what is translated, and how nodes are appended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.builder import MAX_LAYERS
from mrcnn_cv.graph.protos import graph_pb2 as tf
from mrcnn_cv.importers.onnx.constant_folding import Array, OnnxEvaluator
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph


@dataclass(frozen=True)
class Map:
    """A tensor that is translated: the name of its node, and what is known of it.

    size: (channels, height, width) of the crops that a head takes, as far as its layers; None in a trunk. shrunk:
    pixels of the net's input per cell. flat: a row of numbers per crop, ordered as `size` until a matrix takes it.
    pixels: not 0: rows of so many numbers lie as the pixels of one map, see `Writer.rows_as_pixels`.
    """

    name: str
    size: tuple[int, int, int] | None = None
    shrunk: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))
    flat: bool = False
    pixels: int = 0


class Translation:
    """The nodes of TensorFlow that nodes of `graph` became, and what layers are made of.

    maps: tensor → its translation. starts: names of the net's inputs. orders: tensor → the channels that are wanted of
    it, in their order.
    """

    def __init__(self, graph: OnnxGraph, values: OnnxEvaluator, starts: dict[str, Map]) -> None:
        self.graph = graph
        self.values = values
        self.maps = {graph.behind(tensor): start for tensor, start in starts.items()}
        self.orders: dict[str, Sequence[int]] = {}
        self.nodes: list[tf.NodeDef] = []
        self._names: set[str] = set()
        self._again: Counter[str] = Counter()
        self.starts = tuple(dict.fromkeys(start.name for start in starts.values()))
        for name in self.starts:
            self.nodes.append(tf.NodeDef(name=self._unique(name), op="Placeholder"))

    def map(self, node: Node, index: int = 0) -> Map:
        """The translated tensor that a node takes."""
        tensor = self.graph.input(node, index)
        if tensor not in self.maps:
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) without one of its inputs")
        return self.maps[tensor]

    def constant(self, node: Node, index: int, what: str) -> NDArray[np.float32]:
        """A constant that a layer takes, as float32; ModelFileError where it is none."""
        value = self.values.find(self.graph.input(node, index))
        if value is None or value.dtype.kind not in "fiu":
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) whose {what} are no constants")
        return value.astype(np.float32)

    def optional(self, node: Node, index: int, what: str) -> NDArray[np.float32] | None:
        """The same, None where it is left out."""
        return self.constant(node, index, what) if self.graph.input(node, index) else None

    def number(self, node: Node, index: int, name: str) -> float | None:
        """A number that is an input from some opset on, an attribute before."""
        if name in node.attributes:
            return node.real(name, 0)
        return self.values.number(self.graph.input(node, index))

    def channels(self, node: Node) -> Sequence[int] | None:
        """The channels that are wanted of a node's result."""
        return self.orders.get(node.outputs[0])

    def order(self, node: Node, values: Array, axis: int) -> Array:
        """Only the channels of a node that are wanted, in the order in which they are."""
        channels = self.channels(node)
        if channels is None:
            return values
        if max(channels) >= values.shape[axis]:
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) with {values.shape[axis]} results, too few")
        return values.take(np.array(channels, dtype=np.intp), axis=axis)

    def add(self, node: Node, op: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node for the result of an ONNX node; returns its name."""
        return self.append(self._name(node), op, inputs, **attributes)

    def append(self, name: str, op: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node; bytes, whole numbers, numbers, or lists of whole numbers become its attributes."""
        added = tf.NodeDef(name=self._unique(name), op=op, input=inputs)
        for key, value in attributes.items():
            if isinstance(value, bytes):
                added.attr[key].s = value
            elif isinstance(value, bool):
                added.attr[key].b = value
            elif isinstance(value, int):
                added.attr[key].i = value
            elif isinstance(value, float):
                added.attr[key].f = value
            else:
                added.attr[key].list.i.extend(value)
        self.nodes.append(added)
        return added.name

    def const(self, name: str, value: Array) -> str:
        """Append a constant of float32 or int32; returns its name."""
        added = tf.NodeDef(name=self._unique(name), op="Const")
        tensor = added.attr["value"].tensor
        tensor.dtype = tf.DT_FLOAT if value.dtype == np.float32 else tf.DT_INT32
        for side in value.shape:
            tensor.tensor_shape.dim.add(size=side)
        tensor.tensor_content = np.ascontiguousarray(value).tobytes()
        self.nodes.append(added)
        return added.name

    def biased(self, node: Node, layer: str, bias: NDArray[np.float32] | None) -> str:
        """The result of a layer with its bias, if it has one."""
        if bias is None:
            return layer
        return self.append(
            f"{layer}/bias", "BiasAdd", [layer, self.const(f"{layer}/biases", self.order(node, bias, 0))]
        )

    def _name(self, node: Node) -> str:
        """What TensorFlow allows of a tensor's name."""
        name = re.sub(r"[^A-Za-z0-9_./-]", "_", node.name).removesuffix("_output_0").lstrip("/_-")
        return name[:200] or "node"

    def _unique(self, name: str) -> str:
        if len(self._names) >= MAX_LAYERS:
            raise ModelFileError(f"has a net of more than {MAX_LAYERS} layers and constants, so it is not a detector's")
        own = name
        while own in self._names:
            self._again[name] += 1
            own = f"{name}_{self._again[name]}"
        self._names.add(own)
        return own
