"""numpy's .npz: an archive of .npy files, as tensorpack dumps weights.

Source: numpy/lib/_format_impl.py.
"""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.base import CheckpointMetadata, CheckpointReader, ModelCheckpoint, Place, mapped
from mrcnn_cv.importers.checkpoints.contents import checked_name
from mrcnn_cv.importers.checkpoints.limits import (
    MAX_NPY_HEADER,
    CheckpointBudget,
    UnfitValue,
    array_named,
    checked_shape,
)
from mrcnn_cv.importers.checkpoints.pickles.numpy_objects import NUMBERS, filled, number_type
from mrcnn_cv.importers.checkpoints.readers.zip_directory import find_zip_directory, zip_directory

_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY"
_PREFIX = 8
_LENGTHS = {1: 2, 2: 4, 3: 4}
"""Bytes of the header's length by the format's version."""

_HEADER = re.compile(
    r"\{'descr': (?P<type>[^{}]{1,400}?), 'fortran_order': (?P<fortran>True|False),"
    r" 'shape': \((?P<shape>[\dL, ]*)\),? *\} *\n?",
    re.ASCII,
)
_NUMBER_TYPE = re.compile(r"'([<>|=])([a-z]\d)'")
_SIZE = re.compile(r"\d{1,18}")


class Npz(CheckpointReader):
    """`numpy.savez` and `numpy.savez_compressed`. A ":0" at the end of a name, TensorFlow's, is left out."""

    def detect(self, file: CandidateFile) -> bool:
        """See CheckpointReader."""
        archive = find_zip_directory(file)
        return archive is not None and bool(archive.entries) and all(name.endswith(_SUFFIX) for name in archive.entries)

    def load(self, file: CandidateFile) -> ModelCheckpoint:
        """See CheckpointReader."""
        archive, budget = zip_directory(file), CheckpointBudget()
        arrays: dict[str, NDArray[Any]] = {}
        unread: dict[Place, str] = {}
        for member in archive.entries:
            name = checked_name(member.removesuffix(_SUFFIX).removesuffix(":0"))
            if name in arrays:
                raise ModelFileError(f"has two arrays '{name}': save it again")
            with array_named(name):
                found = _array(archive.bytes_of(member, budget), budget)
            if isinstance(found, str):
                unread[(name,)] = found
            else:
                arrays[name] = found
        if not arrays:
            raise ModelFileError("holds no arrays of numbers: save the weights by name with numpy.savez")
        return ModelCheckpoint("npz", arrays, CheckpointMetadata({}, unread), mapped(file))


def _array(data: memoryview, budget: CheckpointBudget) -> NDArray[Any] | str:
    """The array of a .npy file; what it is instead where it is none of numbers."""
    version = data[6] if len(data) > _PREFIX else 0
    if bytes(data[:6]) != _MAGIC or version not in _LENGTHS:
        raise UnfitValue("that is no .npy file")
    start = _PREFIX + _LENGTHS[version]
    size = int.from_bytes(data[_PREFIX:start], "little")
    header = _HEADER.fullmatch(str(data[start : start + size], "latin-1")) if size <= MAX_NPY_HEADER else None
    if header is None:
        raise UnfitValue("with a header that is not numpy's")
    kind = _NUMBER_TYPE.fullmatch(header["type"])
    if kind is None or kind[2] not in NUMBERS:
        return f"an array of the type {header['type'][:40]}"
    dtype = number_type(kind[1], kind[2])
    shape, count = checked_shape([int(one) for one in _SIZE.findall(header["shape"])], dtype.itemsize)
    budget.array(count * dtype.itemsize)
    values = data[start + size :]
    if len(values) != count * dtype.itemsize:
        raise UnfitValue(f"of {len(values)} bytes, where its shape needs {count * dtype.itemsize}")
    return filled(values, dtype, shape, header["fortran"] == "True")
