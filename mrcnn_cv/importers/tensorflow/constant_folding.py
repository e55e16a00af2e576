"""Evaluate the small sums inside a graph (anchor grids, sizes, thresholds) with numpy, TensorFlow's way.

Numbers are thus read as the graph computes them, whatever the exporter called its nodes and however it folded them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import Graph, node_name

Array = NDArray[Any]

MAX_ELEMENTS = 1 << 24
"""A sum that needs more numbers than this is not an anchor grid or a threshold."""

MAX_SHAPE_DEPTH = 32
"""Shapes of tensors that are themselves made of shapes; a mesh grid needs three."""


class NotConstant(Exception):
    """The value depends on the image."""


class TensorFlowConstantFolder:
    """Values of tensors that do not depend on the image.

    `feature_shape`, when given, is what every Shape node of an unknown tensor answers (int32, NHWC): with it, grids
    over a feature map can be evaluated for a map of that size.
    """

    def __init__(self, graph: Graph, feature_shape: tuple[int, ...] | None = None) -> None:
        self._graph = graph
        self._feature_shape = feature_shape
        self._values: dict[str, Array] = {}
        self._unknown: set[str] = set()
        self._depth = 0

    def value(self, tensor: str) -> Array:
        """The value of a tensor; raises NotConstant when it depends on the image."""
        pending: set[str] = set()
        try:
            return self._computed(node_name(tensor), pending)
        except NotConstant:
            # All that wait for what is not known are not known either, and need not be walked again.
            self._unknown |= pending - self._values.keys()
            raise

    def _computed(self, wanted: str, pending: set[str]) -> Array:
        stack = [wanted]
        while stack:
            name = stack[-1]
            if name in self._unknown:
                raise NotConstant(f"'{name}' depends on the image")
            self._graph.budget.step()
            node = self._graph.nodes[name]
            missing = (
                [] if name in self._values else [source for source in self._needs(node) if source not in self._values]
            )
            if missing:
                if name in pending:
                    raise NotConstant(f"'{name}' depends on itself")
                pending.add(name)
                stack.extend(missing)
                continue
            if name not in self._values:
                self._values[name] = self._compute(node)
            stack.pop()
        return self._values[wanted]

    def _needs(self, node: pb.NodeDef) -> list[str]:
        if node.op == "Shape":
            return []
        if node.op != "Const" and node.op not in _OPS:
            raise NotConstant(f"'{node.name}' is a {node.op}")
        return [node_name(tensor) for tensor in self._graph.inputs(node)]

    def _compute(self, node: pb.NodeDef) -> Array:
        if node.op == "Const":
            return self._graph.constant(node)
        if node.op == "Shape":
            return self._shape(node)
        inputs = [self._values[node_name(tensor)] for tensor in self._graph.inputs(node)]
        if any(":" in tensor and not tensor.endswith(":0") for tensor in self._graph.inputs(node)):
            raise NotConstant(f"'{node.name}' takes a part of a tensor")
        try:
            if _size_bound(node, inputs) > MAX_ELEMENTS:
                raise ModelFileError(f"the node '{node.name}' ({node.op}) is far too large for what it stands for")
            with np.errstate(all="ignore"):
                result = np.asarray(_OPS[node.op](node, *inputs))
            self._graph.budget.compute(result.nbytes)
        except (ValueError, IndexError, TypeError, OverflowError, MemoryError) as error:
            raise ModelFileError(f"the node '{node.name}' ({node.op}) cannot be computed: {error}") from error
        return result

    def _shape(self, node: pb.NodeDef) -> Array:
        self._depth += 1
        try:
            if self._depth > MAX_SHAPE_DEPTH:
                raise ModelFileError(f"the node '{node.name}' (Shape) stands in too long a row of shapes of shapes")
            known = self.value(self._graph.inputs(node)[0]).shape
        except NotConstant:
            if self._feature_shape is None:
                raise
            known = self._feature_shape
        finally:
            self._depth -= 1
        return np.array(known, dtype=np.int32)


def _size_bound(node: pb.NodeDef, inputs: list[Array]) -> int:
    """How many numbers the result can have at most, known beforehand; 0 where it is no more than what is there."""
    if node.op in _ELEMENTWISE:
        return math.prod(np.broadcast_shapes(*(value.shape for value in inputs)))
    return sum(value.size for value in inputs) if node.op in ("ConcatV2", "Pack") else 0


def _strided_slice(node: pb.NodeDef, value: Array, begin: Array, end: Array, strides: Array) -> Array:
    attr = node.attr
    if attr["ellipsis_mask"].i or attr["new_axis_mask"].i:
        raise NotConstant(f"'{node.name}' slices in a way that constants do not need")
    index: list[slice | int] = []
    for axis in range(len(begin)):
        bit = 1 << axis
        if attr["shrink_axis_mask"].i & bit:
            index.append(int(begin[axis]))
            continue
        first = None if attr["begin_mask"].i & bit else int(begin[axis])
        last = None if attr["end_mask"].i & bit else int(end[axis])
        index.append(slice(first, last, int(strides[axis])))
    return np.asarray(value[tuple(index)])


def _slice(node: pb.NodeDef, value: Array, begin: Array, size: Array) -> Array:
    ends = [None if count < 0 else int(first + count) for first, count in zip(begin, size, strict=True)]
    return np.asarray(value[tuple(slice(int(first), last) for first, last in zip(begin, ends, strict=True))])


def _cast(node: pb.NodeDef, value: Array) -> Array:
    types = {pb.DT_FLOAT: np.float32, pb.DT_INT32: np.int32, pb.DT_INT64: np.int64, pb.DT_DOUBLE: np.float64}
    target = node.attr["DstT"].type
    if target not in types:
        raise NotConstant(f"'{node.name}' casts to a type that constants do not need")
    return value.astype(types[target], copy=False)


def _fill(node: pb.NodeDef, shape: Array, value: Array) -> Array:
    if np.prod(shape.astype(np.float64)) > MAX_ELEMENTS:
        raise ModelFileError(f"the node '{node.name}' asks for a tensor of shape {shape.tolist()}")
    return np.full(shape.astype(np.int64), value)


def _tile(node: pb.NodeDef, value: Array, multiples: Array) -> Array:
    if value.size * np.prod(multiples.astype(np.float64)) > MAX_ELEMENTS:
        raise ModelFileError(f"the node '{node.name}' repeats a tensor {multiples.tolist()} times")
    return np.tile(value, multiples)


def _range(node: pb.NodeDef, start: Array, limit: Array, delta: Array) -> Array:
    if delta == 0 or abs((float(limit) - float(start)) / float(delta)) > MAX_ELEMENTS:
        raise ModelFileError(f"the node '{node.name}' counts without end")
    return np.asarray(np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype))


def _squeeze(node: pb.NodeDef, value: Array) -> Array:
    axes = tuple(node.attr["squeeze_dims"].list.i)
    return np.squeeze(value, axes or None)


_ELEMENTWISE = frozenset({"Add", "AddV2", "Sub", "Mul", "RealDiv", "Minimum", "Maximum"})

_OPS: dict[str, Callable[..., Array]] = {
    "Identity": lambda node, value: value,
    "Enter": lambda node, value: value,
    "StopGradient": lambda node, value: value,
    "Cast": _cast,
    "Rank": lambda node, value: np.asarray(value.ndim, dtype=np.int32),
    "Size": lambda node, value: np.asarray(value.size, dtype=np.int32),
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    "Reshape": lambda node, value, shape: value.reshape(shape),
    "ExpandDims": lambda node, value, axis: np.expand_dims(value, int(axis)),
    "Squeeze": _squeeze,
    "Fill": _fill,
    "Tile": _tile,
    "Range": _range,
    "Pack": lambda node, *values: np.stack(values, axis=node.attr["axis"].i),
    "ConcatV2": lambda node, *values: np.concatenate(values[:-1], axis=int(values[-1])),
    "Sqrt": lambda node, value: np.sqrt(value),
    "Rsqrt": lambda node, value: 1 / np.sqrt(value),
    "Neg": lambda node, value: -value,
    "Add": lambda node, a, b: a + b,
    "AddV2": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "RealDiv": lambda node, a, b: a / b,
    "Minimum": lambda node, a, b: np.minimum(a, b),
    "Maximum": lambda node, a, b: np.maximum(a, b),
}
