"""Lists of images: a text file with a path on each line, or a CSV file with a column of paths."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from mrcnn_cv.errors import Remedy, UsageError
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.inputs.images.directories import file_ref
from mrcnn_cv.util import filenames
from mrcnn_cv.util.files import UnfitFile, read_bytes

COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")
"""Names of a CSV's column of paths, the first that is there."""

MAX_BYTES = 1 << 26
"""Of a list: half a million paths of a hundred letters."""


def listed(file: Path) -> list[ImageRef]:
    """The images that a list names, in its order; relative paths start in the current folder, else beside the list.

    UsageError where the list itself cannot be used; an image that is missing fails when its turn comes.
    """
    paths = _paths(file)
    if not paths:
        raise UsageError(f"{file} lists no images: give it one path on each line", Remedy.IMAGE_LIST)
    found = [_find(text, file.parent) for text in dict.fromkeys(paths)]
    absolute = [Path(os.path.abspath(path)) for path in found]
    common = _common(absolute)
    items = []
    for path, full in zip(found, absolute, strict=True):
        items.append(file_ref(path, filenames.safe_relative_path(_relative(full, common))))
    return items


def _paths(file: Path) -> list[str]:
    try:
        text = read_bytes(file, "a list of images", MAX_BYTES, pipes=True).decode("utf-8-sig", "surrogateescape")
    except UnfitFile as error:
        raise UsageError(f"{file} {error}", Remedy.IMAGE_LIST) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{file} cannot be read, {reason}: {Remedy.IMAGE_LIST}", Remedy.IMAGE_LIST) from error
    if "\0" in text:
        raise UsageError(f"{file} is not a text file with one path on each line", Remedy.IMAGE_LIST)
    if file.suffix.lower() == ".csv":
        return _column(file, text)
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _column(file: Path, text: str) -> list[str]:
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        column = next((header.index(wanted) for wanted in COLUMNS if wanted in header), None)
        if column is None:
            raise UsageError(
                f"{file} has no column named {COLUMNS[0]}: its first line must name the columns", Remedy.IMAGE_LIST
            )
        return [row[column] for row in rows if len(row) > column and row[column].strip()]
    except csv.Error as error:
        raise UsageError(f"{file} is not a CSV file: {error}", Remedy.IMAGE_LIST) from error


def _find(text: str, folder: Path) -> Path:
    path = Path(os.path.expanduser(text))
    beside = folder / path
    return beside if not path.is_absolute() and not os.path.lexists(path) and os.path.lexists(beside) else path


def _relative(path: Path, common: Path | None) -> tuple[str, ...]:
    """The parts of an absolute path below a folder, or below its root: //a/b.jpg has a root of its own."""
    if common is None or not path.is_relative_to(common):
        return path.parts[1:]
    return path.relative_to(common).parts


def _common(paths: list[Path]) -> Path | None:
    """The folder that holds all files; None where they lie on several drives."""
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:
        return None
