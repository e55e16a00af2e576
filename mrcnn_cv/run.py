"""The loop: source → model → sinks. One picture that fails does not end it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from mrcnn_cv.errors import InputError
from mrcnn_cv.frame import Frame, Unreadable
from mrcnn_cv.instances import Instances
from mrcnn_cv.rcnn.model import MaskRCNN
from mrcnn_cv.sinks import Sink, SinkClosed


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


class Listener:
    """Told of every picture; the command line prints, a program may do something else."""

    def done(self, frame: Frame, found: Instances, milliseconds: float) -> None:
        """A picture is done and written; `milliseconds` from reading to writing."""

    def failed(self, name: str, error: InputError) -> None:
        """A picture could not be read or taken; the next one follows."""


def run(
    model: MaskRCNN,
    source: Iterable[Frame | Unreadable],
    sinks: Sequence[Sink],
    thresholds: Thresholds,
    listener: Listener,
) -> Outcome:
    """Run `model` on every picture of `source` and hand the instances to every sink, in order.

    Raises OutputError or BackendError, which end the run (what was written stays); a SinkClosed ends it quietly, and
    the picture at which it came counts as done where the sink still took it.
    """
    outcome = Outcome()
    with ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        try:
            for frame in source:
                _one(model, frame, sinks, thresholds, listener, outcome)
        except SinkClosed:
            pass
    return outcome


def _one(
    model: MaskRCNN,
    frame: Frame | Unreadable,
    sinks: Sequence[Sink],
    thresholds: Thresholds,
    listener: Listener,
    outcome: Outcome,
) -> None:
    if isinstance(frame, Unreadable):
        outcome.failed += 1
        listener.failed(frame.name, frame.error)
        return
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
        outcome.failed += 1
        listener.failed(frame.name, InputError(f"{frame.name}: {error}"))
        return
    found.source = frame.name
    found.timings_ms = {"read": frame.read_ms, **found.timings_ms}
    end: SinkClosed | None = None
    try:
        for sink in sinks:
            sink.write(frame, found)
    except SinkClosed as closed:
        if not closed.delivered:
            raise
        end = closed
    outcome.done += 1
    # How long somebody looked at a picture is not how long it took.
    looked = found.timings_ms.get("show", 0.0)
    listener.done(frame, found, frame.read_ms + (time.perf_counter() - start) * 1000 - looked)
    if end is not None:
        raise end
