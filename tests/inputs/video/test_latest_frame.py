"""The newest frame wins, and nobody waits for one that does not come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.video import latest_frame as newest
from mrcnn_cv.inputs.video.base import FrameSampling
from mrcnn_cv.inputs.video.latest_frame import LatestFrameSource
from mrcnn_cv.pipeline import Thresholds, run
from mrcnn_cv.pipeline.thread_executor import ModelPool, ThreadExecutor, WorkerLayout
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.instances import Instances
from tests.inputs.video.fake_live import FakeLive, Taken, frame, lost
from tests.inputs.video.live_contract import check_live_source


class Stepped:
    """A camera that gives an image each time that `step` is called, and not before."""

    def __init__(self) -> None:
        self._allowed = threading.Semaphore(0)
        self._asked = threading.Semaphore(0)
        self.given = 0
        self.ended = False

    def what(self) -> Iterator[Taken]:
        for index in count():
            # The one before has been taken over once the next is asked for.
            self._asked.release()
            self._allowed.acquire()
            if self.ended:
                return
            yield frame(index)

    def step(self, pictures: int = 1) -> None:
        """Give images, and wait until the reader has them."""
        for _ in range(pictures):
            self._asked.acquire()
            self.given += 1
            self._allowed.release()
        self._asked.acquire()
        self._asked.release()

    def end(self) -> None:
        self.ended = True
        self._allowed.release()


@pytest.fixture(autouse=True)
def no_waiting_for_threads_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "_CLOSE_SECONDS", 0.0)


@pytest.fixture
def camera() -> Iterator[Stepped]:
    camera = Stepped()
    yield camera
    camera.end()


def open_fake(*what: Taken, seconds: float | None = None) -> Callable[[], FakeLive]:
    return lambda: FakeLive(what, seconds)


def test_contract() -> None:
    check_live_source(lambda: LatestFrameSource("fake", lambda: FakeLive(map(frame, range(1000))), keep_all=True))


def test_the_newest_wins_and_the_others_are_counted(camera: Stepped) -> None:
    with LatestFrameSource("fake", lambda: FakeLive(camera.what())) as source:
        camera.step(5)
        taken = source.take(0)
        assert isinstance(taken, Frame)
        assert taken.index == 4
        assert source.dropped == 4
        assert source.take(0) is None
        camera.step(1)
        assert isinstance(source.take(0), Frame)
        assert source.dropped == 4


def test_all_are_kept_on_request(camera: Stepped) -> None:
    with LatestFrameSource("fake", lambda: FakeLive(camera.what()), keep_all=True) as source:
        camera.step(50)
        indexes = [taken.index for _ in range(50) if isinstance(taken := source.take(0), Frame)]
        assert indexes == list(range(50))
        assert source.dropped == 0


def test_memory_has_an_end_where_all_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is no longer read from while too much waits, and nothing is lost."""
    monkeypatch.setattr(newest, "MAX_BYTES", 10 * frame(0).image.nbytes)
    read: list[int] = []

    def what() -> Iterator[Taken]:
        for index in range(100):
            read.append(index)
            yield frame(index)

    most = 0
    with LatestFrameSource("fake", lambda: FakeLive(what()), keep_all=True) as source:
        indexes = []
        for taken in source:
            if isinstance(taken, Frame):
                indexes.append(taken.index)
                most = max(most, len(read) - len(indexes))
    assert indexes == list(range(100))
    assert most <= 13


def test_a_failure_is_never_dropped() -> None:
    with LatestFrameSource("fake", open_fake(frame(0), frame(1), lost(2))) as source:
        taken = [each for each in source if each is not None]
    assert isinstance(taken[-1], FrameError)


def test_what_opening_raised_is_raised_to_whoever_asks() -> None:
    def fail() -> FakeLive:
        raise InputError("there is no camera 7")

    with LatestFrameSource("7", fail) as source, pytest.raises(InputError, match="there is no camera 7"):
        _ = source.info


def test_a_source_that_never_opens_is_given_up() -> None:
    never = threading.Event()

    def hang() -> FakeLive:
        never.wait()
        return FakeLive([])

    source = LatestFrameSource("7", hang, open_seconds=0.0)
    with pytest.raises(InputError, match="7 does not answer"):
        _ = source.info
    never.set()
    source.close()


def test_a_source_that_hangs_is_given_up() -> None:
    """A driver that never comes back: its thread cannot be helped, but the run goes on."""
    never = threading.Event()
    with LatestFrameSource("7", lambda: FakeLive([frame(0), never.wait]), hung_seconds=0.2) as source:
        taken = [each for each in source if each is not None]
        never.set()
    assert [type(each) for each in taken] == [Frame, FrameError]
    assert "gives no sign of life" in str(taken[-1].error)  # type: ignore[union-attr]


def test_a_fault_of_ours_is_not_swallowed() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with LatestFrameSource("7", lambda: FakeLive([frame(0), fail])) as source, pytest.raises(ZeroDivisionError):
        list(source)


def test_whoever_waits_is_woken_by_closing(camera: Stepped) -> None:
    source = LatestFrameSource("fake", lambda: FakeLive(camera.what()))
    got: list[Taken] = [frame(0)]
    waiter = threading.Thread(target=lambda: got.append(source.take()))
    waiter.start()
    camera.end()
    source.close()
    waiter.join(10)
    assert got[-1] is None


def test_tickets_are_redeemed_in_their_order(camera: Stepped) -> None:
    with LatestFrameSource("fake", lambda: FakeLive(camera.what()), keep_all=True) as source:
        tickets = source.frame_futures()
        first, second = next(tickets), next(tickets)
        got: dict[str, Taken] = {}
        later = threading.Thread(target=lambda: got.update(second=second()))
        later.start()
        sooner = threading.Thread(target=lambda: got.update(first=first()))
        sooner.start()
        camera.step(2)
        sooner.join(10)
        later.join(10)
    assert [each.index for each in (got["first"], got["second"]) if isinstance(each, Frame)] == [0, 1]


def test_which_frames_are_wanted() -> None:
    choice = FrameSampling(start=0.4, end=2.0, stride=2, max_frames=3)
    with LatestFrameSource("fake", lambda: FakeLive(map(frame, range(1000))), keep_all=True, sampling=choice) as source:
        assert [each.index for each in source if isinstance(each, Frame)] == [4, 6, 8]
    choice = FrameSampling(end=0.5)
    with LatestFrameSource("fake", lambda: FakeLive(map(frame, range(1000))), keep_all=True, sampling=choice) as source:
        taken = [ticket() for ticket in source.frame_futures()]
        # A ticket that was given out before the end may come to nothing.
        assert [each.index for each in taken if isinstance(each, Frame)] == [0, 1, 2, 3, 4]


class SlowModel:
    """While it is at one image the camera goes on by `pictures`."""

    def __init__(self, camera: Stepped, pictures: int) -> None:
        self._camera = camera
        self._pictures = pictures

    def predict(self, image: Any, **asked: Any) -> Instances:
        import numpy as np

        self._camera.step(self._pictures)
        none = np.zeros(0, dtype=np.float32)
        return Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (48, 64))


@pytest.mark.parametrize("pictures", [1, 10, 50])
def test_the_delay_stays_under_two_inferences_however_slow_the_model(camera: Stepped, pictures: int) -> None:
    """Measured in images: one inference takes as long as so many of them."""
    delays: list[int] = []

    class Sink:
        ordered = True

        def __enter__(self) -> Sink:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, frame: Frame, instances: Instances) -> None:
            delays.append(camera.given - 1 - frame.index)

    model: Any = SlowModel(camera, pictures)
    with LatestFrameSource("fake", lambda: FakeLive(camera.what())) as source:
        camera.step()
        tickets = (ticket for ticket, _ in zip(source.frame_futures(), range(20), strict=False))
        run(
            ThreadExecutor(ModelPool(model, lambda: model), [WorkerLayout(1, 0)], ahead=2),
            tickets,
            [Sink()],
            Thresholds(),
            [],
        )
    assert len(delays) == 20
    # The next inference may be under way when an image is delivered, but not yet done.
    assert max(delays) <= 2 * pictures
    # Twenty were delivered, and the newest one still waits when it ends.
    assert source.dropped == camera.given - 21
