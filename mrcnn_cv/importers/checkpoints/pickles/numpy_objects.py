"""numpy's arrays as pickles have them: made empty and given a state (all protocols), or from a buffer (protocol 5).

Source: __reduce__ and __setstate__ of numpy/_core/src/multiarray/methods.c and descriptor.c, numpy/_core/numeric.py
(_frombuffer).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget, UnfitValue, checked_shape, is_whole
from mrcnn_cv.importers.checkpoints.pickles.values import Opaque, StoredArray, data_of

if TYPE_CHECKING:
    from mrcnn_cv.importers.checkpoints.pickles.torch_objects import Storages

NUMBERS = frozenset({"b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), "f2", "f4", "f8"})
"""The types of arrays that are read, as numpy names them."""

_OBJECTS = ("O8", "O4", "O")
_ORDERS = ("<", ">", "=", "|")


class NumpyDtype:
    """The type of an array: `code`, numpy's name for it without the order of bytes."""

    __slots__ = ("_order", "code")

    def __init__(self, code: str) -> None:
        self.code = code
        self._order = "="

    def build(self, state: object) -> None:
        """Take the order of bytes out of a state: (version, order, subarray, names, fields, ...)."""
        if isinstance(state, tuple) and len(state) >= 5 and state[1] in _ORDERS and state[2] is state[3] is None:
            self._order = str(state[1])
        else:
            self.code = "V"

    @property
    def is_object(self) -> bool:
        """Whether its values are Python's objects."""
        return self.code in _OBJECTS

    def numbers(self) -> np.dtype[Any]:
        """The same as numpy's own. Raises UnfitValue."""
        return number_type(self._order, self.code)


def number_type(order: str, code: str) -> np.dtype[Any]:
    """A type of numbers by its name. Raises UnfitValue for what is none."""
    if code not in NUMBERS:
        raise UnfitValue(f"of the type '{code}', which is none of numbers", "save it as numbers")
    # What was written in the writer's own order, numpy marks.
    return np.dtype((order if order in "<>" else "<") + code)


class NumpyArray(StoredArray):
    """An array of numpy."""

    def __init__(
        self, shape: object = (), dtype: object = None, is_fortran: bool = False, data: object = None, axes: object = ()
    ) -> None:
        self.shape, self._dtype, self._is_fortran, self._data, self._axes = shape, dtype, is_fortran, data, axes

    def build(self, state: object) -> None:
        """Take a state: (version, shape, type, whether columns come first, bytes or items), or without a version."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            # Perhaps nobody needs it; who does finds an array without a type.
            return
        self.shape, self._dtype, is_fortran, self._data = state[-4:]
        self._is_fortran = bool(is_fortran)
        if isinstance(self._dtype, NumpyDtype) and self._dtype.is_object and isinstance(self._data, list):
            self.items = self._data

    def array(self, storages: Storages, budget: CheckpointBudget) -> NDArray[Any]:
        """See StoredArray."""
        if not isinstance(self._dtype, NumpyDtype):
            raise UnfitValue("without a type")
        dtype = self._dtype.numbers()
        shape, count = checked_shape(self.shape, dtype.itemsize)
        budget.array(count * dtype.itemsize)
        data = data_of(self._data, budget)
        if len(data) != count * dtype.itemsize:
            raise UnfitValue(f"of {len(data)} bytes, where its shape {list(shape)} needs {count * dtype.itemsize}")
        found = filled(data, dtype, shape, self._is_fortran)
        axes = self._axes
        if axes == ():
            return found
        if not isinstance(axes, tuple) or sorted(axis for axis in axes if is_whole(axis)) != list(range(len(shape))):
            raise UnfitValue("whose axes are damaged")
        return found.transpose(axes)


def filled(data: memoryview, dtype: np.dtype[Any], shape: Sequence[int], is_fortran: bool) -> NDArray[Any]:
    """An array over bytes that are as many as it needs, read-only."""
    if not len(data):
        return empty(shape, dtype)
    found: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
    found.flags.writeable = False
    return found


def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array without values, read-only."""
    found: NDArray[Any] = np.empty(shape, dtype)
    found.flags.writeable = False
    return found


def make_dtype(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`numpy.dtype(code, align, copy)`."""
    code = arguments[0]
    return NumpyDtype(str(code)[:16]) if isinstance(code, str) else Opaque("numpy.dtype")


def make_array(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`_reconstruct(class, shape, type)`, which is given its state afterwards."""
    return NumpyArray()


def make_scalar(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`scalar(dtype, bytes)`: an array without axes."""
    dtype, data = arguments[0], arguments[1] if len(arguments) > 1 else b""
    return NumpyArray((), dtype, data=data)


def make_from_buffer(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`_frombuffer(buffer, dtype, shape, order, axes)`."""
    data, dtype, shape, order = arguments[:4]
    axes = arguments[4] if len(arguments) > 4 else None
    return NumpyArray(shape, dtype, order == "F", data, () if axes is None else axes)
