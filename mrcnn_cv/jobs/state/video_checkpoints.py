"""Checkpoints of videos: which frames are done, with all their outputs, so that a run that ended early can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mrcnn_cv.inputs.video.base import StreamPosition
from mrcnn_cv.jobs.state.json_log import JsonLog
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
    last_id    the highest number of a tracked instance so far
    origin     time zero of the annotated video, in seconds of the source
    part       segment of the annotated video; None where none is written
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

    metadata: dict[str, Any]
    checkpoints: list[Checkpoint] = field(default_factory=list)
    is_complete: bool = False


class VideoCheckpoints:
    """The checkpoints of one video, in the log that all videos of an output folder share.

    output_path  of the annotated video below the folder, by which the log knows the video
    """

    def __init__(self, directory: Path, output_path: str, durable: bool = False) -> None:
        self._log = JsonLog(directory / NAME, durable)
        self._output_path = output_path

    def previous(self) -> PreviousVideo | None:
        """What earlier runs made of the video; None where there was none."""
        previous: PreviousVideo | None = None
        for entry in self._log.read() or ():
            kind = entry.get("kind")
            if entry.get("place") != self._output_path:
                continue
            if kind == "video":
                kept = entry.get("kept") if previous is not None else 0
                earlier = previous.checkpoints[:kept] if previous is not None and isinstance(kept, int) else []
                previous = PreviousVideo(entry, earlier)
            elif previous is not None and kind == "stretch" and (checkpoint := _checkpoint(entry)) is not None:
                previous.checkpoints.append(checkpoint)
            elif previous is not None and kind == "end":
                previous.is_complete = entry.get("complete") is True
        return previous

    def begin(self, metadata: Mapping[str, Any], kept: int) -> None:
        """A run begins to work on the video; kept: how many checkpoints of the run before it still count."""
        self._add("video", {"kept": kept, **metadata})

    def add(self, checkpoint: Checkpoint) -> None:
        """More frames are done."""
        self._add("stretch", asdict(checkpoint))

    def end(self, complete: bool) -> None:
        """The run is done with the video; complete: with all of it."""
        self._add("end", {"complete": complete})

    def _add(self, kind: str, entry: Mapping[str, Any]) -> None:
        self._log.append({"kind": kind, "place": self._output_path, **entry})


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise ValueError(value)
    return int(value)


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or not abs(value) < 1e9:
        raise ValueError(value)
    return float(value)


def _segment(entry: dict[str, Any]) -> Segment:
    """A segment as we wrote it: a file beside the others, which starts at a time that a file can tell."""
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
