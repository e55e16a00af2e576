"""The loop: source → model → sinks. One image that fails does not end it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from mrcnn_cv.errors import INTERRUPTED_EXIT_CODE, InputError, OutputConflict, Remedy
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import ImageRef, load
from mrcnn_cv.outputs.base import Sink, SinkClosed
from mrcnn_cv.outputs.storage.output_dir import written_files
from mrcnn_cv.pipeline.executor import Executor
from mrcnn_cv.pipeline.thread_executor import Stages
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.instances import Instances


@dataclass
class Thresholds:
    """What to ask of `MaskRCNN.predict`, under its names. A change counts from the next image on."""

    score_threshold: float | None = 0.5
    mask_threshold: float = 0.5
    nms_threshold: float | None = None
    max_instances: int | None = None
    classes: Sequence[int] | None = None


@dataclass
class RunResult:
    """How many images were done and how many failed; of these, how many because their outputs have no place."""

    done: int = 0
    failed: int = 0
    conflicts: int = 0


@dataclass(frozen=True)
class FrameResult:
    """One image that is done and written.

    milliseconds  from reading to writing
    files         (path, size in bytes) of its own outputs
    """

    frame: Frame
    instances: Instances
    milliseconds: float
    files: Sequence[tuple[Path, int]] = ()


class RunObserver:
    """Told of every image, in order; the command line prints, a program may do something else."""

    def done(self, done: FrameResult) -> None:
        """An image is done and written."""

    def failed(self, failed: FrameError) -> None:
        """An image could not be read or taken; the next one follows."""


@dataclass
class CancellationToken:
    """Ends a run after the images that are in work.

    Attributes
    ----------
    requested
        By somebody outside (`cancel`), or by the run itself: a window was closed, too many images failed.
    exit_code
        Of the run, where somebody outside asked for its end; None where nobody did.
    """

    requested: bool = False
    exit_code: int | None = None

    def cancel(self, exit_code: int = INTERRUPTED_EXIT_CODE) -> None:
        """End the run; may be called from any thread, or by a signal handler.

        Parameters
        ----------
        exit_code
            With which the run ends; 130 is that of Ctrl-C.
        """
        self.exit_code = exit_code
        self.requested = True


@dataclass
class _FrameInWork:
    """An image on its way, and the time that was spent on it so far."""

    frame: Frame
    instances: Instances
    seconds: float
    files: list[tuple[Path, int]] = field(default_factory=list)


DeferredFrame = Callable[[], "Frame | FrameError | None"]
Track = Callable[[Frame, Instances], Instances]
Item: TypeAlias = "ImageRef | Frame | FrameError | DeferredFrame"
Outgoing: TypeAlias = "_FrameInWork | FrameError | None"


def run(
    executor: Executor,
    source: Iterable[Item | None],
    sinks: Sequence[Sink],
    thresholds: Thresholds,
    observers: Sequence[RunObserver],
    cancellation: CancellationToken | None = None,
    track: Track | None = None,
    *,
    skip_conflicts: bool = False,
) -> RunResult:
    """Take every image of `source` through the executor's models and hand the instances to every sink.

    A source gives None where it has nothing at the moment. An image that it does not want to choose before a worker is
    free is a callable, which gives None where none came after all. track: takes the instances of every image in
    order, before any sink does, and gives those that the sinks are to have; a tracker needs that.

    Sinks whose `ordered` is False are written by several threads at a time, in any order; the others by the caller's,
    in order. Raises OutputError or BackendError, which end the run (what was written stays); a SinkClosed ends it
    quietly, and the image at which it came counts as done where the sink still took it. skip_conflicts: an
    OutputConflict from a sink whose `ordered` is False fails its image alone.
    """
    result, token = RunResult(), cancellation or CancellationToken()
    ordered = [sink for sink in sinks if sink.ordered]
    passing = OutputConflict if skip_conflicts else ()
    stages = _stages(thresholds, [sink for sink in sinks if not sink.ordered], track, passing)
    with ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        with suppress(SinkClosed):
            for frame in executor.work(_numbered(source), stages, lambda: token.requested):
                _deliver(frame, ordered, observers, result)
    return result


def _numbered(source: Iterable[Item | None]) -> Iterator[tuple[int, Item] | None]:
    index = 0
    for item in source:
        yield None if item is None else (index, item)
        index += item is not None


def _stages(
    thresholds: Thresholds,
    sinks: Sequence[Sink],
    track: Track | None,
    passing: type[OutputConflict] | tuple[()] = (),
) -> Stages[tuple[int, Item], Frame | FrameError | DeferredFrame, Outgoing, Outgoing]:
    def read(taken: tuple[int, Item]) -> Frame | FrameError | DeferredFrame:
        index, item = taken
        return load(item, index) if isinstance(item, ImageRef) else item

    def find(taken: Frame | FrameError | DeferredFrame, model: Callable[[], MaskRCNN]) -> Outgoing:
        frame = taken() if callable(taken) else taken
        return _predict(frame, model(), thresholds) if isinstance(frame, Frame) else frame

    def tracked(frame: Outgoing) -> Outgoing:
        if isinstance(frame, _FrameInWork) and track is not None:
            start = time.perf_counter()
            frame.instances = track(frame.frame, frame.instances)
            seconds = time.perf_counter() - start
            frame.instances.timings_ms["track"] = seconds * 1000
            frame.seconds += seconds
        return frame

    def write(frame: Outgoing) -> Outgoing:
        if isinstance(frame, _FrameInWork):
            start = time.perf_counter()
            try:
                with written_files() as frame.files:
                    for sink in sinks:
                        sink.write(frame.frame, frame.instances)
            except MemoryError:
                return _too_large(frame.frame)
            except passing as conflict:
                taken = frame.frame
                return FrameError(taken.name, taken.index, conflict, taken.path, taken.output_path)
            frame.seconds += time.perf_counter() - start
        return frame

    return Stages(read, find, write, None if track is None else tracked)


def _predict(frame: Frame, model: MaskRCNN, thresholds: Thresholds) -> Outgoing:
    start = time.perf_counter()
    try:
        instances = model.predict(frame.image, **vars(thresholds))
    except InputError as error:
        why = InputError(f"{frame.name}: {error}", *error.remedies)
        return FrameError(frame.name, frame.index, why, frame.path, frame.output_path)
    except MemoryError:
        return _too_large(frame)
    instances.source = frame.name
    if frame.time is not None:
        instances.frame, instances.time = frame.index, frame.time
    instances.timings_ms = {"read": frame.read_ms, **instances.timings_ms}
    return _FrameInWork(frame, instances, frame.read_ms / 1000 + time.perf_counter() - start)


def _too_large(frame: Frame) -> FrameError:
    """An image for which the memory does not suffice; for the next one it may."""
    height, width = frame.image.shape[:2]
    why = InputError(
        f"{frame.name} ({width} x {height}) does not fit into the memory that is left: make the image smaller,"
        f" {Remedy.ONE_WORKER}, or close other programs",
        Remedy.ONE_WORKER,
    )
    return FrameError(frame.name, frame.index, why, frame.path, frame.output_path)


def _deliver(frame: Outgoing, sinks: Sequence[Sink], observers: Sequence[RunObserver], result: RunResult) -> None:
    """What happens in order: the sinks that need it, then the observers."""
    if frame is None:
        return
    if isinstance(frame, FrameError):
        result.failed += 1
        result.conflicts += isinstance(frame.error, OutputConflict)
        for observer in observers:
            observer.failed(frame)
        return
    start = time.perf_counter()
    end: SinkClosed | None = None
    try:
        for sink in sinks:
            sink.write(frame.frame, frame.instances)
    except SinkClosed as closed:
        if not closed.delivered:
            raise
        end = closed
    result.done += 1
    # How long somebody looked at an image is not how long it took.
    looked = frame.instances.timings_ms.get("show", 0.0)
    milliseconds = (frame.seconds + time.perf_counter() - start) * 1000 - looked
    for observer in observers:
        observer.done(FrameResult(frame.frame, frame.instances, milliseconds, frame.files))
    if end is not None:
        raise end
