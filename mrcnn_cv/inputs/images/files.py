"""Image files: read the bytes, then decode them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.images import sniff as content
from mrcnn_cv.inputs.images.decode import decode_image
from mrcnn_cv.inputs.images.header_size import max_pixels

# Some builds of OpenCV decode formats that content.py does not know, but nobody wants a disk image in memory for that.
_MAX_UNKNOWN_BYTES = 1 << 28

_BYTES_OF_A_PIXEL = 8
"""Four samples of 16 bits, not compressed."""


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """One image file as (H, W, 3) uint8, BGR, upright by its EXIF orientation.

    The bytes are read by Python and decoded from memory, so names outside ASCII work on every system. InputError, one
    sentence with the file's name, for everything that cannot be read; see `decode_image` for what decoding does.
    """
    return decode_image(read_file(Path(path)), str(path))


def read_file(path: Path) -> bytes:
    """All bytes of a file that may be an image; InputError for anything else."""
    name = str(path)
    try:
        status = path.stat()
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{name} is a folder, not an image file: give the files in it, for example {name}/*.jpg")
        # Opening a pipe or a device would wait for a writer that may never come.
        if not stat.S_ISREG(mode):
            raise InputError(f"{name} is a device or a pipe, not an image file: save the image to a file first")
        with path.open("rb") as file:
            head = file.read(content.HEAD_BYTES)
            if head and (seems := content.not_an_image(head)):
                raise InputError(f"{name} is not an image: it seems to be {seems}")
            if status.st_size > _MAX_UNKNOWN_BYTES and content.image_kind(head) is None:
                raise InputError(f"{name} is not an image in a format that OpenCV knows")
            if status.st_size > max_bytes():
                raise InputError(
                    f"{name} has {status.st_size:,} bytes, more than an image of {max_pixels():,} pixels needs, and"
                    " none larger is read: make the image smaller"
                )
            return head + file.read()
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(why_unreadable(error, path, name)) from error


def max_bytes() -> int:
    """How many bytes an image's file may have: what the largest image needs, and some for what comes with it."""
    return _BYTES_OF_A_PIXEL * max_pixels() + (1 << 26)


def why_unreadable(error: Exception, path: Path, name: str) -> str:
    """One sentence for an error from opening or reading the file `path`, which the user calls `name`."""
    if isinstance(error, MemoryError):
        return f"{name} is too large for the memory of this machine: make the image smaller"
    if isinstance(error, PermissionError):
        return f"{name} cannot be read, permission denied: check who may read the file (ls -l, chmod)"
    if isinstance(error, FileNotFoundError) and os.path.islink(path):
        return f"{name} is a link to a file that does not exist: mend the link or name the file itself"
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        if set(name) & set("*?["):
            # The shell hands a pattern that matches nothing on as it is.
            return f"{name} matches no file: check the spelling and the folder"
        return f"{name} does not exist: check the spelling and the folder"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{name[:80]}... does not exist: the name is longer than this file system allows"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{name} cannot be read: {reason}"
