"""What all mutations of models share: nasty numbers, damaged bytes, damaged numbers in a text, damaged constants."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

Item = TypeVar("Item")

WHOLES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 65, 255, 256, 1000, 1 << 14, 1 << 16, 1 << 20, 1 << 24, 1 << 28)
EDGES = (-1, -2, -3, -64, -(1 << 31), (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 62), (1 << 63) - 1, -(1 << 63))
REALS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e-7, 100.0, 1e5, 1e10, 3e38, -3e38, float("inf"), float("nan"))


def whole(chance: random.Random) -> int:
    """A whole number of 64 bits that may be too small, too large, or merely another one."""
    return chance.choice(WHOLES if chance.random() < 0.6 else EDGES)


def real(chance: random.Random) -> float:
    """A number that may be none."""
    return chance.choice((*REALS, float("-inf"), chance.uniform(-10, 10)))


def some(items: Sequence[Item], chance: random.Random) -> Item | None:
    """One of the items, None where there are none."""
    return chance.choice(items) if items else None


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Flipped bits, a cut, a splice, lost or repeated parts, a stretch of equal bytes."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if not changed:
            break
        kind, at = chance.randrange(7), chance.randrange(len(changed))
        length = min(chance.choice((1, 2, 4, 16, 256, 4096, len(changed) // 3)), len(changed) - at)
        other = chance.randrange(len(changed))
        if kind <= 1:
            for _ in range(chance.choice((1, 4, 64))):
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            changed[at : at + length] = changed[other : other + length]
        elif kind == 4:
            del changed[at : at + length]
        elif kind == 5:
            changed[at:at] = changed[other : other + length]
        else:
            changed[at : at + length] = bytes([chance.choice((0, 255, 127, 128))]) * length
    return bytes(changed)


def renumbered(text: str, chance: random.Random) -> str:
    """A config with other numbers in up to three places."""
    for _ in range(chance.randrange(1, 4)):
        spots = list(re.finditer(r"-?\d[\d.]*", text))
        if spots:
            spot = chance.choice(spots)
            new = str(whole(chance)) if chance.random() < 0.7 else repr(real(chance))
            text = text[: spot.start()] + new + text[spot.end() :]
    return text


def poisoned(data: bytes, dtype: str, chance: random.Random) -> bytes:
    """The raw values of a constant with wrong ones among them."""
    size = np.dtype(dtype).itemsize
    values: Any = np.frombuffer(data[: len(data) // size * size], dtype).copy()
    if values.size == 0:
        return data
    where = slice(None) if chance.random() < 0.3 else chance.randrange(values.size)
    with np.errstate(all="ignore"):
        if values.dtype.kind == "f":
            kind = chance.random()
            values[where] = real(chance) if kind < 0.7 else values[where] * values.dtype.type(real(chance))
        else:
            values[where] = np.array(whole(chance), np.int64).astype(values.dtype)
    return bytes(values.tobytes())


def name(chance: random.Random) -> str:
    """A name that no exporter gives."""
    return chance.choice(
        ("", "a b", "x" * 5000, "\x1b[31mred", "a\nb", "ü/é", "^a", "a:0", "../../a", "a", "\u202egpj")
    )
