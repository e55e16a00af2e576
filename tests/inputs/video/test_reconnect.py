"""A source that is lost comes back as if it had only paused; and one that does not, ends in a sentence."""

from __future__ import annotations

import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.video.reconnect import Reconnecting, back_off
from mrcnn_cv.structures.frame import Frame, FrameError
from tests.inputs.video.fake_live import FakeLive, frame, lost, turns
from tests.inputs.video.live_contract import check_live_source

GONE = InputError("fake cannot be reached, the connection was refused: check the address")


class Line:
    """A reconnecting source, and what it said and how long it waited."""

    def __init__(self, *sources: FakeLive | InputError, tries: int = 3) -> None:
        self.said: list[str] = []
        self.waits: list[int] = []
        self.source = Reconnecting("fake", turns(*sources), tries, self.said.append, self._wait)

    def _wait(self, failures: int) -> float:
        self.waits.append(failures)
        return 0.0

    def all(self) -> tuple[list[Frame], list[FrameError]]:
        taken = list(self.source)
        frames = [each for each in taken if isinstance(each, Frame)]
        return frames, [each for each in taken if isinstance(each, FrameError)]


def test_contract() -> None:
    check_live_source(lambda: Line(FakeLive([frame(0), frame(1), lost(2)]), FakeLive(map(frame, range(9)))).source)


def test_indexes_go_on_and_times_never_go_back() -> None:
    line = Line(FakeLive([frame(0), frame(1), lost(2)]), FakeLive([frame(0), frame(1)]), GONE, GONE, GONE)
    frames, failed = line.all()
    assert [each.index for each in frames] == [0, 1, 2, 3]
    times = [each.time or 0.0 for each in frames]
    assert times[:2] == pytest.approx([0.0, 0.1], abs=0.05)
    assert times[3] - times[2] == pytest.approx(0.1)
    assert len(failed) == 1
    assert failed[0].index == 4


def test_what_is_said() -> None:
    line = Line(FakeLive([frame(0), lost(1)]), GONE, FakeLive([frame(0), lost(1)]), GONE, GONE, GONE)
    _, (failed,) = line.all()
    assert line.said == [
        "fake has sent nothing for 1 s: check the camera; trying again in 0 s (1 of 3)",
        "fake cannot be reached, the connection was refused: check the address; trying again in 0 s (2 of 3)",
        "fake is back",
        "fake has sent nothing for 1 s: check the camera; trying again in 0 s (1 of 3)",
        "fake cannot be reached, the connection was refused: check the address; trying again in 0 s (2 of 3)",
        "fake cannot be reached, the connection was refused: check the address; trying again in 0 s (3 of 3)",
    ]
    assert str(failed.error) == (
        "fake was lost and did not come back in 3 tries (cannot be reached, the connection was refused): check the"
        " device and the network"
    )


def test_a_source_that_opens_and_gives_nothing_is_a_failure_too() -> None:
    line = Line(FakeLive([frame(0), lost(1)]), *(FakeLive([lost(0)]) for _ in range(3)))
    frames, failed = line.all()
    assert len(frames) == len(failed) == 1
    assert line.waits == [1, 2, 3]


def test_waits_grow() -> None:
    assert [back_off(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_the_first_time_is_not_tried_again() -> None:
    with pytest.raises(InputError, match="the connection was refused"):
        Line(GONE, FakeLive([frame(0)]))
    line = Line(FakeLive([lost(0)]), FakeLive([frame(0)]))
    frames, (failed,) = line.all()
    assert not frames
    assert "has sent nothing" in str(failed.error)
    assert line.waits == []


def test_no_tries() -> None:
    frames, (failed,) = Line(FakeLive([frame(0), lost(1)]), tries=0).all()
    assert len(frames) == 1
    assert "has sent nothing" in str(failed.error)
    # An end is an end then.
    frames, failures = Line(FakeLive([frame(0)]), tries=0).all()
    assert (len(frames), failures) == (1, [])


def test_a_recording_ends_at_its_end_and_does_not_begin_anew() -> None:
    frames, failed = Line(FakeLive([frame(0), frame(1)], seconds=0.2)).all()
    assert (len(frames), failed) == (2, [])
    frames, failed = Line(FakeLive([frame(0), lost(1)], seconds=9.0), FakeLive([frame(0)])).all()
    assert (len(frames), len(failed)) == (1, 1)


def test_pictures_keep_their_size() -> None:
    line = Line(FakeLive([frame(0), lost(1)]), FakeLive([frame(0, (32, 20)), frame(1, (32, 20))]), GONE, tries=1)
    frames, _ = line.all()
    assert [each.image.shape for each in frames] == [(48, 64, 3)] * 3
    assert line.said.count("fake sends 32x20, which is scaled to the 64x48 that it began with") == 1


def test_while_it_waits_it_gives_nothing_and_can_be_closed() -> None:
    source = Reconnecting("fake", turns(FakeLive([frame(0), lost(1)])), 5, wait=lambda _: 1000.0)
    taken = iter(source)
    assert isinstance(next(taken), Frame)
    assert next(taken) is None
    assert source.is_disconnected
    source.close()
    assert list(taken) == []
    assert not [each for each in taken if each is not None]


def test_sources_are_closed_and_their_counts_add_up() -> None:
    first, second = FakeLive([frame(0), lost(1)]), FakeLive([frame(0)])
    first.damaged, second.damaged, second.dropped = 2, 3, 4
    line = Line(first, second, GONE, GONE, GONE)
    line.all()
    assert first.closed
    assert second.closed
    assert (line.source.damaged, line.source.dropped) == (5, 4)
