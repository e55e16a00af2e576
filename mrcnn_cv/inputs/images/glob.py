"""Patterns of file names, with ** for folders of any depth."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

_SEPARATORS = r"[/\\]" if os.name == "nt" else "/"
_ANY_DEPTH = re.compile(rf"(^|.*?{_SEPARATORS})\*\*(?:{_SEPARATORS}+|$)(.*)", re.DOTALL)


def glob_files(pattern: str, unread: dict[str, OSError] | None = None) -> list[str]:
    """The files and folders that match, each folder entered once. unread: takes the folders that cannot be read.

    Python's own glob follows links in circles: two links to the folder that they lie in keep it busy for ever.
    """
    split = _ANY_DEPTH.fullmatch(pattern)
    if split is None:
        return glob.glob(pattern)
    before, after = split[1], split[2] or "*"
    bases = glob.glob(before) if before else [""]
    below = [os.path.join(glob.escape(folder), after) for base in bases for folder in _folders(base, set(), unread)]
    return [*dict.fromkeys(path for each in below for path in glob_files(each, unread))]


def look(entry: os.DirEntry[str] | Path) -> tuple[bool, str]:
    """(whether an entry of a folder is a folder, ""), or (False, why nobody can say that).

    Such is a link that cannot be followed: to itself, through a file, to where one may not go.
    """
    try:
        return (entry.is_dir() if isinstance(entry, os.DirEntry) else stat.S_ISDIR(entry.stat().st_mode)), ""
    except FileNotFoundError:
        return False, ""
    except OSError as error:
        return False, error.strerror or str(error)


def _folders(base: str, entered: set[tuple[int, int]], unread: dict[str, OSError] | None) -> Iterator[str]:
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
                inner = [entry.name for entry in entries if not entry.name.startswith(".") and look(entry)[0]]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if unread is not None:
                unread[folder] = error
            continue
        yield folder
        waiting += [os.path.join(folder, name) for name in inner]
