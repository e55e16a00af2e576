"""The bytes of a pickle: numbers, lines, texts. What is large stays where it lies."""

from __future__ import annotations

from typing import NoReturn

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.checkpoints.limits import LARGE, MAX_INTEGER_BYTES, MAX_LINE, CheckpointBudget, UnfitValue
from mrcnn_cv.importers.checkpoints.pickles.values import ByteString, LongString, unescaped

_CHUNK = 1 << 12
MAX_SHORT_LINE = 512


def damaged(what: str) -> NoReturn:
    """The ModelFileError (without the file's name) for a pickle that Python could not read either."""
    raise ModelFileError(f"has a pickle that is damaged ({what}): copy or download it again")


class PickleBytes:
    """The bytes of a file from `position` on, which moves."""

    def __init__(self, data: memoryview, position: int, budget: CheckpointBudget) -> None:
        self._data = data
        self.position = position
        self.budget = budget

    def byte(self) -> int:
        """The next byte."""
        position = self.position
        if position >= len(self._data):
            self._ended()
        self.position = position + 1
        return self._data[position]

    def view(self, size: int) -> memoryview:
        """The next bytes."""
        end = self.position + size
        if size < 0 or end > len(self._data):
            self._ended()
        found = self._data[self.position : end]
        self.position = end
        return found

    def whole(self, size: int, signed: bool = False) -> int:
        """A whole number of so many bytes."""
        return int.from_bytes(self.view(size), "little", signed=signed)

    def integer(self, size: int) -> int:
        """A number as Python writes large ones."""
        if not 0 <= size <= MAX_INTEGER_BYTES:
            damaged(f"a number of {size} bytes")
        return self.whole(size, signed=True)

    def text(self, size: int) -> str | LongString:
        """A text."""
        view = self.view(size)
        if size > LARGE:
            return LongString(view, "utf-8")
        self.budget.keep(size)
        try:
            return str(view, "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            damaged("a text that is none")

    def byte_string(self, size: int) -> ByteString | LongString:
        """A string of Python 2."""
        view = self.view(size)
        if size > LARGE:
            return LongString(view, "latin-1")
        self.budget.keep(size)
        found = ByteString(view, "latin-1")
        found.view = view
        return found

    def line(self) -> str:
        """A short line without its end: a number, a name."""
        view = self._line(MAX_SHORT_LINE)
        self.budget.keep(len(view))
        try:
            return str(view, "utf-8")
        except UnicodeDecodeError:
            damaged("a name that is none")

    def text_line(self) -> str | LongString:
        """A text of protocol 0."""
        view = self._line(MAX_LINE)
        if len(view) > LARGE:
            return LongString(view, "raw-unicode-escape")
        self.budget.keep(len(view))
        try:
            return bytes(view).decode("raw-unicode-escape")
        except UnicodeDecodeError:
            damaged("a text that is none")

    def byte_string_line(self) -> str | LongString:
        """A string of Python 2, of protocol 0: quoted."""
        view = self._line(MAX_LINE)
        if len(view) < 2 or view[0] != view[-1] or view[0] not in b"'\"":
            damaged("a text without quotes")
        inside = view[1:-1]
        if len(inside) > LARGE:
            return LongString(inside, "string-escape")
        self.budget.keep(len(inside))
        try:
            return unescaped(bytes(inside)).decode("latin-1")
        except UnfitValue:
            damaged("a text that is none")

    def _line(self, maximum: int) -> memoryview:
        start, piece = self.position, min(maximum, _CHUNK)
        for at in range(start, min(start + maximum, len(self._data)), piece):
            found = bytes(self._data[at : at + piece]).find(b"\n")
            if found >= 0:
                line = self.view(at + found - start)
                self.position += 1
                return line
        if len(self._data) - start <= maximum:
            self._ended()
        damaged("a line without an end")

    def _ended(self) -> NoReturn:
        raise ModelFileError("ends in the middle of its pickle: copy or download it again")
