"""A file of JSON lines that is only ever appended to: a run that is killed loses at most the line that it was at."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.storage.output_dir import unwritable
from mrcnn_cv.util.durable import sync, sync_name


class JsonLog:
    """Entries of one file; what is no JSON object on a line of its own is skipped.

    durable  an entry is on the disk when `append` returns
    """

    def __init__(self, path: Path, durable: bool = False) -> None:
        self.path = path
        self._durable, self._has_name = durable, False

    def read(self) -> list[dict[str, Any]] | None:
        """Every entry; None where there is no file. OutputError where it cannot be read."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        return [entry for line in data.splitlines() if isinstance(entry := _parsed(line), dict)]

    def is_cut_short(self, beginning: bytes) -> bool:
        """Whether a run that began the file was killed before its first line was whole. beginning: of that line.

        OutputError where it cannot be read.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        return b"\n" not in data and data.startswith(beginning[: len(data)])

    def clear(self) -> None:
        """Begin anew. OutputError where that cannot be."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("wb") as file:
                self._sync(file)
        except OSError as error:
            raise unwritable(error, self.path) from error

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one entry; it is in the file when this returns. OutputError where it cannot be written."""
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b", buffering=0) as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    # What a killed run was at may be half a line.
                    line = line if file.read(1) == b"\n" else b"\n" + line
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) :]
                self._sync(file)
        except OSError as error:
            raise unwritable(error, self.path) from error

    def _sync(self, file: IO[bytes]) -> None:
        if not self._durable:
            return
        sync(file.fileno())
        if not self._has_name:
            sync_name(self.path, set())
            self._has_name = True


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
