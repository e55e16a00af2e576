"""Look at a protobuf file before it is parsed: a field of two bytes can take a hundred in memory, and there can be any
number of them."""

from __future__ import annotations

from typing import Any, NoReturn, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from mrcnn_cv.errors import ModelFileError

MAX_STRUCTURE = 1 << 24
"""Bytes of a file beside its weights. Of the largest models that are around it has a fifth."""

LARGE = 1 << 12
"""Parts of fewer bytes are not looked into."""

_NUMBERS = frozenset({FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE})
_RAW = frozenset({FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING, *_NUMBERS})
"""What takes no more memory than it has bytes; of numbers only as lists."""

LENGTH = 2
SIZES = {1: 8, 5: 4}
"""Of the kinds of fields (protobuf calls them wire types): one with a length, and those of a fixed size."""


def parse(data: bytes | memoryview, message: Message) -> None:
    """Fill `message` from a file's bytes.

    Raises DecodeError for what is none, ModelFileError (without the file's name) for one with more structure than any
    model has, and MemoryError.
    """
    check_structure(data, message.DESCRIPTOR)
    try:
        # Protobuf takes views as well, and its types do not say so.
        message.ParseFromString(cast(bytes, data))
    except DecodeError as error:
        # Protobuf's own word for memory that ran out ("Arena alloc failed"); the file may be in order.
        if "alloc" in str(error):
            raise MemoryError from error
        raise


def check_structure(data: bytes | memoryview, descriptor: Any) -> None:
    """ModelFileError (without the file's name) for a file with more structure than any model has.

    descriptor: of the message. What is no protobuf is left to the parser.
    """
    if len(data) <= MAX_STRUCTURE:
        return
    structure = 0
    parts = [(0, len(data), descriptor)]
    while parts:
        position, end, kind = parts.pop()
        while position < end:
            start = position
            tag, position = varint(data, position)
            if tag & 7 == LENGTH:
                size, position = varint(data, position)
                field = kind.fields_by_number.get(tag >> 3)
                inner = None if field is None else field.message_type
                if size > end - position:
                    return
                if size >= LARGE and (field is None or inner is not None or field.type in _RAW):
                    start += size
                    parts += [] if inner is None else [(position, position + size, inner)]
                position += size
            elif tag & 7 == 0:
                _, position = varint(data, position)
            else:
                position += SIZES.get(tag & 7, 0)
            structure += position - start
            if structure > MAX_STRUCTURE:
                refuse_structure()


def refuse_structure() -> NoReturn:
    """The ModelFileError (without the file's name) for a file with more structure than any model has."""
    raise ModelFileError(f"has more than {MAX_STRUCTURE >> 20} MiB beside its weights, so it is not a detector")


def varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """(number, where it ends) of a tag, length or value; 0 and the end of the data for one that is cut short."""
    number = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7
    return 0, len(data)
