"""The loop: every image reaches every sink in order, and what ends a run ends it cleanly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, cast

import numpy as np
import pytest

from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.outputs.base import SinkClosed
from mrcnn_cv.pipeline import CancellationToken, FrameResult, RunObserver, RunResult, Thresholds, run
from mrcnn_cv.pipeline.thread_executor import ModelPool, ThreadExecutor, WorkerLayout, layouts_for
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.instances import Instances

Event = tuple[str, str]


def frame(name: str, width: int = 8) -> Frame:
    return Frame(np.zeros((6, width, 3), dtype=np.uint8), name, 0, read_ms=5.0)


class Model:
    """Finds nothing, remembers what it was asked; refuses images that are one pixel wide."""

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


class Recorder(RunObserver):
    """A sink and an observer that write down what happens, in one list."""

    ordered = True

    def __init__(self, name: str, events: list[Event], act: Callable[[str], None] | None = None) -> None:
        self.name, self.events, self.act = name, events, act

    def __enter__(self) -> Recorder:
        self.events.append((self.name, "open"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.events.append((self.name, "close"))

    def write(self, frame: Frame, instances: Instances) -> None:
        if self.act is not None:
            self.act(frame.name)
        assert instances.source == frame.name
        assert list(instances.timings_ms) == ["read", "trunk"]
        self.events.append((self.name, frame.name))

    def done(self, done: FrameResult) -> None:
        assert done.milliseconds >= done.frame.read_ms
        self.events.append(("done", done.frame.name))

    def failed(self, failed: FrameError) -> None:
        self.events.append(("failed", f"{failed.name}: {failed.error}"))


def executor(model: Model | None = None, workers: int = 1) -> ThreadExecutor:
    first = cast(MaskRCNN, model or Model())
    return ThreadExecutor(ModelPool(first, lambda: first), [WorkerLayout(workers, 0)])


def play(frames: Iterator[Frame | FrameError] | list[Any], *sinks: Recorder, events: list[Event]) -> RunResult:
    return run(executor(), frames, sinks, Thresholds(), [Recorder("", events)])


def stop(at: str, error: Exception) -> Callable[[str], None]:
    def act(name: str) -> None:
        if name == at:
            raise error

    return act


def test_pictures_reach_all_sinks_in_order_and_failures_do_not_end_the_run() -> None:
    events: list[Event] = []
    frames = [frame("a"), FrameError("b", 1, InputError("b is empty")), frame("c", width=1), frame("d")]
    outcome = play(frames, Recorder("one", events), Recorder("two", events), events=events)
    assert outcome == RunResult(done=2, failed=2)
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
    run(executor(model), [frame("a")], [], thresholds, [])
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
    # A window has shown the image on which the user presses q, a pipe has lost the line that nobody reads.
    assert outcome == RunResult(done=done)
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


def test_no_more_pictures_are_in_work_than_the_workers_need() -> None:
    """Memory stays flat, however many images there are."""
    taken: list[int] = []

    class Slow(Recorder):
        def write(self, frame: Frame, instances: Instances) -> None:
            assert len(taken) - int(frame.name) <= 2 * 2 + 2

    def frames() -> Iterator[Frame]:
        for number in range(100):
            taken.append(number)
            yield frame(str(number))

    outcome = run(executor(workers=2), frames(), [Slow("", [])], Thresholds(), [])
    assert outcome == RunResult(done=100)


def test_results_come_in_order_from_workers_that_are_not() -> None:
    class Uneven(Model):
        def predict(self, image: np.ndarray[Any, Any], **asked: Any) -> Instances:
            time.sleep(0.02 if image.shape[1] % 3 else 0.0)
            return super().predict(image, **asked)

    events: list[Event] = []
    names = [str(number) for number in range(30)]
    frames = [frame(name, width=2 + index) for index, name in enumerate(names)]
    run(executor(Uneven(), workers=4), frames, [Recorder("sink", events)], Thresholds(), [])
    assert [name for _, name in events[1:-1]] == names


def test_files_of_their_own_are_written_by_several_threads_and_are_all_there_when_a_picture_is_done() -> None:
    written: set[str] = set()

    class Files(Recorder):
        ordered = False

        def write(self, frame: Frame, instances: Instances) -> None:
            assert threading.current_thread() is not threading.main_thread()
            written.add(frame.name)

    class Told(RunObserver):
        def done(self, done: FrameResult) -> None:
            assert done.frame.name in written

    outcome = run(executor(workers=3), [frame(str(n)) for n in range(20)], [Files("", [])], Thresholds(), [Told()])
    assert (outcome.done, len(written)) == (20, 20)


def test_a_stop_ends_after_the_pictures_in_work() -> None:
    events: list[Event] = []
    request = CancellationToken()

    class Stopping(RunObserver):
        def done(self, done: FrameResult) -> None:
            request.requested = True

    frames = (frame(str(number)) for number in range(1000))
    outcome = run(executor(), frames, [Recorder("sink", events)], Thresholds(), [Stopping()], request)
    assert 1 <= outcome.done <= 2 * 1 + 2
    assert events[-1] == ("sink", "close")


@pytest.mark.parametrize("plans", [[WorkerLayout(3, 0), WorkerLayout(1, 0)], [WorkerLayout(1, 0), WorkerLayout(3, 0)]])
def test_the_plan_that_turns_out_faster_is_kept(plans: list[WorkerLayout]) -> None:
    class Slower(Model):
        """Two workers get into each other's way."""

        def __init__(self) -> None:
            super().__init__()
            self.inside: list[None] = []

        def predict(self, image: np.ndarray[Any, Any], **asked: Any) -> Instances:
            self.inside.append(None)
            time.sleep(0.05 if len(self.inside) > 1 else 0.002)
            self.inside.pop()
            return super().predict(image, **asked)

    model = cast(MaskRCNN, Slower())
    team = ThreadExecutor(ModelPool(model, lambda: model), plans)
    events: list[Event] = []
    names = [str(number) for number in range(60)]
    outcome = run(team, [frame(name) for name in names], [Recorder("sink", events)], Thresholds(), [])
    assert outcome.done == 60
    assert [name for _, name in events[1:-1]] == names
    assert team.chosen == WorkerLayout(1, 0)


@pytest.mark.parametrize(
    ("workers", "threads", "backend", "pictures", "expected"),
    [
        (3, None, "cpu", 5, [WorkerLayout(3, 1)]),
        (2, 8, "cpu", 5, [WorkerLayout(2, 4)]),
        (None, None, "cpu", 1, [WorkerLayout(1, 0)]),
        (None, None, "cuda", 10_000, [WorkerLayout(1, 0)]),
        (None, 1, "cpu", 10_000, [WorkerLayout(1, 1)]),
        (None, 4, "cpu", 10_000, [WorkerLayout(1, 4), WorkerLayout(4, 1)]),
        (None, 4, "cpu", None, [WorkerLayout(1, 4)]),
    ],
)
def test_plans(
    workers: int | None,
    threads: int | None,
    backend: str,
    pictures: int | None,
    expected: list[WorkerLayout],
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr("mrcnn_cv.engines.select.available_processors", lambda: 4)
    assert layouts_for(workers, threads, backend, pictures) == expected


def test_looking_at_a_picture_does_not_count_as_its_time() -> None:
    """A window says how long it was looked at; here it claims ten minutes."""
    told: list[float] = []

    class Window(Recorder):
        def write(self, frame: Frame, instances: Instances) -> None:
            instances.timings_ms["show"] = 600_000.0

    class Told(RunObserver):
        def done(self, done: FrameResult) -> None:
            told.append(done.milliseconds)

    run(executor(), [frame("a.jpg")], [Window("window", [])], Thresholds(), [Told()])
    # The ten minutes are taken off what really passed here, which is next to nothing.
    assert told[0] == pytest.approx(-600_000, abs=60_000)


def test_what_follows_comes_in_order_however_uneven_the_workers_are() -> None:
    class Uneven(Model):
        def predict(self, image: np.ndarray[Any, Any], **asked: Any) -> Instances:
            time.sleep(0.01 if image.shape[1] % 3 else 0.0)
            return super().predict(image, **asked)

    followed: list[str] = []
    written: list[str | None] = []

    def follow(frame: Frame, found: Instances) -> Instances:
        followed.append(frame.name)
        changed = replace(found, model=f"followed {frame.name}")
        changed.timings_ms = {}
        return changed

    class Sink(Recorder):
        def write(self, frame: Frame, instances: Instances) -> None:
            assert "track" in instances.timings_ms
            written.append(instances.model)

    names = [str(number) for number in range(30)]
    frames = [frame(name, width=2 + index) for index, name in enumerate(names)]
    run(executor(Uneven(), workers=4), frames, [Sink("sink", [])], Thresholds(), [], track=follow)
    assert followed == names
    assert written == [f"followed {name}" for name in names]


def test_a_picture_may_be_chosen_when_a_worker_is_free() -> None:
    events: list[Event] = []
    pictures = [frame("a"), None, FrameError("b", 1, InputError("b is gone")), frame("c")]
    outcome = play([partial(lambda picture: picture, each) for each in pictures], events=events)
    assert outcome == RunResult(done=2, failed=1)
    assert [name for _, name in events] == ["a", "b: b is gone", "c"]


def test_no_more_than_asked_for_are_in_work() -> None:
    flying = most = 0

    def frames() -> Iterator[Frame]:
        nonlocal flying, most
        for number in range(50):
            flying += 1
            most = max(most, flying)
            yield frame(str(number))

    class Told(RunObserver):
        def done(self, done: FrameResult) -> None:
            nonlocal flying
            flying -= 1

    first = cast(MaskRCNN, Model())
    team = ThreadExecutor(ModelPool(first, lambda: first), [WorkerLayout(2, 0)], ahead=3)
    assert run(team, frames(), [], Thresholds(), [Told()]).done == 50
    assert most == 3


def test_frames_of_a_video_say_which_and_when() -> None:
    seen: list[tuple[int | None, float | None]] = []

    class Sink(Recorder):
        def write(self, frame: Frame, instances: Instances) -> None:
            seen.append((instances.frame, instances.time))

    pictures = [frame("photo"), Frame(np.zeros((6, 8, 3), np.uint8), "clip.mp4", 7, 0.28)]
    run(executor(), pictures, [Sink("", [])], Thresholds(), [])
    assert seen == [(None, None), (7, 0.28)]
