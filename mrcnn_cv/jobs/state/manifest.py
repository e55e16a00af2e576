"""The manifest of a batch run: run.jsonl in its output folder, a line for every image, by which it is resumed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mrcnn_cv.errors import OutputError, Remedy, UsageError
from mrcnn_cv.outputs.storage.output_dir import unwritable
from mrcnn_cv.pipeline.runner import FrameResult, RunObserver
from mrcnn_cv.structures.frame import FrameError
from mrcnn_cv.util import filenames
from mrcnn_cv.util.redact import redact_url
from mrcnn_cv.util.version import __version__

NAME = "run.jsonl"


@dataclass
class ImageEntry:
    """What the manifest says of one image, the last time that it says anything.

    reason  why it failed; None where it is done
    files   (path below the output folder, size) of its outputs
    """

    name: str
    reason: str | None
    instances: Mapping[str, int] = field(default_factory=dict)
    files: tuple[tuple[str, int], ...] = ()


@dataclass
class PreviousRun:
    """An earlier run in the same folder: its head, its images by place, and whether it came to an end of its own."""

    run_metadata: dict[str, Any]
    images: dict[str, ImageEntry]
    has_ended: bool = True

    def is_done(self, output_path: PurePosixPath, directory: Path) -> bool:
        """Whether an image is done and all its outputs are still there, with their sizes."""
        image = self.images.get(str(output_path))
        if image is None or image.reason is not None:
            return False
        return all(_size(directory / path) == size for path, size in image.files)


class Manifest(RunObserver):
    """Appends to the manifest: first the head, then every image when all its outputs are in place."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._directory = directory
        self._file: BinaryIO | None = None

    def previous(self) -> PreviousRun | None:
        """What an earlier run left; None where there was none. OutputError where it cannot be read."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        metadata: dict[str, Any] = {}
        images: dict[str, ImageEntry] = {}
        has_ended = False
        for line in data.splitlines():
            entry = parse_line(line)
            if entry.get("kind") == "run":
                metadata, has_ended = entry, False
            elif entry.get("kind") == "end":
                has_ended = True
            elif entry.get("kind") == "picture" and (found := _image_entry(entry)) is not None:
                images[str(entry["place"])] = found
        return PreviousRun(metadata, images, has_ended)

    def open(self, metadata: Mapping[str, Any], keep: bool) -> None:
        """Begin to write; keep: behind what an earlier run left."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab" if keep else "wb", buffering=0)  # noqa: SIM115 (until close)
        except OSError as error:
            raise unwritable(error, self.path) from error
        if keep and self.path.stat().st_size:
            # What a killed run was at may be half a line.
            self._file.write(b"\n")
        self._add({"kind": "run", "version": 1, "started": _now(), **_told(metadata)})

    def close(self, exit_code: int) -> None:
        """Write how the run ended."""
        if self._file is not None:
            self._add({"kind": "end", "ended": _now(), "exit_code": exit_code})
            self._file.close()
            self._file = None

    def done(self, done: FrameResult) -> None:
        self._add(
            {
                "kind": "picture",
                "place": str(done.frame.output_path),
                "name": done.frame.name,
                "status": "done",
                "instances": done.instances.counts(),
                "files": [[path.relative_to(self._directory).as_posix(), size] for path, size in done.files],
                "milliseconds": round(done.milliseconds, 1),
            }
        )

    def failed(self, failed: FrameError) -> None:
        self._add(
            {
                "kind": "picture",
                "place": str(failed.output_path),
                "name": failed.name,
                "status": "failed",
                "reason": str(failed.error),
            }
        )

    def _add(self, entry: Mapping[str, Any]) -> None:
        if self._file is None:
            raise ValueError("the manifest is not open")
        text = json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            rest = memoryview(text)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise unwritable(error, self.path) from error


def versions() -> dict[str, str]:
    """What ran: of mrcnn-cv, OpenCV, numpy and Python."""
    import numpy as np

    from mrcnn_cv.util.opencv import cv2

    python = ".".join(map(str, sys.version_info[:3]))
    return {"mrcnn_cv": __version__, "opencv": cv2.__version__, "numpy": np.__version__, "python": python}


def check_same(previous: PreviousRun, metadata: Mapping[str, Any], directory: Path) -> None:
    """UsageError, with every difference, where a run that is resumed was another one."""
    different = []
    for group in ("sources", "options", "model"):
        before, now = _told(previous.run_metadata).get(group), _as_json(_told(metadata).get(group))
        if isinstance(before, dict) and isinstance(now, dict):
            names = [name for name in {**before, **now} if not _is_equal(before.get(name), now.get(name))]
            different += [f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}" for name in names]
        elif before != now:
            different.append(f"{group}: was {_short(before)}, is {_short(now)}")
    if different:
        raise UsageError(
            f"the run in {directory} was another one ({'; '.join(different)}): resume it with what it was started with,"
            " start a new one that overwrites it, or choose another output folder",
            Remedy.RESUME,
            Remedy.OVERWRITE,
            Remedy.OUTPUT_DIRECTORY,
        )


def _is_equal(before: Any, now: Any) -> bool:
    """Of values of an option: classes, formats and hidden parts are the same in any order."""
    if isinstance(before, list) and isinstance(now, list):
        return sorted(map(str, before)) == sorted(map(str, now))
    return bool(before == now)


def _told(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The head without secrets of addresses: a run goes on also where these have changed, as signatures do."""
    sources = metadata.get("sources")
    if not isinstance(sources, list):
        return dict(metadata)
    return {**metadata, "sources": [redact_url(each) if isinstance(each, str) else each for each in sources]}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, ensure_ascii=False))


def parse_line(line: bytes) -> dict[str, Any]:
    """The entry on one line; empty where there is none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _image_entry(entry: dict[str, Any]) -> ImageEntry | None:
    try:
        reason = None if entry["status"] == "done" else str(entry["reason"])
        files = tuple((str(path), int(size)) for path, size in entry.get("files", ()))
        instances = {str(label): int(count) for label, count in entry.get("instances", {}).items()}
        # Somebody else wrote a manifest that names files elsewhere; those are nobody's outputs.
        if "place" not in entry or not all(filenames.is_below(path) for path, _ in files):
            return None
        return ImageEntry(str(entry["name"]), reason, instances, files)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if not os.path.islink(path) else None
    except (OSError, ValueError):
        return None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
