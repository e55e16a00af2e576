"""What a pickle's values are while it is read: Python's plain ones, and these. None of them does anything."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget, UnfitValue

if TYPE_CHECKING:
    from mrcnn_cv.importers.checkpoints.pickles.torch_objects import Storages

_CHUNK = 1 << 20


class Opaque:
    """Something that a pickle would have made by a call, and that is not made here. `name`: of what it calls."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class ByteString(str):
    """A short string of Python 2: a text, or the bytes of an array; `view` is where these lie in the file."""

    __slots__ = ("view",)
    view: memoryview


class LongString:
    """A long text that was not read yet, or the bytes of an array that were written as one.

    view      as it lies in the file
    encoding  latin-1 (Python 2's strings, whose bytes these are), utf-8 (texts), or how protocol 0 writes the two:
              string-escape, raw-unicode-escape
    """

    __slots__ = ("_data", "_encoding", "_view")

    def __init__(self, view: memoryview, encoding: str) -> None:
        self._view, self._encoding = view, encoding
        self._data: memoryview | None = None

    def __len__(self) -> int:
        """Bytes in the file."""
        return len(self._view)

    def text(self) -> str:
        """As a text. Raises UnfitValue."""
        try:
            if self._encoding == "string-escape":
                return unescaped(bytes(self._view)).decode("latin-1")
            return bytes(self._view).decode(self._encoding, "strict")
        except UnicodeDecodeError as error:
            raise UnfitValue("a text that is damaged") from error

    def data(self, budget: CheckpointBudget) -> memoryview:
        """The bytes that it stands for, those of the file where they lie there. Raises UnfitValue."""
        if self._encoding == "latin-1":
            return self._view
        if self._data is None:
            budget.unpack(len(self._view))
            self._data = memoryview(self._decoded())
        return self._data

    def _decoded(self) -> bytes | bytearray:
        try:
            if self._encoding == "string-escape":
                return unescaped(bytes(self._view))
            if self._encoding != "utf-8":
                return bytes(self._view).decode(self._encoding).encode("latin-1")
            # Python 3 wrote bytes as a text of their values for protocols below 3, up to twice as long.
            decoder, decoded = codecs.getincrementaldecoder("utf-8")(), bytearray()
            for start in range(0, len(self._view), _CHUNK):
                decoded += decoder.decode(self._view[start : start + _CHUNK]).encode("latin-1")
            decoder.decode(b"", final=True)
            return decoded
        except UnicodeError as error:
            raise UnfitValue("made of bytes that are damaged") from error


class StoredArray(ABC):
    """An array whose values are still where they lie.

    shape  as the file says it, whatever that is
    items  those of an array of objects; None for numbers
    """

    shape: object
    items: list[object] | None = None

    @abstractmethod
    def array(self, storages: Storages, budget: CheckpointBudget) -> NDArray[Any]:
        """Its values, read-only: a view of the file where they lie there as they are.

        Raises UnfitValue for one that contradicts itself or is no numbers.
        """


def data_of(value: object, budget: CheckpointBudget) -> memoryview:
    """The bytes that a value stands for. Raises UnfitValue."""
    if isinstance(value, memoryview):
        return value
    if isinstance(value, ByteString):
        return value.view
    try:
        if isinstance(value, LongString):
            return value.data(budget)
        if isinstance(value, str):
            return memoryview(value.encode("latin-1"))
    except (UnfitValue, UnicodeEncodeError) as error:
        raise UnfitValue("whose bytes are damaged") from error
    raise UnfitValue(f"that lies in {described(value)} where its bytes should be")


def unescaped(line: bytes) -> bytes:
    """Bytes as Python 2 shows them between quotes. Raises UnfitValue."""
    try:
        return codecs.escape_decode(line)[0]
    except (ValueError, Warning) as error:
        # An escape that there is not makes Python warn, which a program may have made an error.
        raise UnfitValue("a text that is damaged") from error


def described(value: object) -> str:
    """What a value is, with an article."""
    if isinstance(value, Opaque):
        return f"a pickled object ({value.name})"
    if isinstance(value, StoredArray | np.ndarray):
        return "an array"
    if isinstance(value, str | LongString):
        return "a text"
    kinds = {
        memoryview: "bytes",
        dict: "a dict",
        list: "a list",
        tuple: "a tuple",
        bool: "a yes or no",
        int: "a number",
    }
    return "nothing" if value is None else kinds.get(type(value), "something else")
