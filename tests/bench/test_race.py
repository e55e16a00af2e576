"""Who runs when, and what becomes of one that fails."""

from __future__ import annotations

from itertools import pairwise, permutations

from mrcnn_cv.bench.contestant import CannotRun, Turn
from mrcnn_cv.bench.race import WARM_UPS, race


class Fake:
    """Writes down when it ran; fails at one of its turns."""

    def __init__(self, name: str, log: list[str], fails_at: int | None = None) -> None:
        self.name = name
        self._log = log
        self._turns = 0
        self._fails_at = fails_at

    def turn(self) -> Turn:
        self._turns += 1
        if self._turns == self._fails_at:
            raise CannotRun("it has had enough")
        self._log.append(self.name)
        return Turn(float(self._turns))


def test_all_run_once_in_every_round_and_nobody_always_behind_the_same_one() -> None:
    log: list[str] = []
    race([Fake("a", log), Fake("b", log), Fake("c", log)], rounds=9, pause=0)
    rounds = [log[start : start + 3] for start in range(0, len(log), 3)]
    assert len(rounds) == WARM_UPS + 9
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert {(before, after) for before, after in pairwise(log) if before != after} == set(permutations("abc", 2))


def test_warm_ups_do_not_count() -> None:
    turns, failed = race([Fake("a", [])], rounds=3, pause=0)
    assert [turn.ms for turn in turns["a"]] == [WARM_UPS + 1, WARM_UPS + 2, WARM_UPS + 3]
    assert failed == {}


def test_one_that_fails_is_out_and_the_others_go_on() -> None:
    log: list[str] = []
    turns, failed = race([Fake("a", log), Fake("b", log, fails_at=WARM_UPS + 2)], rounds=5, pause=0)
    assert failed == {"b": "it has had enough"}
    assert list(turns) == ["a"]
    assert len(turns["a"]) == 5
    assert log.count("b") == WARM_UPS + 1
