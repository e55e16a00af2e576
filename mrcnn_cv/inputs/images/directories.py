"""Folders and patterns of images."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.image_ref import ImageRef, failed_ref
from mrcnn_cv.inputs.images.files import read_file
from mrcnn_cv.inputs.images.glob import glob_files, look
from mrcnn_cv.inputs.images.sorting import PathFilter, by_tree
from mrcnn_cv.util import filenames

IsOutput = Callable[[Path], bool]


@dataclass
class DirectoryScan:
    """How folders are searched.

    path_filter  which places are wanted
    recursive    whether subfolders are
    skip         (device, inode) of folders that are not entered: where this run writes to
    outputs      for a folder that mrcnn-cv wrote into: what tells a file of its own in it or below; None for others
    left_out     how many files were no images by their names; counted while searching
    unfollowed   links that cannot be followed and are no images by their names, each with the reason
    """

    path_filter: PathFilter = field(default_factory=PathFilter)
    recursive: bool = True
    skip: frozenset[tuple[int, int]] = frozenset()
    outputs: Callable[[Path], IsOutput | None] = lambda folder: None
    left_out: int = 0
    unfollowed: dict[str, str] = field(default_factory=dict)


def is_pattern(text: str) -> bool:
    """Whether a source is a pattern of file names."""
    return glob.has_magic(text)


def matching(pattern: str, scan: DirectoryScan) -> list[ImageRef]:
    """The images that match a pattern (`photos/**/*.jpg`), in natural order; a folder that matches counts whole."""
    fixed = _fixed_part(pattern)
    unread: dict[str, OSError] = {}
    found = glob_files(pattern, unread)
    items = [_unread(Path(text), _below(Path(text), fixed), error) for text, error in unread.items()]
    for text in found:
        path = Path(text)
        output_path = _below(path, fixed)
        enters, problem = look(path)
        if enters:
            # With ** a pattern matches the folders on the way as well, whose files it lists anyway.
            if "**" not in pattern and scan.recursive:
                items += [ref_at(item, output_path / item.output_path) for item in in_folder(path, scan)]
        elif scan.path_filter(output_path):
            items.append(file_ref(path, filenames.safe_relative_path(output_path.parts)))
        elif text not in unread:
            _leave_out(path, problem, scan)
    unique = {item.output_path: item for item in items}
    return [unique[output_path] for output_path in sorted(unique, key=by_tree)]


def in_folder(folder: Path, scan: DirectoryScan) -> list[ImageRef]:
    """The images in a folder, in natural order; a folder that cannot be read is an item that fails."""
    items = list(_walk(folder, scan))
    return sorted(items, key=lambda item: by_tree(item.output_path))


def file_ref(path: Path, output_path: PurePosixPath) -> ImageRef:
    """An image in a file of its own."""
    return ImageRef(str(path), output_path, path, partial(read_file, path))


def ref_at(item: ImageRef, output_path: PurePosixPath) -> ImageRef:
    """The same image, with its outputs at another place."""
    return ImageRef(item.name, output_path, item.path, item.read)


def _walk(top: Path, scan: DirectoryScan) -> Iterator[ImageRef]:
    entered = set(scan.skip)
    # Folders may be nested deeper than functions may call each other.
    waiting: list[tuple[Path, PurePosixPath, tuple[IsOutput, ...]]] = [(top, PurePosixPath(), ())]
    while waiting:
        folder, output_path, outputs = waiting.pop()
        try:
            status = folder.stat()
            # A link to a folder above would never end.
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                # Hidden files and folders are not the user's images (.thumbnails, ._photo.jpg, .git).
                inside = [(entry.name, *look(entry)) for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            yield _unread(folder, output_path, error)
            continue
        if (own := scan.outputs(folder)) is not None:
            outputs = (*outputs, own)
        yield from _files_of(folder, output_path, inside, scan, outputs)
        if scan.recursive:
            waiting += [(folder / name, output_path / name, outputs) for name, enters, _ in inside if enters]


def _files_of(
    folder: Path,
    output_path: PurePosixPath,
    inside: Sequence[tuple[str, bool, str]],
    scan: DirectoryScan,
    outputs: Sequence[IsOutput],
) -> Iterator[ImageRef]:
    """The images in a folder itself. inside: (name, whether it is a folder, why nobody can say that)."""
    for name, enters, problem in inside:
        if enters:
            continue
        if not scan.path_filter(output_path / name):
            _leave_out(folder / name, problem, scan)
        elif not any(is_output(folder / name) for is_output in outputs):
            yield file_ref(folder / name, filenames.safe_relative_path((output_path / name).parts))


def _unread(folder: Path, output_path: PurePosixPath, error: OSError) -> ImageRef:
    problem = InputError(f"{folder} cannot be read, so what is in it is left out: {error.strerror or error}")
    return failed_ref(str(folder), filenames.safe_relative_path(output_path.parts or (folder.name,)), problem)


def _leave_out(path: Path, problem: str, scan: DirectoryScan) -> None:
    """Count a file that is no image by its name. problem: why nobody can say that it is a file; "" where it is one."""
    if problem:
        # It may stand for a folder of images.
        scan.unfollowed[str(path)] = problem
    else:
        scan.left_out += 1


def _fixed_part(pattern: str) -> Path:
    """The folders in front of a pattern's first wildcard."""
    path = Path(pattern)
    parts = list(path.parts[:-1])
    fixed = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])


def _below(path: Path, folder: Path) -> PurePosixPath:
    try:
        return PurePosixPath(path.relative_to(folder).as_posix())
    except ValueError:
        return PurePosixPath(path.name)
