"""One run at a time at an output: a second one would write over what the first one is writing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mrcnn_cv.errors import Remedy, UsageError
from mrcnn_cv.outputs.storage.output_dir import unwritable
from mrcnn_cv.util import filenames
from mrcnn_cv.util.files import try_lock

NAME = ".mrcnn-cv-run.lock"


@contextmanager
def lock_output(path: Path) -> Iterator[None]:
    """Be the only run at one output, and leave the rest of its folder to others. Errors as of `exclusive_lock`."""
    with exclusive_lock(path.with_name(filenames.truncate_name(f".{path.name}{NAME}")), f"at {path}"):
        yield


@contextmanager
def exclusive_lock(lock: Path, where: str) -> Iterator[None]:
    """Be the only run that holds this lock file, which does not stay. where: "in out", for people.

    UsageError where another run holds it; OutputError where it cannot be made. The operating system holds the lock, so
    that it is free again however a process ended. Where a file system knows no locks, nothing is held.
    """
    # Closing the file frees the lock.
    with locked(lock, where):
        try:
            yield
        finally:
            # Before it is free: afterwards it may be somebody else's.
            with suppress(OSError):
                lock.unlink()
    if sys.platform == "win32":
        # There open files cannot be removed, so that this can only be one that nobody has.
        with suppress(OSError):
            lock.unlink()


def locked(path: Path, where: str) -> IO[bytes]:
    """The file of a lock, which is ours until the file is closed; it stays. Errors as those of `exclusive_lock`."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+b")  # noqa: SIM115 (the caller closes it)
        except OSError as error:
            raise unwritable(error, path) from error
        if not _is_free(file):
            file.close()
            raise UsageError(
                f"another run is at work {where}: wait until it has ended, or {Remedy.OUTPUT_DIRECTORY}",
                Remedy.OUTPUT_DIRECTORY,
            )
        if _is_there(path, file):
            return file
        # The run that had the lock ended in this moment, and removed the file.
        file.close()


def _is_free(file: IO[bytes]) -> bool:
    try:
        return try_lock(file)
    except OSError:
        return True


def _is_there(path: Path, file: IO[bytes]) -> bool:
    """Whether the file still has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
