"""Who runs when, and what becomes of one that fails."""

from __future__ import annotations

from itertools import pairwise, permutations

from mrcnn_cv.bench.candidate import CandidateError, Measurement
from mrcnn_cv.bench.interleaved import WARM_UP_ROUNDS, measure_interleaved


class Fake:
    """Writes down when it ran; fails at one of its runs."""

    def __init__(self, name: str, log: list[str], fails_at: int | None = None) -> None:
        self.name = name
        self._log = log
        self._runs = 0
        self._fails_at = fails_at

    def measure(self) -> Measurement:
        self._runs += 1
        if self._runs == self._fails_at:
            raise CandidateError("it has had enough")
        self._log.append(self.name)
        return Measurement(float(self._runs))


def test_all_run_once_in_every_round_and_nobody_always_behind_the_same_one() -> None:
    log: list[str] = []
    measure_interleaved([Fake("a", log), Fake("b", log), Fake("c", log)], rounds=9, pause=0)
    rounds = [log[start : start + 3] for start in range(0, len(log), 3)]
    assert len(rounds) == WARM_UP_ROUNDS + 9
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert {(before, after) for before, after in pairwise(log) if before != after} == set(permutations("abc", 2))


def test_warm_ups_do_not_count() -> None:
    runs, failed = measure_interleaved([Fake("a", [])], rounds=3, pause=0)
    assert [run.ms for run in runs["a"]] == [WARM_UP_ROUNDS + 1, WARM_UP_ROUNDS + 2, WARM_UP_ROUNDS + 3]
    assert failed == {}


def test_one_that_fails_is_out_and_the_others_go_on() -> None:
    log: list[str] = []
    runs, failed = measure_interleaved([Fake("a", log), Fake("b", log, fails_at=WARM_UP_ROUNDS + 2)], rounds=5, pause=0)
    assert failed == {"b": "it has had enough"}
    assert list(runs) == ["a"]
    assert len(runs["a"]) == 5
    assert log.count("b") == WARM_UP_ROUNDS + 1
