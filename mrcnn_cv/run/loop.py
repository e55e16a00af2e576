"""The loop: source → model → sinks. One picture that fails does not end it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from mrcnn_cv.errors import InputError
from mrcnn_cv.frame import Frame, Unreadable
from mrcnn_cv.instances import Instances
from mrcnn_cv.rcnn.model import MaskRCNN
from mrcnn_cv.run.crew import Crew, Steps
from mrcnn_cv.sinks import Sink, SinkClosed
from mrcnn_cv.sinks.folder import written_files
from mrcnn_cv.sources.items import Item, load


@dataclass(frozen=True)
class Thresholds:
    """What to ask of `MaskRCNN.predict`, under its names."""

    score_threshold: float | None = 0.5
    mask_threshold: float = 0.5
    nms_threshold: float | None = None
    max_instances: int | None = None
    classes: Sequence[int] | None = None


@dataclass
class Outcome:
    """How many pictures were done and how many failed."""

    done: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Done:
    """One picture that is done and written.

    milliseconds  from reading to writing
    files         (path, size in bytes) of its own outputs
    """

    frame: Frame
    found: Instances
    milliseconds: float
    files: Sequence[tuple[Path, int]] = ()


class Listener:
    """Told of every picture, in order; the command line prints, a program may do something else."""

    def done(self, done: Done) -> None:
        """A picture is done and written."""

    def failed(self, failed: Unreadable) -> None:
        """A picture could not be read or taken; the next one follows."""


@dataclass
class Stop:
    """Set `requested` to end a run after the pictures that are in work."""

    requested: bool = False


@dataclass
class _Picture:
    """A picture on its way, and the time that was spent on it so far."""

    frame: Frame
    found: Instances
    seconds: float
    files: list[tuple[Path, int]] = field(default_factory=list)


def run(
    crew: Crew,
    source: Iterable[Item | Frame | Unreadable | None],
    sinks: Sequence[Sink],
    thresholds: Thresholds,
    listeners: Sequence[Listener],
    stop: Stop | None = None,
) -> Outcome:
    """Take every picture of `source` through the crew's models and hand the instances to every sink.

    A source gives None where it has nothing at the moment.

    Sinks whose `ordered` is False are written by several threads at a time, in any order; the others by the caller's,
    in order. Raises OutputError or BackendError, which end the run (what was written stays); a SinkClosed ends it
    quietly, and the picture at which it came counts as done where the sink still took it.
    """
    outcome, stop = Outcome(), stop or Stop()
    unordered = [sink for sink in sinks if not sink.ordered]
    ordered = [sink for sink in sinks if sink.ordered]
    steps = _steps(thresholds, unordered)
    with ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        try:
            for picture in crew.work(_numbered(source), steps, lambda: stop.requested):
                _deliver(picture, ordered, listeners, outcome)
        except SinkClosed:
            pass
    return outcome


Taken = tuple[int, "Item | Frame | Unreadable"]
Steps4 = Steps[Taken, "Frame | Unreadable", "_Picture | Unreadable", "_Picture | Unreadable"]


def _numbered(source: Iterable[Item | Frame | Unreadable | None]) -> Iterator[Taken | None]:
    index = 0
    for item in source:
        yield None if item is None else (index, item)
        index += item is not None


def _steps(thresholds: Thresholds, sinks: Sequence[Sink]) -> Steps4:
    def read(taken: Taken) -> Frame | Unreadable:
        index, item = taken
        return load(item, index) if isinstance(item, Item) else item

    def find(frame: Frame | Unreadable, model: Callable[[], MaskRCNN]) -> _Picture | Unreadable:
        return frame if isinstance(frame, Unreadable) else _find(frame, model(), thresholds)

    def write(picture: _Picture | Unreadable) -> _Picture | Unreadable:
        if isinstance(picture, _Picture):
            start = time.perf_counter()
            with written_files() as picture.files:
                for sink in sinks:
                    sink.write(picture.frame, picture.found)
            picture.seconds += time.perf_counter() - start
        return picture

    return Steps(read, find, write)


def _find(frame: Frame, model: MaskRCNN, thresholds: Thresholds) -> _Picture | Unreadable:
    start = time.perf_counter()
    try:
        found = model.predict(
            frame.image,
            score_threshold=thresholds.score_threshold,
            mask_threshold=thresholds.mask_threshold,
            nms_threshold=thresholds.nms_threshold,
            max_instances=thresholds.max_instances,
            classes=thresholds.classes,
        )
    except InputError as error:
        return Unreadable(frame.name, frame.index, InputError(f"{frame.name}: {error}"), frame.path, frame.place)
    found.source = frame.name
    found.timings_ms = {"read": frame.read_ms, **found.timings_ms}
    return _Picture(frame, found, frame.read_ms / 1000 + time.perf_counter() - start)


def _deliver(
    picture: _Picture | Unreadable, sinks: Sequence[Sink], listeners: Sequence[Listener], outcome: Outcome
) -> None:
    """What happens in order: the sinks that need it, the books, the terminal."""
    if isinstance(picture, Unreadable):
        outcome.failed += 1
        for listener in listeners:
            listener.failed(picture)
        return
    start = time.perf_counter()
    end: SinkClosed | None = None
    try:
        for sink in sinks:
            sink.write(picture.frame, picture.found)
    except SinkClosed as closed:
        if not closed.delivered:
            raise
        end = closed
    outcome.done += 1
    # How long somebody looked at a picture is not how long it took.
    looked = picture.found.timings_ms.get("show", 0.0)
    milliseconds = (picture.seconds + time.perf_counter() - start) * 1000 - looked
    for listener in listeners:
        listener.done(Done(picture.frame, picture.found, milliseconds, picture.files))
    if end is not None:
        raise end
