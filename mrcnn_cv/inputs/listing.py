"""From the sources of a command line to the pictures they stand for, each with a place of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.image_ref import Item, Listing, failing
from mrcnn_cv.inputs.images.archives import archive_place, in_archive, is_archive
from mrcnn_cv.inputs.images.directories import Search, file_item, in_folder, is_pattern, item_at, matching
from mrcnn_cv.inputs.images.files import most_bytes
from mrcnn_cv.inputs.images.lists import listed
from mrcnn_cv.inputs.images.urls import at_address, is_address
from mrcnn_cv.util import filenames as names

STDIN = "-"


def list_pictures(sources: Sequence[str], search: Search, lists: Sequence[Path] = ()) -> Listing:
    """All pictures of `sources` (files, folders, patterns, archives, addresses, "-") and of `lists`, in order.

    With one folder, pattern, archive or list, places are those below it; with several sources each of them gets a
    folder under its own name. What cannot be read is an item that fails when its turn comes, except for a list.
    UsageError for a list that cannot be used.
    """
    single: list[Item] = []
    groups: list[tuple[str, list[Item]]] = []
    for source in sources:
        path = Path(source)
        if source == STDIN:
            single.append(Item(STDIN, PurePosixPath("stdin"), None, _read_stdin))
        elif is_address(source):
            single.append(at_address(source))
        elif os.path.isdir(source):
            groups.append((path.resolve().name, in_folder(path, search) or [_nothing(path)]))
        elif is_pattern(source) and not os.path.lexists(source) and (found := matching(source, search)):
            groups.append(("", found))
        elif is_archive(path):
            groups.append((archive_place(path).name, _archive(path, search)))
        else:
            single.append(file_item(path, PurePosixPath(path.name)))
    groups += [(path.stem, listed(path)) for path in lists]
    return Listing(_unique(single + _together(groups, alone=not single)), bool(groups), search.left_out)


def _archive(path: Path, search: Search) -> list[Item]:
    try:
        return in_archive(path, search) or [_nothing(path)]
    except InputError as error:
        return [failing(str(path), archive_place(path), error)]


def _nothing(path: Path) -> Item:
    """A folder or archive without pictures is most likely a mistake."""
    error = InputError(
        f"{path} holds no images, by their names: check the path, or say which files are (--include-files)"
    )
    return failing(str(path), names.place([path.name]), error)


def _together(groups: list[tuple[str, list[Item]]], alone: bool) -> list[Item]:
    """The items of all groups; of several groups, each below a folder that no other has."""
    if len(groups) == 1 and alone:
        return groups[0][1]
    items: list[Item] = []
    taken: set[str] = set()
    for name, group in groups:
        folder, number = names.place([name or "pictures"]).name, 1
        while names.same(names.numbered(folder, number)) in taken:
            number += 1
        unique = names.numbered(folder, number)
        taken.add(names.same(unique))
        items += [item_at(item, PurePosixPath(unique) / item.place) for item in group]
    return items


def _unique(items: list[Item]) -> list[Item]:
    """The items with a number in a place that another one has already (files of one name, twice in an archive)."""
    taken: set[str] = set()
    found = []
    for item in items:
        place, number = str(item.place), 1
        while names.same(names.numbered(place, number)) in taken:
            number += 1
        unique = names.numbered(place, number)
        taken.add(names.same(unique))
        found.append(item if number == 1 else item_at(item, PurePosixPath(unique)))
    return found


def _read_stdin() -> bytes:
    stream = sys.stdin
    try:
        data = b"" if stream is None or stream.isatty() else stream.buffer.read(most_bytes() + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"- cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > most_bytes():
        raise InputError(
            f"- has more than the {most_bytes():,} bytes that a picture may have: make the picture smaller"
        )
    if not data:
        raise InputError("- is an image from standard input, but nothing came: mrcnn-cv - < photo.jpg")
    return data
