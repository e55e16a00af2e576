"""A file's bytes without a copy of them: mapped into memory, or read where that cannot be."""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError


class TooLarge(ValueError):
    """A file with more bytes than may be read."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class MappedFile:
    """The bytes of a file, read-only, as `data`.

    Slices of `data`, and arrays that numpy makes of them, are views. The file stays mapped as long as one of them is
    there, and no longer. As long as it is, what others write into the file is seen, a file that is cut short ends the
    process (SIGBUS) where a byte is read that is gone, and Windows lets nobody replace it.
    """

    def __init__(self, path: Path, maximum: int) -> None:
        """Raises OSError where the file cannot be read, and TooLarge for one of more than `maximum` bytes."""
        self._map: mmap.mmap | None = None
        self.path = path
        with path.open("rb") as file:
            self._opened_as = _identity(os.fstat(file.fileno()))
            # Of a path nobody knows later what it leads to.
            self._descriptor = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._descriptor)
            size = file.seek(0, 2) if file.seekable() else 0
            if size > maximum:
                raise TooLarge(size)
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self.data = memoryview(self._map)
            except (OSError, ValueError):
                # An empty file has nothing to map, nor have pipes, files of /proc (they call themselves empty), and
                # what some network and FUSE file systems hold.
                if size:
                    file.seek(0)
                read = file.read(maximum + 1)
                if len(read) > maximum:
                    raise TooLarge(len(read)) from None
                self.data = memoryview(read)
        if len(self.data) > maximum:
            raise TooLarge(len(self.data))
        self._start = int(np.frombuffer(self.data, np.uint8).__array_interface__["data"][0])

    @property
    def is_mapped(self) -> bool:
        """Whether it is mapped, not read."""
        return self._map is not None

    def check(self) -> None:
        """ModelFileError where others have written into the file since, or have cut it short.

        One that was replaced, renamed or deleted as a whole is still there for us.
        """
        if self.is_mapped and _identity(os.fstat(self._descriptor)) != self._opened_as:
            raise ModelFileError(f"{self.path} was changed while it was in use: load the model again")

    def holds(self, array: NDArray[np.generic]) -> bool:
        """Whether an array begins in the file's bytes; what begins there is a view of them, and stays one."""
        place = int(array.__array_interface__["data"][0])
        return self._start <= place < self._start + len(self.data)

    def release_pages(self) -> None:
        """Take what was read of the file out of this process' resident memory; who reads it again gets it again.

        For whoever is done with the weights but not with all views. Systems without madvise (Windows) have nothing
        like it, and take such pages by themselves when memory gets scarce.
        """
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _identity(status: os.stat_result) -> tuple[int, int]:
    """What tells that a file's bytes have changed."""
    return status.st_size, status.st_mtime_ns
