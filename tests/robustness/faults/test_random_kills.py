"""Runs of every kind, killed at random moments; at length by `random_kills.py`. Run with `pytest -m long`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.fork_server import IS_POSSIBLE

pytestmark = [pytest.mark.long, pytest.mark.skipif(not IS_POSSIBLE, reason="signals of POSIX, and a server that forks")]

KILLS = 25


def test_nothing_is_lost_or_torn_or_there_twice(tmp_path: Path) -> None:
    pytest.importorskip("av")
    pytest.importorskip("pyarrow")
    pytest.importorskip("pycocotools")
    from tests.robustness.faults.random_kills import run_trials

    counts, failures = run_trials(tmp_path, KILLS, seed=7)
    assert not failures, failures
    assert sum(counts.values()) >= KILLS
    # Of several kinds.
    assert len({name.partition(" ")[0] for name in counts}) >= 4
