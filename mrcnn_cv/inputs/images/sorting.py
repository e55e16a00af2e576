"""The order of names, and which names are images that a folder is searched for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

IMAGE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "tif", "tiff", "gif", "jp2", "avif"),
        *("ppm", "pgm", "pbm", "pnm", "pam", "hdr", "exr", "sr", "ras"),
    )
)
"""Suffixes of what OpenCV may be able to read."""

_DIGITS = re.compile(r"(\d+)")
_MAX_DIGITS = 255


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which img2 comes before img10, and a folder's files before what its subfolders hold."""
    parts = (part for part in _DIGITS.split(name) if part)
    # Python turns no more than some thousand digits into a number.
    keys = (
        (0, int(part), part) if part.isdecimal() and len(part) <= _MAX_DIGITS else (1, 0, part.casefold())
        for part in parts
    )
    # Names that differ by case alone still have an order.
    return (*keys, (-1, 0, name))


def by_tree(output_path: PurePosixPath) -> tuple[tuple[int, tuple[tuple[int, int, str], ...]], ...]:
    """A key that sorts places folder by folder, naturally, the files of a folder before its subfolders."""
    last = len(output_path.parts) - 1
    return tuple((int(index < last), natural(part)) for index, part in enumerate(output_path.parts))


class PathFilter:
    """Which places in a folder are wanted: include, exclude are patterns (*.jpg, street/*) of names or whole places."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include, self._exclude = tuple(include), tuple(exclude)

    def __call__(self, output_path: PurePosixPath) -> bool:
        if any(_matches(output_path, pattern) for pattern in self._exclude):
            return False
        if self._include:
            return any(_matches(output_path, pattern) for pattern in self._include)
        return output_path.suffix.lower() in IMAGE_SUFFIXES


def _matches(output_path: PurePosixPath, pattern: str) -> bool:
    return fnmatchcase(str(output_path), pattern) or fnmatchcase(output_path.name, pattern)
