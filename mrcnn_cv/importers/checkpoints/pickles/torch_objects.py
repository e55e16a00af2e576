"""torch's tensors as its pickles have them: a view into a storage that lies elsewhere in the file.

Source: torch/_utils.py (_rebuild_tensor_v2 and others), torch/serialization.py (persistent ids).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget, UnfitValue, checked_shape, is_whole
from mrcnn_cv.importers.checkpoints.pickles.numpy_objects import empty, number_type
from mrcnn_cv.importers.checkpoints.pickles.values import Opaque, StoredArray

BFLOAT16 = "bf16"
"""The upper half of a float32: numpy has no such type."""

STORAGE_TYPES: Mapping[str, str] = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": BFLOAT16,
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
    "Untyped": "u1",
}
"""torch's names of storages without their end → numpy's of what is in them."""

TENSOR_TYPES: Mapping[str, str] = {
    "float64": "f8",
    "double": "f8",
    "float32": "f4",
    "float": "f4",
    "float16": "f2",
    "half": "f2",
    "bfloat16": BFLOAT16,
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "b1",
}
"""torch's names of types → numpy's."""


@dataclass(frozen=True)
class TorchType:
    """A class of storages, or a type of tensors; `code` as numpy names it, or BFLOAT16."""

    name: str
    code: str

    @property
    def item_size(self) -> int:
        """Bytes of a value."""
        return 2 if self.code == BFLOAT16 else int(self.code[1:])


@dataclass(frozen=True)
class Storage:
    """What a tensor is a view of.

    start  where it begins in the storage `key`: old files have views of views
    count  how many values it has, as those of `type`
    """

    type: TorchType
    key: str
    whole: int
    start: int
    count: int


class Storages(ABC):
    """The bytes of a file's storages. `order`: of their bytes, "<" or ">"."""

    order: str = "<"

    @abstractmethod
    def data(self, key: str, budget: CheckpointBudget) -> memoryview:
        """The bytes of one. Raises UnfitValue where there is none."""


class NoStorages(Storages):
    """Of files that have none."""

    def data(self, key: str, budget: CheckpointBudget) -> memoryview:
        """See Storages."""
        raise UnfitValue(f"that lies in a storage '{key[:40]}', which the file lacks")


class TorchTensor(StoredArray):
    """A tensor; `type` where it is not that of its storage."""

    def __init__(self, storage: Storage, offset: object, shape: object, steps: object, type: TorchType | None) -> None:
        self._storage, self._offset, self.shape, self._steps = storage, offset, shape, steps
        self._type = type or storage.type

    def array(self, storages: Storages, budget: CheckpointBudget) -> NDArray[Any]:
        """See StoredArray; bfloat16 becomes float32."""
        kind, size = self._type, self._type.item_size
        shape, count = checked_shape(self.shape, size)
        budget.array(count * size)
        is_bfloat16 = kind.code == BFLOAT16
        dtype = number_type(storages.order, "u2" if is_bfloat16 else kind.code)
        if count == 0:
            found = empty(shape, dtype)
        else:
            data = self._data(storages, budget)
            offset, steps = self._layout(shape, len(data) // size)
            found = np.ndarray(shape, dtype, data, offset * size, [step * size for step in steps])
        if is_bfloat16:
            budget.unpack(4 * count)
            return from_bfloat16(found)
        return found

    def _data(self, storages: Storages, budget: CheckpointBudget) -> memoryview:
        storage, size = self._storage, self._storage.type.item_size
        data = storages.data(storage.key, budget)
        if not 0 <= storage.start <= storage.start + storage.count <= storage.whole:
            raise UnfitValue("that reaches beyond its storage")
        if storage.whole * size > len(data):
            raise UnfitValue(f"whose storage of {storage.whole * size:,} bytes has {len(data):,} in the file")
        return data[storage.start * size : (storage.start + storage.count) * size]

    def _layout(self, shape: tuple[int, ...], count: int) -> tuple[int, list[int]]:
        """(where it begins in a storage of `count` values, how far apart these are along each axis)."""
        steps, offset = self._steps, self._offset
        if not isinstance(steps, Sequence) or len(steps) != len(shape) or not is_whole(offset):
            raise UnfitValue("whose strides are damaged")
        if not all(is_whole(step) and step >= 0 for step in steps):
            raise UnfitValue("whose strides are damaged")
        assert isinstance(offset, int)
        last = offset + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
        if offset < 0 or last >= count:
            raise UnfitValue("that reaches beyond its storage")
        # Where an axis has one value its stride means nothing, and may be any number.
        return offset, [step if size > 1 else 1 for size, step in zip(shape, steps, strict=True)]


def from_bfloat16(bits: NDArray[Any]) -> NDArray[np.float32]:
    """The values of bfloat16 by their bits (unsigned, two bytes), as float32; read-only."""
    wide = bits.astype(np.uint32, order="C")
    wide <<= np.uint32(16)
    found = wide.view(np.float32)
    found.flags.writeable = False
    return found


def storage_of(value: object) -> object:
    """What a persistent id of torch stands for: ("storage", class, key, device, count[, view]).

    view: None, or (key, where it begins, count) in files of before torch 1.6.
    """
    if isinstance(value, tuple) and len(value) > 1 and value[0] == "module" and isinstance(value[1], Opaque):
        # Before torch 1.6 the class of a module, with its source.
        return value[1]
    if not isinstance(value, tuple) or len(value) < 5 or value[0] != "storage":
        return Opaque("a persistent id")
    kind, key, count = value[1], value[2], value[4]
    if not isinstance(kind, TorchType):
        return kind if isinstance(kind, Opaque) else Opaque("a torch storage")
    if not isinstance(key, str) or not is_whole(count) or count < 0:
        return Opaque("a torch storage that is damaged")
    view = value[5] if len(value) > 5 else None
    start, size = 0, count
    if view is not None:
        if not isinstance(view, tuple) or len(view) != 3 or not is_whole(view[1]) or not is_whole(view[2]):
            return Opaque("a torch storage that is damaged")
        start, size = view[1], view[2]
    return Storage(kind, key, count, start, size)


def make_tensor(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`_rebuild_tensor(storage, offset, shape, strides)`, and `_rebuild_tensor_v2`, which has more behind."""
    return _tensor(arguments, None)


def make_typed_tensor(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`_rebuild_tensor_v3(storage, offset, shape, strides, requires_grad, hooks, dtype)`."""
    kind = arguments[6]
    return _tensor(arguments, kind) if isinstance(kind, TorchType) else kind


def _tensor(arguments: Sequence[object], kind: TorchType | None) -> object:
    storage, offset, shape, steps = arguments[:4]
    if not isinstance(storage, Storage):
        return storage if isinstance(storage, Opaque) else Opaque("a torch tensor")
    return TorchTensor(storage, offset, shape, steps, kind)


def make_parameter(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`_rebuild_parameter(tensor, requires_grad, hooks[, state])`."""
    return arguments[0]
