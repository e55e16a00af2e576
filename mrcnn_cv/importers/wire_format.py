"""Walk over a protobuf file as it lies on disk, and take its large constants out before it is parsed.

What the parser gets is the same message with one byte in the place of each of them; they themselves are views of the
file. A walk reads only what is written the plain way, as everybody writes it. All else (a field twice whose parts are
to be merged, groups, numbers longer than they need be) it leaves where it is, for the parser to read by its own rules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.wire_fields import varint_bytes
from mrcnn_cv.importers import protobuf_limits as limits
from mrcnn_cv.importers.base import named
from mrcnn_cv.util.mapped_file import MappedFile, TooLarge

MAX_FILE_BYTES = 2**31 - 1
"""protobuf's own limit for one message."""

LEAST_BYTES = limits.LARGE
"""Of a constant that is taken out; messages of fewer bytes are not looked into."""

MAX_FIELDS = 256
"""Of a message that is looked into; a constant has ten."""

MAX_NAME = 16
"""Of the names that are looked for, and a byte more."""

Pieces = list[bytes | memoryview]
Value = TypeVar("Value")


class Content(NamedTuple):
    """What was taken out of a tensor: the number of its field, and the bytes of that, a view of the file."""

    field: int
    data: memoryview


class NotPlain(Exception):
    """A message that is not written the plain way, or is none."""


class Field(NamedTuple):
    """A field of a message: where it begins, where its content begins, and where both end."""

    number: int
    kind: int
    start: int
    content: int
    end: int


def read_message(path: Path, kind: str, remedy: str, parse: Callable[[memoryview], Value]) -> tuple[MappedFile, Value]:
    """(the file as it lies on disk, what `parse` makes of it); ModelFileError for what is not of this kind."""
    try:
        file = MappedFile(path, MAX_FILE_BYTES)
        with named(path):
            return file, parse(file.data)
    except TooLarge as error:
        raise ModelFileError(f"{path} has {error.size} bytes; {kind} has less than 2 GiB") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except DecodeError as error:
        raise ModelFileError(
            f"{path} is not {kind}, or it is cut short (protobuf cannot read it): check its size against the original,"
            f" or {remedy}"
        ) from error


class Walk(ABC):
    """A walk over one file of a format. The constants that it takes out are what its users keep."""

    RAW: ClassVar[int]
    """The field of a tensor that holds values as bytes, which go before all lists."""

    LISTS: ClassVar[Mapping[int, int]]
    """Its fields of packed numbers → bytes of each."""

    @abstractmethod
    def root(self) -> Pieces:
        """The whole file without its large constants; raises NotPlain."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self._structure = 0

    def container(self, start: int, end: int, inner: Mapping[int, Inner], counts: Counter[int]) -> Pieces:
        """The content of a message that consists of others, with these made anew.

        inner: number of a field → what makes its content anew. counts: how many of each kind came before, which goes
        on where a message comes in several parts. Raises NotPlain, and ModelFileError for one with more structure than
        any model has.
        """
        data, least, structure = self.data, LEAST_BYTES, 0
        pieces: Pieces = []
        position = kept = start
        most = limits.MAX_STRUCTURE - self._structure
        try:
            while position < end:
                begin = position
                tag = data[position]
                size = data[position + 1]
                if tag & 7 != limits.LENGTH or tag & 128:
                    position = self._other(begin, end)
                    structure += position - begin
                    continue
                position += 2
                if size & 128:
                    size, position = varint(data, begin + 1)
                stop = position + size
                make = inner.get(tag >> 3)
                if make is not None:
                    index = counts[tag]
                    counts[tag] = index + 1
                    if size >= least and stop <= end:
                        self._count(structure + position - begin)
                        structure = 0
                        made = make(index, position, stop)
                        most = limits.MAX_STRUCTURE - self._structure
                        if made is not None:
                            pieces += [data[kept:begin], bytes([tag]), varint_bytes(sum(map(len, made))), *made]
                            kept = stop
                        position = stop
                        continue
                structure += (stop if size < limits.LARGE else position) - begin
                position = stop
                if structure > most:
                    break
        except IndexError:
            raise NotPlain from None
        self._count(structure)
        if position != end:
            raise NotPlain
        return [*pieces, data[kept:end]]

    def fields(self, start: int, end: int) -> list[Field]:
        """All fields of a message; raises NotPlain."""
        found: list[Field] = []
        data, position, structure = self.data, start, 0
        try:
            while position < end:
                begin = position
                tag, position = data[begin], begin + 1
                if tag & 128:
                    tag, position = varint(data, begin)
                content = position
                if tag & 7 == limits.LENGTH:
                    size, content = data[position], position + 1
                    if size & 128:
                        size, content = varint(data, position)
                    position = content + size
                    structure += (position if size < limits.LARGE else content) - begin
                else:
                    position = _after(data, tag & 7, position)
                    structure += position - begin
                if position > end or tag < 8 or len(found) == MAX_FIELDS:
                    raise NotPlain
                found.append(Field(tag >> 3, tag & 7, begin, content, position))
        except IndexError:
            raise NotPlain from None
        finally:
            # Of one that is given up as well, which is work, too.
            self._count(min(structure, end - start))
        return found

    def text(self, field: Field) -> bytes:
        """The content of a field that is a name, or what is sure not to be one."""
        return bytes(self.data[field.content : min(field.end, field.content + MAX_NAME)])

    def tensor(self, start: int, end: int, found: dict[int, Content], index: int) -> Pieces | None:
        """The content of a tensor, without its values, which go to `found` at `index`; None where they stay."""
        fields = self.fields(start, end)
        given = Counter(field.number for field in fields)
        for field in fields:
            size = 1 if field.number == self.RAW else self.LISTS.get(field.number, 0)
            length = field.end - field.content
            if (
                size
                and (field.number == self.RAW or not given[self.RAW])
                and given[field.number] == 1
                and field.kind == limits.LENGTH
                and length >= LEAST_BYTES
                and length % size == 0
            ):
                found[index] = Content(field.number, self.data[field.content : field.end])
                # A value that contradicts every shape, should somebody look for the values here.
                nothing = bytes([self.RAW << 3 | limits.LENGTH, 1, 0])
                return [self.data[start : field.start], nothing, self.data[field.end : end]]
        return None

    def parse(self, message: Message) -> bool:
        """Fill `message` with all but the large constants; whether they were taken out.

        Raises what `protobuf_limits.parse` does.
        """
        try:
            pieces = self.root()
        except NotPlain:
            limits.parse(self.data, message)
            return False
        limits.parse(b"".join(pieces), message)
        return True

    @staticmethod
    def part(make: Inner) -> Inner:
        """What makes the content of a message anew that stays as it is where it is not plain."""

        def made(index: int, start: int, end: int) -> Pieces | None:
            try:
                return make(index, start, end)
            except NotPlain:
                return None

        return made

    def replaced(self, start: int, end: int, field: Field, made: Pieces | None) -> Pieces | None:
        """A message with another content of one of its fields; None where that stays."""
        if made is None:
            return None
        tag = varint_bytes(field.number << 3 | field.kind)
        return [
            self.data[start : field.start],
            tag,
            varint_bytes(sum(map(len, made))),
            *made,
            self.data[field.end : end],
        ]

    def _other(self, position: int, end: int) -> int:
        """Where a field ends that none of ours is: of another kind, or with a number above 15."""
        tag, position = varint(self.data, position)
        if tag < 8:
            raise NotPlain
        if tag & 7 == limits.LENGTH:
            size, position = varint(self.data, position)
            return position + size
        return _after(self.data, tag & 7, position)

    def _count(self, size: int) -> None:
        self._structure += size
        if self._structure > limits.MAX_STRUCTURE:
            limits.refuse_structure()


Inner = Callable[[int, int, int], Pieces | None]
"""(how many came before, start, end) → the new content of a message; None where it stays."""


def only(fields: list[Field], number: int) -> Field | None:
    """The field of that number, if there is one alone, with a length."""
    found = [field for field in fields if field.number == number]
    return found[0] if len(found) == 1 and found[0].kind == limits.LENGTH else None


def varint(data: memoryview, position: int) -> tuple[int, int]:
    """(number, where it ends) of a tag or length; raises NotPlain for one longer than it need be, or cut short."""
    number, end = limits.varint(data, position)
    if end <= position or number >> 31 or data[end - 1] > 127 or (data[end - 1] == 0 and end > position + 1):
        raise NotPlain
    return number, end


def _after(data: memoryview, kind: int, position: int) -> int:
    """Where the content of a field without a length ends."""
    if kind == 0:
        for length in range(10):
            if data[position + length] < 128:
                return position + length + 1
        raise NotPlain
    if kind not in limits.SIZES:
        # The beginning or end of a group, which nobody writes any more.
        raise NotPlain
    return position + limits.SIZES[kind]
