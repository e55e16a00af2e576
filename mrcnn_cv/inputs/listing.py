"""From the sources of a command line to the pictures they stand for, each with a place of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mrcnn_cv.errors import InputError, Remedy
from mrcnn_cv.inputs.image_ref import ImageRef, Listing, failed_ref
from mrcnn_cv.inputs.images.archives import archive_output_path, in_archive, is_archive
from mrcnn_cv.inputs.images.directories import DirectoryScan, file_ref, in_folder, is_pattern, matching, ref_at
from mrcnn_cv.inputs.images.files import max_bytes
from mrcnn_cv.inputs.images.lists import listed
from mrcnn_cv.inputs.images.urls import is_url, ref_at_url
from mrcnn_cv.util import filenames

STDIN = "-"


def list_images(sources: Sequence[str], scan: DirectoryScan, lists: Sequence[Path] = ()) -> Listing:
    """All pictures of `sources` (files, folders, patterns, archives, addresses, "-") and of `lists`, in order.

    With one folder, pattern, archive or list, places are those below it; with several sources each of them gets a
    folder under its own name. What cannot be read is an item that fails when its turn comes, except for a list.
    UsageError for a list that cannot be used.
    """
    single: list[ImageRef] = []
    groups: list[tuple[str, list[ImageRef]]] = []
    for source in sources:
        path = Path(source)
        if source == STDIN:
            single.append(ImageRef(STDIN, PurePosixPath("stdin"), None, _read_stdin))
        elif is_url(source):
            single.append(ref_at_url(source))
        elif os.path.isdir(source):
            groups.append((path.resolve().name, in_folder(path, scan) or [_nothing(path)]))
        elif is_pattern(source) and not os.path.lexists(source) and (found := matching(source, scan)):
            groups.append(("", found))
        elif is_archive(path):
            groups.append((archive_output_path(path).name, _archive(path, scan)))
        else:
            single.append(file_ref(path, PurePosixPath(path.name)))
    groups += [(path.stem, listed(path)) for path in lists]
    return Listing(_unique(single + _together(groups, alone=not single)), bool(groups), scan.left_out)


def _archive(path: Path, scan: DirectoryScan) -> list[ImageRef]:
    try:
        return in_archive(path, scan) or [_nothing(path)]
    except InputError as error:
        return [failed_ref(str(path), archive_output_path(path), error)]


def _nothing(path: Path) -> ImageRef:
    """A folder or archive without pictures is most likely a mistake."""
    error = InputError(
        f"{path} holds no images, by their names: check the path, or {Remedy.FILE_PATTERNS}", Remedy.FILE_PATTERNS
    )
    return failed_ref(str(path), filenames.safe_relative_path([path.name]), error)


def _together(groups: list[tuple[str, list[ImageRef]]], alone: bool) -> list[ImageRef]:
    """The items of all groups; of several groups, each below a folder that no other has."""
    if len(groups) == 1 and alone:
        return groups[0][1]
    items: list[ImageRef] = []
    taken: set[str] = set()
    for name, group in groups:
        folder, number = filenames.safe_relative_path([name or "pictures"]).name, 1
        while filenames.path_key(filenames.numbered_name(folder, number)) in taken:
            number += 1
        unique = filenames.numbered_name(folder, number)
        taken.add(filenames.path_key(unique))
        items += [ref_at(item, PurePosixPath(unique) / item.output_path) for item in group]
    return items


def _unique(items: list[ImageRef]) -> list[ImageRef]:
    """The items with a number in a place that another one has already (files of one name, twice in an archive)."""
    taken: set[str] = set()
    found = []
    for item in items:
        output_path, number = str(item.output_path), 1
        while filenames.path_key(filenames.numbered_name(output_path, number)) in taken:
            number += 1
        unique = filenames.numbered_name(output_path, number)
        taken.add(filenames.path_key(unique))
        found.append(item if number == 1 else ref_at(item, PurePosixPath(unique)))
    return found


def _read_stdin() -> bytes:
    stream = sys.stdin
    try:
        data = b"" if stream is None or stream.isatty() else stream.buffer.read(max_bytes() + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"- cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > max_bytes():
        raise InputError(f"- has more than the {max_bytes():,} bytes that a picture may have: make the picture smaller")
    if not data:
        raise InputError("- is an image from standard input, but nothing came: mrcnn-cv - < photo.jpg")
    return data
