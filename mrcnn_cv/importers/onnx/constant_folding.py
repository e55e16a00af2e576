"""Constants of an ONNX graph, folded as ONNX says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mrcnn_cv.importers.constant_folding import COMMON_OPS, Array, ConstantFolder, Operation
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.onnx.tensors import DTYPES, tensor_value


def _axes(node: Node, axes: Array | None) -> tuple[int, ...]:
    """Axes are an attribute before opset 13, an input from then on."""
    return tuple(node.wholes("axes")) if axes is None else tuple(int(axis) for axis in axes.ravel())


def _unsqueeze(node: Node, value: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(value, _axes(node, axes))


def _squeeze(node: Node, value: Array, axes: Array | None = None) -> Array:
    return np.squeeze(value, _axes(node, axes) or None)


def _reshape(node: Node, value: Array, shape: Array) -> Array:
    sides = [value.shape[axis] if side == 0 else int(side) for axis, side in enumerate(shape)]
    return value.reshape(sides)


def _slice(
    node: Node, value: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None
) -> Array:
    index = [slice(None)] * value.ndim
    for position in range(len(starts)):
        step = 1 if steps is None else int(steps[position])
        end = int(ends[position])
        # A slice backwards to the very first element ends before it.
        last = None if step < 0 and end < -value.shape[position if axes is None else int(axes[position])] else end
        index[position if axes is None else int(axes[position])] = slice(int(starts[position]), last, step)
    return value[tuple(index)]


def _cast(node: Node, value: Array) -> Array:
    return value.astype(DTYPES[node.whole("to", 0)], copy=False)


def _constant_of_shape(node: Node, shape: Array) -> Array:
    fill = tensor_value(node.attributes["value"].t, node.name) if node.has("value") else np.zeros(1, np.float32)
    return np.full(tuple(int(side) for side in shape), fill.ravel()[0])


def _divide(node: Node, value: Array, divisor: Array) -> Array:
    # Whole numbers are divided towards zero.
    if value.dtype.kind in "iu":
        return np.asarray(np.trunc(value / divisor)).astype(value.dtype)
    return np.asarray(value / divisor)


def _clip(node: Node, value: Array, least: Array | None = None, most: Array | None = None) -> Array:
    low = node.real("min", -math.inf) if least is None else least
    high = node.real("max", math.inf) if most is None else most
    return np.clip(value, low, high).astype(value.dtype)


def _flatten(node: Node, value: Array) -> Array:
    axis = node.whole("axis", 1)
    return value.reshape(math.prod(value.shape[:axis]), -1)


def _transpose(node: Node, value: Array) -> Array:
    return np.transpose(value, node.wholes("perm") or None)


def _reduced(function: Callable[..., Any]) -> Callable[..., Array]:
    def reduce(node: Node, value: Array, axes: Array | None = None) -> Array:
        return np.asarray(function(value, axis=_axes(node, axes) or None, keepdims=bool(node.whole("keepdims", 1))))

    return reduce


_OPS: dict[str, Callable[..., Any]] = {
    **COMMON_OPS,
    "Cast": _cast,
    "Shape": lambda node, value: np.array(value.shape, dtype=np.int64),
    "Reshape": _reshape,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Concat": lambda node, *values: np.concatenate(values, axis=node.whole("axis", 0)),
    "Gather": lambda node, value, indices: np.take(value, indices, axis=node.whole("axis", 0)),
    "Slice": _slice,
    "Expand": lambda node, value, shape: value * np.ones([int(side) for side in shape], dtype=value.dtype),
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Pow": lambda node, a, b: np.power(a, b).astype(a.dtype),
    "Min": lambda node, *values: np.minimum.reduce(np.broadcast_arrays(*values)),
    "Max": lambda node, *values: np.maximum.reduce(np.broadcast_arrays(*values)),
    "Where": lambda node, condition, a, b: np.where(condition, a, b),
    "Clip": _clip,
    "Reciprocal": lambda node, value: 1 / value,
    "Exp": lambda node, value: np.exp(value),
    "Log": lambda node, value: np.log(value),
    "Floor": lambda node, value: np.floor(value),
    "Ceil": lambda node, value: np.ceil(value),
    "ReduceMin": _reduced(np.min),
    "ReduceMax": _reduced(np.max),
    "ReduceProd": _reduced(np.prod),
}


class OnnxConstantFolder(ConstantFolder):
    """The constants of `graph`."""

    OPS = _OPS

    def __init__(self, graph: OnnxGraph) -> None:
        super().__init__(graph.budget)
        self._graph = graph

    def _key(self, tensor: str) -> str:
        return self._graph.skip_identity(tensor)

    def _find(self, name: str) -> Array | str | Operation:
        if self._graph.is_constant(name):
            return self._graph.constant(name)
        node = self._graph.producer(name)
        if node is None or node.op not in _OPS or name != node.outputs[0]:
            return f"'{name}' is {'an input' if node is None else f'a {node.op}'}"
        return Operation(node, node.name, node.op, [self._graph.skip_identity(each) for each in node.inputs])
