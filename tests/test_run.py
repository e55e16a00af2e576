"""The loop: every picture reaches every sink in order, and what ends a run ends it cleanly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, cast

import numpy as np
import pytest

from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.frame import Frame, Unreadable
from mrcnn_cv.instances import Instances
from mrcnn_cv.rcnn.model import MaskRCNN
from mrcnn_cv.run import Listener, Outcome, Thresholds, run
from mrcnn_cv.sinks import SinkClosed

Event = tuple[str, str]


def frame(name: str, width: int = 8) -> Frame:
    return Frame(np.zeros((6, width, 3), dtype=np.uint8), name, 0, read_ms=5.0)


class Model:
    """Finds nothing, remembers what it was asked; refuses pictures that are one pixel wide."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def predict(self, image: np.ndarray[Any, Any], **asked: Any) -> Instances:
        if image.shape[1] == 1:
            raise InputError("too narrow")
        self.asked.append(asked)
        none = np.zeros(0, dtype=np.float32)
        found = Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (6, 8))
        found.timings_ms = {"trunk": 1.0}
        return found


class Recorder(Listener):
    """A sink and a listener that write down what happens, in one list."""

    def __init__(self, name: str, events: list[Event], act: Callable[[str], None] | None = None) -> None:
        self.name, self.events, self.act = name, events, act

    def __enter__(self) -> Recorder:
        self.events.append((self.name, "open"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.events.append((self.name, "close"))

    def write(self, frame: Frame, found: Instances) -> None:
        if self.act is not None:
            self.act(frame.name)
        assert found.source == frame.name
        assert list(found.timings_ms) == ["read", "trunk"]
        self.events.append((self.name, frame.name))

    def done(self, frame: Frame, found: Instances, milliseconds: float) -> None:
        assert milliseconds >= frame.read_ms
        self.events.append(("done", frame.name))

    def failed(self, name: str, error: InputError) -> None:
        self.events.append(("failed", f"{name}: {error}"))


def play(frames: Iterator[Frame | Unreadable] | list[Any], *sinks: Recorder, events: list[Event]) -> Outcome:
    return run(cast(MaskRCNN, Model()), frames, sinks, Thresholds(), Recorder("", events))


def stop(at: str, error: Exception) -> Callable[[str], None]:
    def act(name: str) -> None:
        if name == at:
            raise error

    return act


def test_pictures_reach_all_sinks_in_order_and_failures_do_not_end_the_run() -> None:
    events: list[Event] = []
    frames = [frame("a"), Unreadable("b", 1, InputError("b is empty")), frame("c", width=1), frame("d")]
    outcome = play(frames, Recorder("one", events), Recorder("two", events), events=events)
    assert outcome == Outcome(done=2, failed=2)
    assert events == [
        ("one", "open"),
        ("two", "open"),
        ("one", "a"),
        ("two", "a"),
        ("done", "a"),
        ("failed", "b: b is empty"),
        ("failed", "c: c: too narrow"),
        ("one", "d"),
        ("two", "d"),
        ("done", "d"),
        ("two", "close"),
        ("one", "close"),
    ]


def test_thresholds_are_asked_of_the_model() -> None:
    model = Model()
    thresholds = Thresholds(None, 0.25, 0.75, 3, [1, 2])
    run(cast(MaskRCNN, model), [frame("a")], [], thresholds, Listener())
    assert model.asked == [
        {
            "score_threshold": None,
            "mask_threshold": 0.25,
            "nms_threshold": 0.75,
            "max_instances": 3,
            "classes": [1, 2],
        }
    ]


@pytest.mark.parametrize(("delivered", "done"), [(True, 2), (False, 1)])
def test_a_sink_that_closes_ends_the_run_well(delivered: bool, done: int) -> None:
    events: list[Event] = []
    window = Recorder("window", events, stop("b", SinkClosed(delivered)))
    outcome = play([frame(name) for name in "abc"], Recorder("file", events), window, events=events)
    # A window has shown the picture on which the user presses q, a pipe has lost the line that nobody reads.
    assert outcome == Outcome(done=done)
    assert (("done", "b") in events) == delivered
    assert ("file", "b") in events
    assert ("file", "c") not in events
    assert events[-2:] == [("window", "close"), ("file", "close")]


def test_an_output_that_cannot_be_written_ends_the_run() -> None:
    events: list[Event] = []
    sink = Recorder("file", events, stop("b", OutputError("the disk is full")))
    with pytest.raises(OutputError, match="the disk is full"):
        play([frame(name) for name in "abc"], sink, events=events)
    assert events == [("file", "open"), ("file", "a"), ("done", "a"), ("file", "close")]


def test_pictures_are_read_one_at_a_time() -> None:
    events: list[Event] = []

    def frames() -> Iterator[Frame]:
        for name in "ab":
            events.append(("read", name))
            yield frame(name)

    play(frames(), Recorder("file", events), events=events)
    assert events.index(("done", "a")) < events.index(("read", "b"))


def test_looking_at_a_picture_does_not_count_as_its_time() -> None:
    """A window says how long it was looked at; here it claims ten minutes."""
    told: list[float] = []

    class Window(Recorder):
        def write(self, frame: Frame, found: Instances) -> None:
            found.timings_ms["show"] = 600_000.0

    class Told(Listener):
        def done(self, frame: Frame, found: Instances, milliseconds: float) -> None:
            told.append(milliseconds)

    run(cast(MaskRCNN, Model()), [frame("a.jpg")], [Window("window", [])], Thresholds(), Told())
    # The ten minutes are taken off what really passed here, which is next to nothing.
    assert told[0] == pytest.approx(-600_000, abs=60_000)
