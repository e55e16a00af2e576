"""What outlasts a loss of power: files and folders that are on the disk before anybody counts on them.

Until then the system may hold them in memory, and write them in another order than that in which they were made.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

_UNKNOWN = (errno.EINVAL, getattr(errno, "ENOTSUP", errno.EINVAL), errno.EBADF, errno.EROFS)
"""What file systems say that do not sync folders: of networks, of other systems, those that nobody can change."""


def sync(handle: int) -> None:
    """Return when all that was written to an open file is on the disk. OSError where that fails."""
    if sys.platform == "darwin":
        import fcntl

        try:
            # There fsync leaves it to the disk's own memory.
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOTTY):
                raise
    os.fsync(handle)


def sync_file(path: Path) -> None:
    """The same for a file that somebody else has written."""
    # Windows syncs what may be written to; elsewhere the file need not be ours.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        sync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Return when the names in a folder are on the disk. OSError where that fails.

    Nothing is done on Windows, which opens no folders, and where a file system has no such thing.
    """
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        sync(handle)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
    finally:
        os.close(handle)


def sync_name(path: Path, known: set[Path]) -> None:
    """Return when the name of a file is on the disk, and those of the folders on the way to it. OSError.

    known: folders of which that was seen to before; this one is added
    """
    folder = path.parent
    sync_folder(folder)
    if folder in known:
        return
    # Somebody else, or a run that was killed, may have made them and not seen to it.
    for each in Path(os.path.realpath(folder)).parents:
        # What may not be opened for reading was there before us.
        with suppress(PermissionError):
            sync_folder(each)
    known.add(folder)
