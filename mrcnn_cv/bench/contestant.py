"""A contestant: one way of running the model, in a process of its own (`worker.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import mrcnn_cv
from mrcnn_cv import errors

HERE = Path(__file__).parent
_PATIENCE = 10.0
"""Seconds for a process to end by itself."""
_LONGEST = 300.0
"""Seconds for one answer; whole graphs take up to half a minute to load."""


@dataclass(frozen=True)
class Turn:
    """One run: milliseconds of what is compared, and of each step where the contestant tells them.

    found: how many instances; None where it is not one that finds any.
    """

    ms: float
    steps: Mapping[str, float] = field(default_factory=dict)
    found: int | None = None


@dataclass(frozen=True)
class Start:
    """What a contestant says when it is ready. load_ms: model file to ready; first_ms: to the first result.

    notes: what else it tells, such as its version.
    """

    load_ms: float
    first_ms: float
    notes: Mapping[str, Any] = field(default_factory=dict)


class CannotRun(Exception):
    """A contestant that does not start, or fails: why, as part of a sentence."""


class Contestant:
    """A process that has loaded a model and waits for its turns. A context manager: at its end the process ends.

    file: the module with its `Runner`. job: what the runner is told, plain data. python: the interpreter; None: this
    one. threads: for libraries that ask the environment for a number.
    Raises CannotRun, or where the runner refused with an error of ours, that error.
    """

    def __init__(
        self, name: str, file: Path, job: Mapping[str, Any], python: str | None = None, threads: int = 1
    ) -> None:
        self.name = name
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        counts = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, str(HERE / "worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._noise,
                env={**os.environ, **counts, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONIOENCODING": "utf-8"},
                encoding="utf-8",
            )
        except OSError as error:
            self._noise.close()
            raise CannotRun(f"{python or sys.executable} cannot be started: {error.strerror or error}") from error
        # Another environment brings packages of its own; ours has to find this one.
        paths = [str(Path(mrcnn_cv.__file__).parent.parent)] if python is None else []
        try:
            told = self._ask(json.dumps({**job, "file": str(file), "paths": paths}))
        except BaseException:
            # Ctrl-C too: nobody waits for a model to be loaded.
            self._process.kill()
            self.close()
            raise
        self.start = Start(told.pop("load_ms"), told.pop("first_ms"), told)

    def turn(self) -> Turn:
        """Run until warm, then once more, which counts."""
        told = self._ask("run")
        return Turn(told["ms"], told.get("steps", {}), told.get("found"))

    def peak_mib(self) -> float | None:
        """The most memory that the process had so far; None where the system does not tell."""
        peak: float | None = self._ask("peak")["peak_mib"]
        return peak

    def _ask(self, message: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.write(message + "\n")
            self._process.stdin.flush()
        # A process that hangs would hold up all others.
        alarm = threading.Timer(_LONGEST, self._process.kill)
        alarm.start()
        line = self._process.stdout.readline()
        alarm.cancel()
        if not line:
            raise CannotRun(self._last_words())
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            kind = getattr(errors, told["type"], None)
            if isinstance(kind, type) and issubclass(kind, errors.MrcnnCvError):
                raise kind(told["error"])
            raise CannotRun(f"{told['type']}: {told['error']}")
        return told

    def _last_words(self) -> str:
        """Why a process ended without an answer: its exit code, and the last line that it printed."""
        code = self._process.wait()
        self._noise.seek(0)
        lines = self._noise.read().decode("utf-8", "replace").split("\n")
        last = next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
        return f"its process ended with code {code}" + (f" ({last})" if last else "")

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._noise.close()

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # Nobody waits for the run that it may be in the middle of.
            self._process.kill()
        self.close()
