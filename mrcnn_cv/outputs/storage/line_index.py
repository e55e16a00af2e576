"""Where records lie in a file of JSON lines, and of which images and frames they are: what a resumed run goes by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple


class Line(NamedTuple):
    """One record. source: the image or video, as its record names it. frame: of a video; -1 for an image.

    start, size  bytes
    """

    source: str
    frame: int
    start: int
    size: int


def read_lines(path: Path) -> list[Line]:
    """The whole records of a file, in its order; none where there is no file. OSError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return [line for line in _lines(file, 0) if line is not None]
    except FileNotFoundError:
        return []


def holds_only_records(path: Path, start: int) -> bool:
    """Whether all lines behind `start` bytes are records; half of one at the end is what a killed run was at."""
    with path.open("rb") as file:
        file.seek(start)
        return None not in _lines(file, start)


_BEGINNING = b'{"source"'


def _lines(file: BinaryIO, start: int) -> Iterator[Line | None]:
    """The whole lines; None for one that is no record, or half a line that is not half of one."""
    for text in file:
        if text.endswith(b"\n"):
            yield _parse(text, start)
        elif not text.startswith(_BEGINNING[: len(text)]):
            yield None
        start += len(text)


def line_of(record: Mapping[str, Any], start: int, size: int) -> Line:
    """The line of a record. LookupError or TypeError for what is none."""
    source, frame = record["source"], record["frame"]
    if not isinstance(record["instances"], list) or not isinstance(source, str | None):
        raise TypeError(source)
    # Images have an index of no meaning, and no time.
    return Line(source or "", int(frame or 0) if "time" in record else -1, start, size)


def _parse(text: bytes, start: int) -> Line | None:
    try:
        return line_of(json.loads(text), start, len(text))
    except (ValueError, RecursionError, TypeError, LookupError, OverflowError):
        return None
