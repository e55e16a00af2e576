"""The values of constants as TensorFlow and ONNX store them, checked against their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
from google.protobuf.message import Message

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.constant_folding import Array
from mrcnn_cv.importers.wire_format import Content

MAX_AXES = 16

MAX_REPEATED = 1 << 24
"""A list that stands for more values than this is no layer's weights."""


def stored_value(
    name: str,
    shape: Sequence[int],
    dtype: str | None,
    message: Message,
    fields: tuple[str, str],
    taken: Content | None,
    repeats: bool = False,
) -> Array:
    """The value of a constant as an array of its own type; raises ModelFileError where data and shape disagree.

    Values that lie as bytes are not copied (bfloat16 is), and may be unaligned.

    dtype: numpy's name, "bfloat16", or None for a type that is not supported. message: the constant as it was parsed.
    fields: where the message holds values as bytes, and where it lists them one by one; halves as their bits. taken:
    what was taken out of the message. repeats: the last value of a list fills the shape, and none at all are zeros.
    """
    what = f"has a constant '{name}'"
    if dtype is None:
        raise ModelFileError(f"{what} of a type that is not supported")
    if len(shape) > MAX_AXES or min(shape, default=0) < 0:
        raise ModelFileError(f"{what} of the shape {list(shape)[:MAX_AXES]}, which cannot be")
    count, stored = prod(shape), np.dtype("<u2" if dtype == "bfloat16" else dtype)
    raw_field, list_field = fields
    numbers = message.DESCRIPTOR.fields_by_name
    is_list = taken is not None and taken.field != numbers[raw_field].number
    raw = b"" if is_list else getattr(message, raw_field) if taken is None else taken.data
    if raw or (count == 0 and not repeats):
        if len(raw) != count * stored.itemsize:
            needed = count * stored.itemsize
            raise ModelFileError(f"{what} that holds {len(raw)} bytes where its shape {list(shape)} needs {needed}")
        value: Array = np.frombuffer(raw, dtype=stored)
    else:
        if taken is not None and is_list and taken.field == numbers[list_field].number:
            # Of numbers of a fixed size, a list lies as they do in memory.
            value = np.frombuffer(taken.data, dtype=stored)
        else:
            value = _listed(what, list(getattr(message, list_field)), stored)
        missing = count - len(value)
        if missing and (not repeats or missing < 0 or count > MAX_REPEATED):
            raise ModelFileError(f"{what} that lists {len(value)} values for a shape of {count}")
        if missing:
            value = np.append(value, np.full(missing, value[-1] if len(value) else 0, value.dtype))
    if dtype == "bfloat16":
        # The upper half of a float32.
        value = (value.astype(np.uint32) << 16).view(np.float32)
    return value.reshape(shape)


def _listed(what: str, values: list[Any], dtype: np.dtype[Any]) -> Array:
    bits = np.dtype(np.uint16) if dtype == np.float16 else dtype
    if bits.kind in "iu" and values:
        minimum, maximum = _bounds(bits)
        if not minimum <= min(values) <= max(values) <= maximum:
            raise ModelFileError(f"{what} that lists a value that its type cannot hold")
    return np.array(values, dtype=bits).view(dtype)


@cache
def _bounds(dtype: np.dtype[Any]) -> tuple[int, int]:
    found = np.iinfo(dtype.name)
    return int(found.min), int(found.max)
