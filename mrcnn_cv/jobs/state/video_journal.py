"""The journal of videos: what was made of each, stretch by stretch, so that a run that ended early can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import OutputError
from mrcnn_cv.inputs.video.base import StreamPosition
from mrcnn_cv.jobs.state.manifest import parse_line
from mrcnn_cv.outputs.storage.output_dir import unwritable
from mrcnn_cv.outputs.video.writer import Segment
from mrcnn_cv.util import filenames

NAME = ".mrcnn-cv-videos.jsonl"


@dataclass(frozen=True)
class Checkpoint:
    """Some frames in a row that are done, with all their outputs in place.

    last       where the source was left
    instances  of these frames, by label
    damaged    frames that were left out so far
    failed     frames that the model refused so far
    last_id    the highest number of a followed instance so far
    origin     time zero of the painted video, in seconds of the source
    part       of the painted video; None where none is written
    """

    last: StreamPosition
    instances: Mapping[str, int]
    damaged: int = 0
    failed: int = 0
    last_id: int = 0
    origin: float | None = None
    part: Segment | None = None


@dataclass
class PreviousVideo:
    """What earlier runs made of a video: how they were started, what is done, and whether that is all."""

    run_metadata: dict[str, Any]
    checkpoints: list[Checkpoint] = field(default_factory=list)
    is_complete: bool = False

    def keep(self, count: int) -> None:
        """Take the first stretches alone for done."""
        self.checkpoints = self.checkpoints[:count]
        self.is_complete = False


class VideoCheckpoints:
    """The journal of one output folder: JSON lines, only ever appended to."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME

    def previous(self, output_path: str) -> PreviousVideo | None:
        """What earlier runs made of the video whose output has this place; None where there was none."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        previous: PreviousVideo | None = None
        for line in data.splitlines():
            entry = parse_line(line)
            if entry.get("place") != output_path:
                continue
            if entry.get("kind") == "video":
                kept = 0 if previous is None else entry.get("kept", 0)
                previous = PreviousVideo(
                    entry, previous.checkpoints[:kept] if previous is not None and isinstance(kept, int) else []
                )
            elif (
                previous is not None
                and entry.get("kind") == "stretch"
                and (checkpoint := _checkpoint(entry)) is not None
            ):
                previous.checkpoints.append(checkpoint)
            elif previous is not None and entry.get("kind") == "end":
                previous.is_complete = entry.get("complete") is True
        return previous

    def begin(self, output_path: str, metadata: Mapping[str, Any], kept: int) -> None:
        """A run begins to work on a video; kept: how many stretches of the run before it still count."""
        self._add({"kind": "video", "place": output_path, "kept": kept, **metadata})

    def add(self, output_path: str, checkpoint: Checkpoint) -> None:
        """A stretch is done."""
        self._add({"kind": "stretch", "place": output_path, **asdict(checkpoint)})

    def end(self, output_path: str, complete: bool) -> None:
        """A run is done with a video; complete: with all of it."""
        self._add({"kind": "end", "place": output_path, "complete": complete})

    def _add(self, entry: Mapping[str, Any]) -> None:
        text = json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                # What a killed run was at may be half a line.
                file.write(b"\n" + text + b"\n" if file.tell() else text + b"\n")
        except OSError as error:
            raise unwritable(error, self.path) from error


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise ValueError(value)
    return int(value)


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or not abs(value) < 1e9:
        raise ValueError(value)
    return float(value)


def _segment(entry: dict[str, Any]) -> Segment:
    """A part as we wrote it: a file beside the others, which starts at a time that a file can tell."""
    part = Segment(str(entry["name"]), int(entry["size"]), int(entry["start"]))
    if not filenames.is_below(part.name) or "/" in part.name or not abs(part.start) < 1 << 53:
        raise ValueError(part)
    return part


def _checkpoint(entry: dict[str, Any]) -> Checkpoint | None:
    try:
        last, part = entry["last"], entry["part"]
        origin = entry["origin"]
        return Checkpoint(
            last=StreamPosition(_count(last["index"]), _seconds(last["time"]), _count(last["taken"])),
            instances={str(label): _count(count) for label, count in entry["instances"].items()},
            damaged=_count(entry["damaged"]),
            failed=_count(entry["failed"]),
            last_id=_count(entry["last_id"]),
            origin=None if origin is None else _seconds(origin),
            part=None if part is None else _segment(part),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
