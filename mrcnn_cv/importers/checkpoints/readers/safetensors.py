"""safetensors: the length of a header, the header in JSON, the values one behind the other.

Source: the format's own description (github.com/huggingface/safetensors, README, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.base import CheckpointMetadata, CheckpointReader, ModelCheckpoint, Plain, mapped
from mrcnn_cv.importers.checkpoints.contents import checked_name
from mrcnn_cv.importers.checkpoints.limits import (
    MAX_SAFETENSORS_HEADER,
    CheckpointBudget,
    UnfitValue,
    array_named,
    checked_shape,
    is_whole,
)
from mrcnn_cv.importers.checkpoints.pickles.numpy_objects import filled, number_type
from mrcnn_cv.importers.checkpoints.pickles.torch_objects import BFLOAT16, from_bfloat16

TYPES: Mapping[str, str] = {
    "BF16": BFLOAT16,
    "BOOL": "b1",
    **{f"F{8 * size}": f"f{size}" for size in (2, 4, 8)},
    **{f"{kind.upper()}{8 * size}": f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)},
}

_LENGTH = 8
_METADATA = "__metadata__"
_MAX_DIGITS = 20


class Safetensors(CheckpointReader):
    """`.safetensors`."""

    def detect(self, file: CandidateFile) -> bool:
        """See CheckpointReader."""
        if file.head[_LENGTH : _LENGTH + 1] != b"{":
            return False
        try:
            size = file.path.stat().st_size
        except OSError:
            return False
        return 2 <= _header_size(file) <= size - _LENGTH

    def load(self, file: CandidateFile) -> ModelCheckpoint:
        """See CheckpointReader."""
        source, size = mapped(file), _header_size(file)
        if size > MAX_SAFETENSORS_HEADER:
            raise ModelFileError(f"has a header of more than {MAX_SAFETENSORS_HEADER:,} bytes, so it holds no detector")
        header = _header(source.data[_LENGTH : _LENGTH + size])
        values, budget = source.data[_LENGTH + size :], CheckpointBudget()
        arrays = {
            checked_name(name): _named_array(name, entry, values, budget)
            for name, entry in header.items()
            if name != _METADATA
        }
        if not arrays:
            raise ModelFileError("holds no weights: take the file that has them")
        return ModelCheckpoint("safetensors", arrays, CheckpointMetadata(_metadata(header)), source)


def _header_size(file: CandidateFile) -> int:
    return int.from_bytes(file.head[:_LENGTH], "little")


def _header(data: memoryview) -> dict[str, Any]:
    try:
        header = json.loads(
            str(data, "utf-8"), parse_int=_integer, parse_constant=_damaged, object_pairs_hook=_without_doubles
        )
    except (ValueError, RecursionError) as error:
        raise ModelFileError("has a header that is no JSON: copy or download it again") from error
    if not isinstance(header, dict):
        _damaged()
    return header


def _integer(text: str) -> int:
    # Python takes long for long ones, and sizes have at most twenty digits.
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number of too many digits")
    return int(text)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _damaged(*_: object) -> NoReturn:
    raise ModelFileError("has a header that is damaged: copy or download it again")


def _metadata(header: Mapping[str, Any]) -> dict[str, Plain]:
    found = header.get(_METADATA)
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def _named_array(name: str, entry: object, values: memoryview, budget: CheckpointBudget) -> NDArray[Any]:
    with array_named(name):
        return _array(entry, values, budget)


def _array(entry: object, values: memoryview, budget: CheckpointBudget) -> NDArray[Any]:
    if not isinstance(entry, dict):
        raise UnfitValue("without a type")
    kind, place = entry.get("dtype"), entry.get("data_offsets")
    if not isinstance(kind, str) or kind not in TYPES:
        raise UnfitValue(f"of the type '{str(kind)[:16]}', which is not read", "save it as F32")
    is_bfloat16 = TYPES[kind] == BFLOAT16
    dtype = number_type("<", "u2" if is_bfloat16 else TYPES[kind])
    shape, count = checked_shape(entry.get("shape"), dtype.itemsize)
    budget.array(count * dtype.itemsize)
    if not isinstance(place, list) or len(place) != 2 or not all(is_whole(each) for each in place):
        raise UnfitValue("without a place in the file")
    start, end = place
    if not 0 <= start <= end <= len(values) or end - start != count * dtype.itemsize:
        raise UnfitValue("that is not where the header says")
    found = filled(values[start:end], dtype, shape, False)
    if is_bfloat16:
        budget.unpack(4 * count)
        return from_bfloat16(found)
    return found
