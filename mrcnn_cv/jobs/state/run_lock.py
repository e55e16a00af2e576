"""One run at a time that keeps books in an output folder: a second one would sweep up what the first one is writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mrcnn_cv.outputs.storage.locks import NAME, locked


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Be the only run that keeps books in this folder. UsageError where another one is; OutputError for no folder.

    The operating system holds the lock, so that it is free again however a process ended. Where a file system knows no
    locks, nothing is held.
    """
    # Closing the file frees the lock.
    with locked(directory / NAME, f"in {directory}"):
        yield
