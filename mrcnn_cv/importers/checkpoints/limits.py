"""How much a weights file may ask for: one of a few bytes can stand for any amount of work and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.limits import MAX_WEIGHT_BYTES

MAX_FILE_BYTES = 1 << 32
"""Detectors of a hundred million weights, with what their training keeps of them, have less than 2 GiB."""

MAX_OPCODES = 1 << 21
"""Of all pickles of a file; about two seconds. A detector has a hundredth of it, proposals of 5,000 images a fifth."""

MAX_STRUCTURE = 1 << 24
"""Bytes of texts and small values in a pickle, weights not counted. A detector has a three-hundredth of it."""

LARGE = 1 << 12
"""A text or value of more bytes stays in the file until somebody needs it."""

MAX_LINE = 1 << 28
"""Bytes of a value that is written as a line of text (protocol 0)."""

MAX_STACK = 1 << 20
"""Values that wait to be put into others."""

MAX_MARKS = 1 << 12
"""Containers that are begun and not ended; Python itself writes no more than about a thousand."""

MAX_MEMO = 1 << 20
"""Values that are kept for another use."""

MAX_INTEGER_BYTES = 256

MAX_NESTING = 64
"""Containers in containers, in what is read out of a file as plain values."""

MAX_PLAIN_VALUES = 1 << 16
MAX_PLAIN_TEXT = 1 << 22
"""Of all that is read out of a file beside its weights."""

MAX_LISTED = 1 << 12
"""Numbers of an array that is no weight and becomes a list."""

MAX_ARRAYS = 1 << 16
MAX_NAME = 256
MAX_AXES = 16

MAX_ZIP_ENTRIES = 1 << 18
MAX_ZIP_DIRECTORY = 1 << 25

MAX_NPY_HEADER = 1 << 12
MAX_SAFETENSORS_HEADER = 1 << 22
"""Bytes of JSON: room for 30,000 tensors."""

MAX_YAML_TEXT = 1 << 16
"""Characters of a config; one of Detectron has a sixth of it, and Python's reader takes a second for so many."""

WHAT_TO_DO = "so it holds no detector"
AGAIN = "copy or download the file again"


class UnfitValue(ValueError):
    """What is wrong with an array or a text, as the end of a sentence about it; `remedy`: what to do."""

    def __init__(self, what: str, remedy: str = AGAIN) -> None:
        super().__init__(what)
        self.remedy = remedy


@contextmanager
def array_named(name: str) -> Iterator[None]:
    """Inside, UnfitValue becomes a ModelFileError, without the file's name, about the array of this name."""
    try:
        yield
    except UnfitValue as problem:
        raise ModelFileError(f"has an array '{name[:MAX_NAME]}' {problem}: {problem.remedy}") from problem


class CheckpointBudget:
    """What is left for one file. All errors are sentences without the file's name."""

    def __init__(self) -> None:
        self._opcodes = MAX_OPCODES
        self._structure = MAX_STRUCTURE
        self._bytes = MAX_WEIGHT_BYTES
        self._unpacked = MAX_WEIGHT_BYTES
        self._arrays = MAX_ARRAYS

    def step(self, count: int = 1) -> None:
        """So many more steps of a pickle."""
        self._opcodes -= count
        if self._opcodes < 0:
            raise ModelFileError(f"has a pickle of more than {MAX_OPCODES:,} steps, {WHAT_TO_DO}")

    def keep(self, size: int) -> None:
        """So many bytes more were copied out of a pickle."""
        self._structure -= size
        if self._structure < 0:
            raise ModelFileError(f"has more than {MAX_STRUCTURE >> 20} MiB beside its weights, {WHAT_TO_DO}")

    def unpack(self, size: int) -> None:
        """So many bytes more are to be uncompressed or converted."""
        self._unpacked -= size
        if self._unpacked < 0:
            raise ModelFileError(f"unpacks to more than {_mebibytes(MAX_WEIGHT_BYTES)} MiB, {WHAT_TO_DO}")

    def array(self, size: int) -> None:
        """An array more of so many bytes: what lies in the file once can be any number of them."""
        self._arrays -= 1
        self._bytes -= size
        if self._arrays < 0:
            raise ModelFileError(f"has more than {MAX_ARRAYS:,} arrays, {WHAT_TO_DO}")
        if self._bytes < 0:
            raise ModelFileError(f"has weights of more than {_mebibytes(MAX_WEIGHT_BYTES)} MiB, {WHAT_TO_DO}")


def checked_shape(shape: object, item_size: int) -> tuple[tuple[int, ...], int]:
    """(shape, how many values that are); UnfitValue for what is none."""
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes | memoryview):
        raise UnfitValue("whose shape is no list of numbers")
    if len(shape) > MAX_AXES:
        raise UnfitValue(f"of {len(shape)} axes, where at most {MAX_AXES} are read")
    sizes = tuple(size for size in shape if is_whole(size) and size >= 0)
    if len(sizes) != len(shape):
        raise UnfitValue("whose shape has something else than whole numbers")
    # An axis without values makes all of it empty, and the others may not run over all the same.
    if prod(max(size, 1) for size in sizes) * item_size > MAX_WEIGHT_BYTES:
        raise UnfitValue(f"of more than {_mebibytes(MAX_WEIGHT_BYTES)} MiB, which no detector has")
    return sizes, prod(sizes)


def is_whole(value: object) -> bool:
    """Whether it is a number without a fraction; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _mebibytes(size: int) -> str:
    return f"{size >> 20:,}"
