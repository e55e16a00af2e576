"""The loop: source → model → sinks. One picture that fails does not end it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from mrcnn_cv.errors import InputError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import Item, load
from mrcnn_cv.outputs.base import Sink, SinkClosed
from mrcnn_cv.outputs.storage.output_dir import written_files
from mrcnn_cv.pipeline.executor import Executor
from mrcnn_cv.pipeline.thread_executor import Steps
from mrcnn_cv.structures.frame import Frame, Unreadable
from mrcnn_cv.structures.instances import Instances


@dataclass
class Thresholds:
    """What to ask of `MaskRCNN.predict`, under its names. A change counts from the next picture on."""

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


Late = Callable[[], "Frame | Unreadable | None"]
Follow = Callable[[Frame, Instances], Instances]


def run(
    crew: Executor,
    source: Iterable[Item | Frame | Unreadable | Late | None],
    sinks: Sequence[Sink],
    thresholds: Thresholds,
    listeners: Sequence[Listener],
    stop: Stop | None = None,
    follow: Follow | None = None,
) -> Outcome:
    """Take every picture of `source` through the crew's models and hand the instances to every sink.

    A source gives None where it has nothing at the moment. A picture that it does not want to choose before a worker is
    free is a callable, which gives None where none came after all. follow: takes the instances of every picture in
    order, before any sink does, and gives those that the sinks are to have; a tracker needs that.

    Sinks whose `ordered` is False are written by several threads at a time, in any order; the others by the caller's,
    in order. Raises OutputError or BackendError, which end the run (what was written stays); a SinkClosed ends it
    quietly, and the picture at which it came counts as done where the sink still took it.
    """
    outcome, stop = Outcome(), stop or Stop()
    unordered = [sink for sink in sinks if not sink.ordered]
    ordered = [sink for sink in sinks if sink.ordered]
    steps = _steps(thresholds, unordered, follow)
    with ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        try:
            for picture in crew.work(_numbered(source), steps, lambda: stop.requested):
                _deliver(picture, ordered, listeners, outcome)
        except SinkClosed:
            pass
    return outcome


Taken = tuple[int, "Item | Frame | Unreadable | Late"]
Outgoing: TypeAlias = "_Picture | Unreadable | None"
Steps4 = Steps[Taken, "Frame | Unreadable | Late", Outgoing, Outgoing]


def _numbered(source: Iterable[Item | Frame | Unreadable | Late | None]) -> Iterator[Taken | None]:
    index = 0
    for item in source:
        yield None if item is None else (index, item)
        index += item is not None


def _steps(thresholds: Thresholds, sinks: Sequence[Sink], follow: Follow | None) -> Steps4:
    def read(taken: Taken) -> Frame | Unreadable | Late:
        index, item = taken
        return load(item, index) if isinstance(item, Item) else item

    def find(taken: Frame | Unreadable | Late, model: Callable[[], MaskRCNN]) -> _Picture | Unreadable | None:
        frame = taken() if callable(taken) else taken
        return _find(frame, model(), thresholds) if isinstance(frame, Frame) else frame

    def followed(picture: _Picture | Unreadable | None) -> _Picture | Unreadable | None:
        if isinstance(picture, _Picture) and follow is not None:
            start = time.perf_counter()
            picture.found = follow(picture.frame, picture.found)
            seconds = time.perf_counter() - start
            picture.found.timings_ms["track"] = seconds * 1000
            picture.seconds += seconds
        return picture

    def write(picture: _Picture | Unreadable | None) -> _Picture | Unreadable | None:
        if isinstance(picture, _Picture):
            start = time.perf_counter()
            try:
                with written_files() as picture.files:
                    for sink in sinks:
                        sink.write(picture.frame, picture.found)
            except MemoryError:
                return _too_large(picture.frame)
            picture.seconds += time.perf_counter() - start
        return picture

    return Steps(read, find, write, None if follow is None else followed)


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
    except MemoryError:
        return _too_large(frame)
    found.source = frame.name
    if frame.time is not None:
        found.frame, found.time = frame.index, frame.time
    found.timings_ms = {"read": frame.read_ms, **found.timings_ms}
    return _Picture(frame, found, frame.read_ms / 1000 + time.perf_counter() - start)


def _too_large(frame: Frame) -> Unreadable:
    """A picture for which the memory does not suffice; for the next one it may."""
    height, width = frame.image.shape[:2]
    why = InputError(
        f"{frame.name} ({width} x {height}) does not fit into the memory that is left: make the picture smaller, give"
        " --workers 1, or close other programs"
    )
    return Unreadable(frame.name, frame.index, why, frame.path, frame.place)


def _deliver(
    picture: _Picture | Unreadable | None, sinks: Sequence[Sink], listeners: Sequence[Listener], outcome: Outcome
) -> None:
    """What happens in order: the sinks that need it, the books, the terminal."""
    if picture is None:
        return
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
