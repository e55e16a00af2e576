"""From the sources of a command line to the pictures they stand for, each with a place of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.base import ImageGroup
from mrcnn_cv.inputs.image_ref import Item, Listing
from mrcnn_cv.inputs.images.directories import Search, item_at
from mrcnn_cv.inputs.images.lists import listed
from mrcnn_cv.inputs.kinds import image_file
from mrcnn_cv.inputs.registry import ask_kinds
from mrcnn_cv.util import filenames as names


def list_pictures(sources: Sequence[str], search: Search, lists: Sequence[Path] = ()) -> Listing:
    """All pictures of `sources` (files, folders, patterns, archives, addresses, "-") and of `lists`, in order.

    With one folder, pattern, archive or list, places are those below it; with several sources each of them gets a
    folder under its own name. What cannot be read is an item that fails when its turn comes, except for a list.
    UsageError for a list that cannot be used.
    """
    single: list[Item] = []
    groups: list[tuple[str, list[Item]]] = []
    for source in sources:
        group = _listed(source, search)
        if group.folder is None:
            single += group.items
        else:
            groups.append((group.folder, list(group.items)))
    groups += [(path.stem, listed(path)) for path in lists]
    return Listing(_unique(single + _together(groups, alone=not single)), bool(groups), search.left_out)


def _listed(source: str, search: Search) -> ImageGroup:
    group, broken = ask_kinds(lambda kind: kind.list_images(source, search))
    if group is not None:
        return group
    group = image_file(Path(source))
    (item,) = group.items
    if broken:
        # Whoever brought it may have had a plug-in in mind that could read it.
        group = ImageGroup([replace(item, read=_Noted(item.read, "; ".join(broken)))])
    return group


@dataclass(frozen=True)
class _Noted:
    """Reads a picture; where it cannot be read, `note` goes along."""

    read: Callable[[], bytes]
    note: str

    def __call__(self) -> bytes:
        try:
            return self.read()
        except InputError as error:
            raise InputError(f"{error}; {self.note}") from error


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
