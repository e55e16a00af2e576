"""Fold the constants inside a graph (anchor grids, sizes, thresholds, batch norms) with numpy, for any file format.

Numbers are thus read as the graph computes them, whatever the exporter called its nodes and however it folded them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.limits import Budget

Array = NDArray[Any]

MAX_ELEMENTS = 1 << 24
"""A result with more numbers than this is not an anchor grid or a threshold."""


class NotConstant(Exception):
    """The value depends on the image."""


@dataclass(frozen=True)
class Operation:
    """A node that can be computed. inputs: the tensors that it takes, "" for one that is left out."""

    node: Any
    name: str
    op: str
    inputs: list[str]


class ConstantFolder(ABC):
    """Values of tensors that do not depend on the image; a format tells how its nodes are found and computed."""

    OPS: ClassVar[Mapping[str, Callable[..., Any]]]
    """What is computed, by the op's name: takes the node and the values of its inputs (None: left out)."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._values: dict[str, Array | str] = {}

    def value(self, tensor: str) -> Array:
        """The value of a tensor; raises NotConstant when it depends on the image."""
        stack, waiting = [self._key(tensor)], set[str]()
        while True:
            name = stack[-1]
            value = self._values.get(name)
            if value is None:
                found = self._find(name)
                missing = []
                if isinstance(found, Operation):
                    missing = [each for each in found.inputs if each and each not in self._values]
                self._budget.step(1 + len(missing))
                if missing and name not in waiting:
                    waiting.add(name)
                    stack.extend(missing)
                    continue
                if isinstance(found, Operation):
                    found = f"'{name}' depends on itself" if missing else self._compute(found)
                value = self._values[name] = found
            if isinstance(value, str):
                # All that wait for what is not known are not known either, and need not be walked again.
                self._values.update(dict.fromkeys(waiting - self._values.keys(), value))
                raise NotConstant(value)
            stack.pop()
            if not stack:
                return value

    def find(self, tensor: str) -> Array | None:
        """The value of a tensor, None when it depends on the image or is left out ("")."""
        try:
            return self.value(tensor) if tensor else None
        except NotConstant:
            return None

    def number(self, tensor: str) -> float | None:
        """The value of a tensor that holds one number, None for any other."""
        value = self.find(tensor)
        return float(value.item()) if value is not None and value.size == 1 and value.dtype.kind in "iuf" else None

    @abstractmethod
    def _key(self, tensor: str) -> str:
        """The name under which the value of a tensor is kept."""

    @abstractmethod
    def _find(self, name: str) -> Array | str | Operation:
        """A constant of the file, why a tensor is none, or what is to be computed of other tensors."""

    def _compute(self, operation: Operation) -> Array | str:
        inputs: list[Any] = []
        for name in operation.inputs:
            value = self._values[name] if name else None
            if isinstance(value, str):
                return value
            inputs.append(value)
        what = f"has a node '{operation.name}' ({operation.op}) that"
        try:
            if _size_bound(operation.op, [value for value in inputs if value is not None]) > MAX_ELEMENTS:
                raise ModelFileError(f"{what} is too large for what it stands for")
            with np.errstate(all="ignore"):
                result = np.asarray(self.OPS[operation.op](operation.node, *inputs))
        except NotConstant as error:
            return str(error)
        except (ValueError, IndexError, TypeError, OverflowError, MemoryError, AttributeError, KeyError) as error:
            raise ModelFileError(f"{what} cannot be computed: {error}") from error
        self._budget.compute(result.nbytes)
        return result


_ELEMENTWISE = frozenset(
    {
        *("Add", "AddV2", "Sub", "Mul", "RealDiv", "Minimum", "Maximum"),
        *("Div", "Pow", "Min", "Max", "Where", "Clip"),
    }
)


def _size_bound(op: str, inputs: list[Array]) -> int:
    """How many numbers the result can have at most, known beforehand; 0 where it is no more than what is there."""
    if op in _ELEMENTWISE:
        return math.prod(np.broadcast_shapes(*(value.shape for value in inputs)))
    if op in ("Concat", "ConcatV2", "Pack"):
        return sum(value.size for value in inputs)
    if op == "Gather":
        return math.prod(value.size for value in inputs)
    if op == "Range":
        start, limit, delta = (float(value) for value in inputs)
        return math.ceil(abs((limit - start) / delta)) if delta else MAX_ELEMENTS + 1
    if op in ("Fill", "ConstantOfShape"):
        return math.prod(int(side) for side in inputs[0].ravel())
    if op in ("Tile", "Expand"):
        return inputs[0].size * math.prod(int(side) for side in inputs[1].ravel())
    return 0


COMMON_OPS: dict[str, Callable[..., Any]] = {
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Neg": lambda node, value: -value,
    "Sqrt": lambda node, value: np.sqrt(value),
    "Range": lambda node, start, limit, delta: np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype),
}
"""What all formats compute alike."""
