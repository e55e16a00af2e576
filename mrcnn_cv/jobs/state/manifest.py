"""The manifest of a batch run: run.jsonl in its output folder, a line for every image, by which it is resumed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from mrcnn_cv.jobs.state.json_log import JsonLog
from mrcnn_cv.jobs.state.run_metadata import without_secrets
from mrcnn_cv.pipeline.runner import FrameResult, RunObserver
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.util import filenames

NAME = "run.jsonl"
_BEGINNING = b'{"kind": "run"'


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
    """An earlier run in the same folder: its images by output path, and whether it came to an end of its own."""

    metadata: dict[str, Any]
    images: dict[str, ImageEntry]
    has_ended: bool = True

    def is_done(self, output_path: PurePosixPath, directory: Path) -> bool:
        """Whether an image is done and all its outputs are still there, with their sizes."""
        image = self.images.get(str(output_path))
        if image is None or image.reason is not None:
            return False
        return all(_size(directory / path) == size for path, size in image.files)


class Manifest(RunObserver):
    """Appends to the manifest: first the metadata, then every image when all its outputs are in place."""

    def __init__(self, directory: Path, durable: bool = False) -> None:
        self._log = JsonLog(directory / NAME, durable)
        self._directory = directory

    def previous(self) -> PreviousRun | None:
        """What an earlier run left; None where there was none. OutputError where it cannot be read."""
        entries = self._log.read()
        if entries is None or (not entries and self._log.is_cut_short(_BEGINNING)):
            return None
        previous = PreviousRun({}, {}, has_ended=False)
        for entry in entries:
            if entry.get("kind") == "run":
                previous.metadata, previous.has_ended = entry, False
            elif entry.get("kind") == "end":
                previous.has_ended = True
            elif entry.get("kind") == "picture" and (found := _image_entry(entry)) is not None:
                previous.images[str(entry["place"])] = found
        return previous

    def open(self, metadata: Mapping[str, Any], keep: bool) -> None:
        """Begin to write; keep: behind what an earlier run left."""
        if not keep:
            self._log.clear()
        self._log.append({"kind": "run", "version": 1, "started": _now(), **without_secrets(metadata)})

    def close(self, exit_code: int) -> None:
        """Write how the run ended."""
        self._log.append({"kind": "end", "ended": _now(), "exit_code": exit_code})

    def done(self, done: FrameResult) -> None:
        self._add(
            done.frame,
            status="done",
            instances=done.instances.counts(),
            files=[[path.relative_to(self._directory).as_posix(), size] for path, size in done.files],
            milliseconds=round(done.milliseconds, 1),
        )

    def failed(self, failed: FrameError) -> None:
        self._add(failed, status="failed", reason=str(failed.error))

    def _add(self, image: Frame | FrameError, **entry: Any) -> None:
        self._log.append({"kind": "picture", "place": str(image.output_path), "name": image.name, **entry})


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
