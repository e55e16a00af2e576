"""Patterns of file names, with ** for folders of any depth."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator

_SEPARATORS = r"[/\\]" if os.name == "nt" else "/"
_ANY_DEPTH = re.compile(rf"(^|.*?{_SEPARATORS})\*\*(?:{_SEPARATORS}+|$)(.*)", re.DOTALL)


def glob_files(pattern: str) -> list[str]:
    """The files and folders that match, each folder entered once.

    Python's own glob follows links in circles: two links to the folder that they lie in keep it busy for ever.
    """
    split = _ANY_DEPTH.fullmatch(pattern)
    if split is None:
        return glob.glob(pattern)
    before, after = split[1], split[2] or "*"
    bases = glob.glob(before) if before else [""]
    below = [folder for base in bases for folder in _folders(base, set())]
    return [*dict.fromkeys(path for folder in below for path in glob_files(os.path.join(glob.escape(folder), after)))]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is one. A link that cannot be followed (to itself, through a file) is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _folders(base: str, entered: set[tuple[int, int]]) -> Iterator[str]:
    """A folder and all below it but hidden ones, without those that were entered before."""
    waiting = [base]
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(folder or os.curdir)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder or os.curdir) as entries:
                inner = [entry.name for entry in entries if not entry.name.startswith(".") and is_folder(entry)]
        except OSError:
            continue
        yield folder
        waiting += [os.path.join(folder, name) for name in inner]
