"""What torch saved before 1.6: five pickles one after the other, then the storages. torchvision's files are such.

Source: torch/serialization.py (_legacy_save, _legacy_load).
"""

from __future__ import annotations

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.base import CheckpointReader, ModelCheckpoint, mapped
from mrcnn_cv.importers.checkpoints.contents import arrays_of, plain_metadata, weights_and_rest
from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget, UnfitValue
from mrcnn_cv.importers.checkpoints.pickles.machine import run_pickle
from mrcnn_cv.importers.checkpoints.pickles.torch_objects import Storage, Storages, storage_of

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001

_MAGIC = MAGIC_NUMBER.to_bytes(10, "little")
_HEAD = 32
_COUNT_BYTES = 8


class TorchStream(CheckpointReader):
    """`torch.save` before torch 1.6."""

    def detect(self, file: CandidateFile) -> bool:
        """See CheckpointReader."""
        return file.head[:1] == b"\x80" and _MAGIC in file.head[:_HEAD]

    def load(self, file: CandidateFile) -> ModelCheckpoint:
        """See CheckpointReader."""
        data, budget = mapped(file).data, CheckpointBudget()
        position, head = 0, []
        for _ in range(3):
            value, position = run_pickle(data, position, budget)
            head.append(value)
        if head[:2] != [MAGIC_NUMBER, PROTOCOL_VERSION]:
            raise ModelFileError("begins as a file of torch before 1.6, but is none: copy or download it again")
        storages = _StreamStorages()
        root, position = run_pickle(data, position, budget, storages.find)
        keys, position = run_pickle(data, position, budget)
        storages.place(keys, data, position)
        weights, rest = weights_and_rest(root)
        arrays = arrays_of(weights, storages, budget)
        return ModelCheckpoint("torch-stream", arrays, plain_metadata(rest, storages, budget), mapped(file))


class _StreamStorages(Storages):
    """Storages that lie one behind the other: that of a key is found when all before it are known."""

    def __init__(self) -> None:
        self._found: dict[str, Storage] = {}
        self._data: dict[str, memoryview] = {}

    def find(self, value: object) -> object:
        """What a persistent id stands for."""
        found = storage_of(value)
        if isinstance(found, Storage):
            self._found.setdefault(found.key, found)
        return found

    def place(self, keys: object, data: memoryview, position: int) -> None:
        """Find them all: each is a number of values, of 8 bytes, and these."""
        if not isinstance(keys, list):
            raise ModelFileError("does not say where its weights are: copy or download it again")
        for key in keys:
            found = self._found.get(key) if isinstance(key, str) else None
            if found is None:
                raise ModelFileError("has weights of a type that is not read, or is damaged: copy or download it again")
            start = position + _COUNT_BYTES
            count = int.from_bytes(data[position:start], "little")
            position = start + count * found.type.item_size
            if position > len(data):
                raise ModelFileError("ends in the middle of its weights: copy or download it again")
            self._data[found.key] = data[start:position]

    def data(self, key: str, budget: CheckpointBudget) -> memoryview:
        """See Storages."""
        if key not in self._data:
            raise UnfitValue(f"whose values, '{key[:60]}', are not in the file")
        return self._data[key]
