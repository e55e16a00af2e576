"""Images that may have ended a run: they are decoded in a process of their own before the run goes on with them.

Decoders are native code of others. A file that crashes one takes the process with it, and would do so again at every
--resume.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.inputs.images.decode import decode_image

ENDED = "ends the process that decodes it"
"""Part of the reason why such an image failed, by which it is known later."""

SECONDS = 60.0
_SIZE = 8


def probe_decoding(items: Iterable[ImageRef]) -> list[ImageRef]:
    """The items; one whose image ends a process that decodes it, or keeps it for a minute, fails when it is read."""
    with _Child() as child:
        return [item if child.survives(item) else _fatal(item) for item in items]


def _fatal(item: ImageRef) -> ImageRef:
    def read() -> bytes:
        raise InputError(
            f"{item.name} {ENDED}: it is damaged in a way that crashes OpenCV or fills the memory; open it in an image"
            " editor and save it as PNG"
        )

    return replace(item, read=read)


class _Child:
    """A process that decodes images, and another one where it ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def survives(self, item: ImageRef) -> bool:
        """Whether the process is still there when the image is decoded, or refused."""
        try:
            data = item.read()
        except InputError:
            # Nothing to decode; the run says why.
            return True
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        patience = threading.Timer(SECONDS, process.kill)
        patience.start()
        try:
            process.stdin.write(len(data).to_bytes(_SIZE, "little") + data)
            process.stdin.flush()
            lives = process.stdout.read(1) == b"."
        except OSError:
            lives = False
        finally:
            patience.cancel()
        if not lives:
            self._end()
        return lives

    def _start(self) -> subprocess.Popen[bytes]:
        command: Sequence[str] = [sys.executable, "-m", "mrcnn_cv.jobs.state.decode_probe"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _decode_all(source: BinaryIO, answers: BinaryIO) -> None:
    """What the child does: a dot for each image that did not end it."""
    while len(size := source.read(_SIZE)) == _SIZE:
        with suppress(InputError):
            decode_image(source.read(int.from_bytes(size, "little")), "")
        answers.write(b".")
        answers.flush()


if __name__ == "__main__":
    _decode_all(sys.stdin.buffer, sys.stdout.buffer)
