"""Evaluate the small sums inside an ONNX graph (batch norms, anchors, sizes, thresholds) with numpy.

Numbers are thus read as the graph computes them, whether the exporter folded them or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.onnx.tensors import DTYPES
from mrcnn_cv.importers.tensorflow.constant_folding import MAX_ELEMENTS, NotConstant

Array = NDArray[Any]


class OnnxConstantFolder:
    """Values of tensors that do not depend on the image."""

    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph
        self._values: dict[str, Array | NotConstant] = {}

    def value(self, tensor: str) -> Array:
        """The value of a tensor; raises NotConstant when it depends on the image."""
        tensor = self._graph.skip_identity(tensor)
        stack = [tensor]
        while stack:
            name = stack[-1]
            missing = [] if name in self._values else [each for each in self._needs(name) if each not in self._values]
            if missing:
                stack.extend(missing)
                continue
            if name not in self._values:
                self._values[name] = self._compute(name)
            stack.pop()
        found = self._values[tensor]
        if isinstance(found, NotConstant):
            raise found
        return found

    def find(self, tensor: str) -> Array | None:
        """The value of a tensor, None when it depends on the image or is left out."""
        try:
            return self.value(tensor) if tensor else None
        except NotConstant:
            return None

    def number(self, tensor: str) -> float | None:
        """The value of a tensor that holds one number, None for any other."""
        value = self.find(tensor)
        return float(value.item()) if value is not None and value.size == 1 and value.dtype.kind in "iuf" else None

    def _needs(self, tensor: str) -> list[str]:
        node = self._graph.producer(tensor)
        if node is None or node.op not in _OPS:
            return []
        return [self._graph.skip_identity(name) for name in node.inputs if name]

    def _compute(self, tensor: str) -> Array | NotConstant:
        if self._graph.is_constant(tensor):
            return self._graph.constant(tensor)
        node = self._graph.producer(tensor)
        if node is None or node.op not in _OPS or tensor != node.outputs[0]:
            return NotConstant(f"'{tensor}' is {'an input' if node is None else f'a {node.op}'}")
        inputs: list[Array | None] = []
        for name in node.inputs:
            value = self._values[self._graph.skip_identity(name)] if name else None
            if isinstance(value, NotConstant):
                return value
            inputs.append(value)
        try:
            if _size_bound(node, inputs) > MAX_ELEMENTS:
                raise ModelFileError(f"has a node '{node.name}' ({node.op}) that is too large for what it stands for")
            with np.errstate(all="ignore"):
                result = np.asarray(_OPS[node.op](node, *inputs))
            self._graph.budget.compute(result.nbytes)
            return result
        except (ValueError, IndexError, TypeError, OverflowError, MemoryError, AttributeError, KeyError) as error:
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) that cannot be computed: {error}") from error


def _size_bound(node: Node, inputs: list[Array | None]) -> int:
    """How many numbers the result can have at most, known beforehand; 0 where it is no more than what is there."""
    known = [value for value in inputs if value is not None]
    if node.op in _ELEMENTWISE:
        return math.prod(np.broadcast_shapes(*(value.shape for value in known)))
    if node.op in ("Expand", "ConstantOfShape"):
        return math.prod(int(side) for side in known[-1].ravel()) * (known[0].size if node.op == "Expand" else 1)
    if node.op == "Range":
        start, limit, delta = (float(value) for value in known)
        return math.ceil(abs((limit - start) / delta)) if delta else MAX_ELEMENTS + 1
    if node.op == "Gather":
        return math.prod(value.size for value in known)
    return sum(value.size for value in known) if node.op == "Concat" else 0


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
    from mrcnn_cv.importers.onnx.tensors import tensor_value

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


_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "Clip"})

_OPS: dict[str, Callable[..., Any]] = {
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
    "Range": lambda node, start, limit, delta: np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype),
    "Expand": lambda node, value, shape: value * np.ones([int(side) for side in shape], dtype=value.dtype),
    "ConstantOfShape": _constant_of_shape,
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Div": _divide,
    "Pow": lambda node, a, b: np.power(a, b).astype(a.dtype),
    "Min": lambda node, *values: np.minimum.reduce(np.broadcast_arrays(*values)),
    "Max": lambda node, *values: np.maximum.reduce(np.broadcast_arrays(*values)),
    "Where": lambda node, condition, a, b: np.where(condition, a, b),
    "Clip": _clip,
    "Sqrt": lambda node, value: np.sqrt(value),
    "Reciprocal": lambda node, value: 1 / value,
    "Neg": lambda node, value: -value,
    "Exp": lambda node, value: np.exp(value),
    "Log": lambda node, value: np.log(value),
    "Floor": lambda node, value: np.floor(value),
    "Ceil": lambda node, value: np.ceil(value),
    "ReduceMin": _reduced(np.min),
    "ReduceMax": _reduced(np.max),
    "ReduceProd": _reduced(np.prod),
}
