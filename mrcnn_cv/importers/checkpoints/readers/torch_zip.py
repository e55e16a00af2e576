"""What torch has saved since 1.6: an archive of a pickle and one stored member for each storage.

Source: torch/serialization.py (_save, _load).
"""

from __future__ import annotations

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.base import CheckpointReader, ModelCheckpoint, mapped
from mrcnn_cv.importers.checkpoints.contents import arrays_of, plain_metadata, weights_and_rest
from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget, UnfitValue
from mrcnn_cv.importers.checkpoints.pickles.machine import run_pickle
from mrcnn_cv.importers.checkpoints.pickles.torch_objects import Storages, storage_of
from mrcnn_cv.importers.checkpoints.readers.zip_directory import ZipDirectory, find_zip_directory, zip_directory

_PICKLE = "data.pkl"


class TorchZip(CheckpointReader):
    """`torch.save` since torch 1.6."""

    def detect(self, file: CandidateFile) -> bool:
        """See CheckpointReader."""
        archive = find_zip_directory(file)
        return archive is not None and _top(archive) is not None

    def load(self, file: CandidateFile) -> ModelCheckpoint:
        """See CheckpointReader."""
        archive, budget = zip_directory(file), CheckpointBudget()
        top = _top(archive) or ""
        if f"{top}constants.pkl" in archive.entries or any(name.startswith(f"{top}code/") for name in archive.entries):
            raise ModelFileError(
                "is TorchScript, a program with its weights, of which nothing is run: save the model's weights with"
                " torch.save(model.state_dict(), ...), or export it to ONNX"
            )
        storages = _ZipStorages(archive, top, budget)
        root, _ = run_pickle(archive.bytes_of(f"{top}{_PICKLE}", budget), 0, budget, storage_of)
        weights, rest = weights_and_rest(root)
        arrays = arrays_of(weights, storages, budget)
        return ModelCheckpoint("torch-zip", arrays, plain_metadata(rest, storages, budget), mapped(file))


def _top(archive: ZipDirectory) -> str | None:
    """The folder of the archive that all lies in, with a slash; None where there is no pickle of torch."""
    for name in archive.entries:
        top, _, rest = name.partition("/")
        if rest == _PICKLE:
            return f"{top}/"
    return None


class _ZipStorages(Storages):
    def __init__(self, archive: ZipDirectory, top: str, budget: CheckpointBudget) -> None:
        self._archive, self._top = archive, top
        self._data: dict[str, memoryview] = {}
        name = f"{top}byteorder"
        if name in archive.entries:
            order = bytes(archive.bytes_of(name, budget)[:16])
            if order not in (b"little", b"big"):
                raise ModelFileError("does not say in which order its bytes are: copy or download it again")
            self.order = ">" if order == b"big" else "<"

    def data(self, key: str, budget: CheckpointBudget) -> memoryview:
        """See Storages."""
        name = f"{self._top}data/{key}"
        if name not in self._archive.entries:
            raise UnfitValue(f"whose values, '{name[-60:]}', are not in the archive")
        if key not in self._data:
            self._data[key] = self._archive.bytes_of(name, budget)
        return self._data[key]
