"""The installed program, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

Result = subprocess.CompletedProcess[str]

LABELS = ("cup", "spoon", "plate")


class Run(Protocol):
    """Run `mrcnn-cv` with these arguments; text of both streams as UTF-8, odd bytes as surrogates."""

    def __call__(self, *args: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> Result: ...


@pytest.fixture(scope="session")
def program() -> str:
    """The console script of the environment that runs the tests."""
    name = "mrcnn-cv.exe" if sys.platform == "win32" else "mrcnn-cv"
    path = Path(sysconfig.get_path("scripts")) / name
    assert path.exists(), f"{path} is missing: install the package first (pip install -e .)"
    return str(path)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a user's environment holds, without settings of ours, without a display, on a terminal of 80 columns."""
    unwanted = ("MRCNN_CV_", "DISPLAY", "WAYLAND_DISPLAY", "OPENCV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "COLUMNS": "80", **(extra or {})}


def execute(command: Sequence[str | Path], env: Mapping[str, str] | None, **options: Any) -> Result:
    """Run a program to its end; two minutes without one are a hang."""
    streams = {} if "stdout" in options or "stderr" in options else {"capture_output": True}
    return subprocess.run(
        [os.fspath(part) for part in command],
        env=environment(env),
        encoding="utf-8",
        errors="surrogateescape",
        timeout=120,
        check=False,
        **{"stdin": subprocess.DEVNULL, **streams, **options},
    )


@pytest.fixture
def run(program: str, tmp_path: Path) -> Run:
    """Run the program in the test's own folder."""

    def run(*args: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> Result:
        return execute([program, *args], env, **{"cwd": tmp_path, **options})

    return run


@pytest.fixture(scope="session")
def labels_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names for the three classes of the tiny Mask R-CNN."""
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("\n".join(LABELS), encoding="utf-8")
    return path


@pytest.fixture
def find(run: Run, tiny_graph: Path, labels_path: Path) -> Run:
    """Run the program with the tiny model, named in the environment, so that options of a test come on top."""

    def find(*args: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> Result:
        ours = {"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_LABELS": str(labels_path)}
        return run(*args, env={**ours, **(env or {})}, **options)

    return find


def refusal(result: Result, code: int) -> str:
    """The one sentence on stderr of a run that was refused with this exit code, and nothing else anywhere."""
    assert result.returncode == code, result.stderr
    assert not result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("mrcnn-cv: error: ")
    assert "Traceback" not in result.stderr
    return lines[0].removeprefix("mrcnn-cv: error: ")


def success(result: Result) -> Result:
    """The result of a run that did all there was to do."""
    assert result.returncode == 0, result.stderr
    assert "error" not in result.stderr
    assert "Traceback" not in result.stderr
    return result


def names_in(folder: Path) -> set[str]:
    """Names of the files that a user sees in a folder."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
