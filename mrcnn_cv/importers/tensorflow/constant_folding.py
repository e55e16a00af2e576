"""Constants of a TensorFlow graph, folded TensorFlow's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.constant_folding import COMMON_OPS, Array, ConstantFolder, NotConstant, Operation
from mrcnn_cv.importers.tensorflow.graphdef import Graph, node_name

MAX_SHAPE_DEPTH = 32
"""Shapes of tensors that are themselves made of shapes; a mesh grid needs three."""


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


_OPS: dict[str, Callable[..., Any]] = {
    **COMMON_OPS,
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
    "Squeeze": lambda node, value: np.squeeze(value, tuple(node.attr["squeeze_dims"].list.i) or None),
    "Fill": lambda node, shape, value: np.full(shape.astype(np.int64), value),
    "Tile": lambda node, value, multiples: np.tile(value, multiples),
    "Pack": lambda node, *values: np.stack(values, axis=node.attr["axis"].i),
    "ConcatV2": lambda node, *values: np.concatenate(values[:-1], axis=int(values[-1])),
    "Rsqrt": lambda node, value: 1 / np.sqrt(value),
    "AddV2": lambda node, a, b: a + b,
    "RealDiv": lambda node, a, b: a / b,
    "Minimum": lambda node, a, b: np.minimum(a, b),
    "Maximum": lambda node, a, b: np.maximum(a, b),
}


class TensorFlowConstantFolder(ConstantFolder):
    """`feature_shape`, when given, is what every Shape node of an unknown tensor answers (int32, NHWC): with it, grids
    over a feature map can be evaluated for a map of that size."""

    OPS = _OPS

    def __init__(self, graph: Graph, feature_shape: tuple[int, ...] | None = None) -> None:
        super().__init__(graph.budget)
        self._graph = graph
        self._feature_shape = feature_shape
        self._depth = 0

    def _key(self, tensor: str) -> str:
        return node_name(tensor)

    def _find(self, name: str) -> Array | str | Operation:
        node = self._graph.nodes[name]
        if node.op == "Const":
            return self._graph.constant(node)
        if node.op == "Shape":
            return self._shape(node)
        if node.op not in _OPS:
            return f"'{name}' is a {node.op}"
        inputs = self._graph.inputs(node)
        if any(":" in tensor and not tensor.endswith(":0") for tensor in inputs):
            return f"'{name}' takes a part of a tensor"
        return Operation(node, name, node.op, [node_name(tensor) for tensor in inputs])

    def _shape(self, node: pb.NodeDef) -> Array | str:
        self._depth += 1
        try:
            if self._depth > MAX_SHAPE_DEPTH:
                raise ModelFileError(f"has a node '{node.name}' (Shape) in too long a row of shapes of shapes")
            known = self.value(self._graph.inputs(node)[0]).shape
        except NotConstant as error:
            if self._feature_shape is None:
                return str(error)
            known = self._feature_shape
        finally:
            self._depth -= 1
        return np.array(known, dtype=np.int32)
