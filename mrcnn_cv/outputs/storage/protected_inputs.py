"""The inputs of a run, as files that are never written to, whatever name leads to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mrcnn_cv.util import filenames

_Identity = tuple[int, int]
"""(device, inode)"""


class ProtectedInputs:
    """Files by what they are, not by their names. wrote: whether a run of ours ever wrote under a name."""

    def __init__(self, wrote: Callable[[Path], bool]) -> None:
        self._wrote = wrote
        self._paths: dict[_Identity, list[Path]] = {}

    def add(self, path: Path) -> None:
        """Take note of an input; of one that is not there, nothing."""
        if (identity := _identity(path)) is not None:
            self._paths.setdefault(identity, []).append(path)

    def __contains__(self, path: Path) -> bool:
        """Whether what is written to `path` would go into an input, or into its place."""
        return bool(self._at(path)) and not self.is_our_link(path)

    def is_our_link(self, path: Path) -> bool:
        """Whether there is a hard link to an input, made by us: what takes its place leaves the input as it is."""
        inputs = self._at(path)
        if not inputs or os.path.islink(path) or not self._wrote(path):
            return False
        return not any(_is_same_entry(path, each) for each in inputs)

    def _at(self, path: Path) -> list[Path]:
        """The inputs that are the file at `path`."""
        identity = _identity(path)
        if identity is None:
            return []
        # The number of a file that is gone may belong to another one by now.
        return [each for each in self._paths.get(identity, ()) if _identity(each) == identity]


def _is_same_entry(output: Path, source: Path) -> bool:
    """Whether two names of one file are the same entry of the same folder, `source` by way of links."""
    entry = Path(os.path.realpath(source))
    has_its_name = filenames.path_key(entry.name) == filenames.path_key(output.name)
    return has_its_name and _identity(entry.parent) == _identity(output.parent)


def _identity(path: Path) -> _Identity | None:
    """What tells one file from another, through links and spellings; None where there is no file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
