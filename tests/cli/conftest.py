"""The installed program, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.cli.fork_server import MOST, ForkServer, environment

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


_STARTUP = ("PYTHON", "OPENCV_", "LC_", "LANG", "OPENBLAS_", "OMP_", "LD_")
"""Beginnings of variables that are read while Python and libraries are loaded."""


class Start(Protocol):
    """Start `mrcnn-cv` with these arguments; the rest as for subprocess.Popen; patches as `ForkServer.start`."""

    def __call__(self, *args: str | Path, env: Mapping[str, str], **options: Any) -> Any: ...


@pytest.fixture
def start(program: str, fork_server: ForkServer | None, tmp_path: Path) -> Start:
    """Start the program in the test's own folder."""

    def start(*args: str | Path, env: Mapping[str, str], **options: Any) -> Any:
        options = {"cwd": tmp_path, "stdin": subprocess.DEVNULL, **options}
        if fork_server is not None:
            return fork_server.start(args, environment(env), **options)
        return subprocess.Popen([program, *args], env=environment(env), **options)

    return start


@pytest.fixture
def run(program: str, fork_server: ForkServer | None, tmp_path: Path) -> Run:
    """Run the program in the test's own folder."""

    def run(*args: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> Result:
        is_simple = set(options) <= {"cwd", "stdin", "stdout", "stderr"} and len(repr(args)) < MOST // 4
        if fork_server is None or not is_simple or any(name.startswith(_STARTUP) for name in env or ()):
            return execute([program, *args], env, **{"cwd": tmp_path, **options})
        return execute_forked(fork_server, args, env, **{"cwd": tmp_path, **options})

    return run


def execute_forked(
    server: ForkServer, args: Sequence[str | Path], env: Mapping[str, str] | None, cwd: str | Path, **streams: Any
) -> Result:
    """The same as `execute` for the program, without the time that its imports take."""
    # Files never block, so that nobody has to read them meanwhile.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        streams = {name: stream for name, stream in streams.items() if stream != subprocess.PIPE}
        code = server.start(args, environment(env), cwd, **{"stdout": out, "stderr": err, **streams}).wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "surrogateescape").replace("\r\n", "\n"))
    return subprocess.CompletedProcess([str(each) for each in args], code, *texts)


@pytest.fixture(scope="session")
def labels_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names for the three classes of the tiny Mask R-CNN."""
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("\n".join(LABELS), encoding="utf-8")
    return path


@pytest.fixture
def find(run: Run, tiny_graph: Path, labels_path: Path) -> Run:
    """Run the program with the tiny model, named in the environment, so that options of a test come on top.

    On OpenCV, which needs no time to compile a net; what "auto" chooses is of test_backends.py and test_predict.py.
    """

    def find(*args: str | Path, env: Mapping[str, str] | None = None, **options: Any) -> Result:
        ours = {"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_LABELS": str(labels_path), "MRCNN_CV_BACKEND": "cpu"}
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
