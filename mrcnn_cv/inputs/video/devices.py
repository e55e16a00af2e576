"""The cameras of this machine. No cv2 on Linux, whose kernel knows them all by name."""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

NAMES = Path("/sys/class/video4linux")
NODES = Path("/dev")

_QUERY_CAPABILITIES = 0x80685600
_SIZE_OF_CAPABILITIES = 104
_DEVICE_CAPABILITIES_AT = 88
_CAPTURE = 0x1 | 0x1000
"""V4L2_CAP_VIDEO_CAPTURE and its multi-planar sister."""

_MAX_TRIED = 10


@dataclass(frozen=True)
class Device:
    """A camera.

    source   what to give to mrcnn-cv
    path     of its device; None where there are none (Windows, macOS)
    name     as the system calls it; None where nobody knows
    problem  why it cannot be used; None where nothing is known to be wrong
    """

    source: str
    path: str | None = None
    name: str | None = None
    problem: str | None = None


def list_devices() -> list[Device]:
    """All cameras, by number. Only where the system does not tell are they opened to see."""
    return _of_kernel(NAMES, NODES) if sys.platform.startswith("linux") else _by_trying()


def _of_kernel(names: Path, nodes: Path) -> list[Device]:
    """Those in /sys and /dev. A camera has more nodes than one; what cannot take images is left out."""
    numbers = {_number(path.name) for folder in (names, nodes) for path in folder.glob("video*")} - {None}
    found = []
    for number in sorted(number for number in numbers if number is not None):
        node, name = nodes / f"video{number}", names / f"video{number}" / "name"
        takes_images, problem = _look(node)
        if takes_images or problem is not None:
            found.append(Device(str(number), str(node), _text(name), problem))
    return found


def _number(name: str) -> int | None:
    found = re.fullmatch(r"video([0-9]{1,3})", name)
    return int(found[1]) if found else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _look(node: Path) -> tuple[bool, str | None]:
    """(whether it takes images, why that cannot be known)."""
    import fcntl

    try:
        handle = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return False, _why_closed(error)
    try:
        answer = fcntl.ioctl(handle, _QUERY_CAPABILITIES, bytes(_SIZE_OF_CAPABILITIES))
    except OSError:
        # Something else that is called so.
        return False, None
    finally:
        os.close(handle)
    return bool(struct.unpack_from("=I", answer, _DEVICE_CAPABILITIES_AT)[0] & _CAPTURE), None


def _why_closed(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission: join the group video"
    if error.errno == errno.EBUSY:
        return "another program is using it"
    if isinstance(error, FileNotFoundError):
        return "its device file is not here (a container without it?)"
    return error.strerror or str(error)


def _by_trying() -> list[Device]:
    from mrcnn_cv.inputs.video.camera import open_capture
    from mrcnn_cv.util.opencv import quiet

    found: list[Device] = []
    with quiet():
        for number in range(_MAX_TRIED):
            capture = open_capture(str(number))
            if capture.isOpened():
                found.append(Device(str(number)))
            capture.release()
            # Numbers have gaps where a camera was pulled out, but small ones.
            if number > (int(found[-1].source) if found else 0) + 1:
                break
    return found
