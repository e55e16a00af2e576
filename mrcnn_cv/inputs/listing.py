"""From the sources of a command line to the images they stand for, each with a place of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.base import ImageGroup
from mrcnn_cv.inputs.image_ref import ImageRef, Listing
from mrcnn_cv.inputs.images.directories import DirectoryScan, ref_at
from mrcnn_cv.inputs.images.lists import listed
from mrcnn_cv.inputs.kinds import image_file
from mrcnn_cv.inputs.registry import ask_kinds
from mrcnn_cv.util import filenames


def list_images(sources: Sequence[str], scan: DirectoryScan, lists: Sequence[Path] = ()) -> Listing:
    """All images of `sources` (files, folders, patterns, archives, addresses, "-") and of `lists`, in order.

    With one folder, pattern, archive or list, places are those below it; with several sources each of them gets a
    folder under its own name. What cannot be read is an item that fails when its turn comes, except for a list.
    UsageError for a list that cannot be used.
    """
    single: list[ImageRef] = []
    groups: list[tuple[str, list[ImageRef]]] = []
    for source in sources:
        group = _listed(source, scan)
        if group.folder is None:
            single += group.items
        else:
            groups.append((group.folder, list(group.items)))
    groups += [(path.stem, listed(path)) for path in lists]
    items = _unique(single + _together(groups, alone=not single))
    return Listing(items, bool(groups), scan.left_out, dict(scan.unfollowed))


def _listed(source: str, scan: DirectoryScan) -> ImageGroup:
    group, broken = ask_kinds(lambda kind: kind.list_images(source, scan))
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
    """Reads an image; where it cannot be read, `note` goes along."""

    read: Callable[[], bytes]
    note: str

    def __call__(self) -> bytes:
        try:
            return self.read()
        except InputError as error:
            raise InputError(f"{error}; {self.note}") from error


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
