"""Heads of protobuf's fields, for messages that are written or put together around large constants.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

_LENGTH_DELIMITED = 2


def varint_bytes(number: int) -> bytes:
    """A tag or length, 0 or more, as it is written: seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def field_head(number: int, length: int) -> bytes:
    """The head of the field `number` whose content of `length` bytes follows."""
    return varint_bytes(number << 3 | _LENGTH_DELIMITED) + varint_bytes(length)
