"""A candidate's process: its answers, its errors, its death, and that it does not outlive the bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mrcnn_cv.bench.candidate import Candidate, CandidateError
from mrcnn_cv.errors import ModelFileError
from tests.conftest import ROOT

RUNNER = """
import os, time
print("a library that chatters on standard output")

class Runner:
    def __init__(self, job):
        self.job, self.runs = job, 0
        {at_load}

    def run(self):
        self.runs += 1
        {at_run}
        return {{"found": self.runs}}

    def about(self):
        return {{"version": self.job["version"]}}
"""


def runner(folder: Path, at_load: str = "pass", at_run: str = "pass") -> Path:
    path = folder / "some_runner.py"
    path.write_text(RUNNER.format(at_load=at_load, at_run=at_run), encoding="utf-8")
    return path


def test_it_tells_about_itself_and_runs_whenever_it_is_told_to(tmp_path: Path) -> None:
    with Candidate("fake", runner(tmp_path), {"version": "1.2"}) as fake:
        assert fake.startup.notes == {"version": "1.2"}
        assert 0 <= fake.startup.load_ms <= fake.startup.first_ms
        # The first run was part of its start, and of each measurement the second one counts.
        assert [fake.measure().found for _ in range(3)] == [3, 5, 7]
        peak = fake.peak_mib()
        if sys.platform == "win32":
            assert peak is None
        else:
            assert peak is not None
            assert 5 < peak < 500
    assert fake._process.returncode == 0


def test_a_runner_may_time_a_part_of_its_run(tmp_path: Path) -> None:
    file = runner(tmp_path, at_run='return {"ms": 0.5, "steps": {"part": 0.25}}')
    with Candidate("fake", file, {"version": None}) as fake:
        run = fake.measure()
    assert (run.ms, run.steps, run.found) == (0.5, {"part": 0.25}, None)


@pytest.mark.parametrize("at", ["at_load", "at_run"])
def test_an_error_is_told_in_its_own_words(tmp_path: Path, at: str) -> None:
    file = runner(tmp_path, **{at: 'raise RuntimeError("no  such\\nlayer")'})
    with pytest.raises(CandidateError, match="RuntimeError: no such layer"):
        Candidate("fake", file, {"version": None})


def test_an_error_of_ours_stays_one(tmp_path: Path) -> None:
    line = 'from mrcnn_cv.errors import ModelFileError; raise ModelFileError("there is no model file x")'
    with pytest.raises(ModelFileError, match="there is no model file x"):
        Candidate("fake", runner(tmp_path, at_load=line), {"version": None})


def test_a_process_that_dies_is_told_with_its_last_line(tmp_path: Path) -> None:
    line = 'os.write(2, b"terminate called without an active exception\\n"); os._exit(7)'
    fake = Candidate("fake", runner(tmp_path, at_run=f"if self.runs > 1: {line}"), {"version": None})
    with (
        fake,
        pytest.raises(CandidateError, match=r"ended with code 7 \(terminate called without an active exception\)"),
    ):
        fake.measure()


def test_a_python_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match=r"nowhere/python.* cannot be started"):
        Candidate("fake", runner(tmp_path), {"version": None}, python=str(tmp_path / "nowhere/python"))


def test_the_worker_needs_nothing_of_the_package() -> None:
    """The process of a candidate in another environment imports the standard library alone."""
    worker = ROOT / "mrcnn_cv" / "bench" / "worker.py"
    code = (
        f"import runpy, sys; runpy.run_path({str(worker)!r}); print('mrcnn_cv' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
