"""A candidate: one way of running the model, in a process of its own (`worker.py`)."""

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
_END_SECONDS = 10.0
"""For a process to end by itself."""
_ANSWER_SECONDS = 300.0
"""For one answer; some graphs take up to half a minute to load."""


@dataclass(frozen=True)
class Measurement:
    """One run.

    Parameters
    ----------
    ms : milliseconds of what is compared.
    steps : milliseconds of each step, where the candidate reports them.
    found : number of instances; None where the candidate does not count any.
    """

    ms: float
    steps: Mapping[str, float] = field(default_factory=dict)
    found: int | None = None


@dataclass(frozen=True)
class Startup:
    """What a candidate reports when it is ready.

    Parameters
    ----------
    load_ms : milliseconds from the model file to a model that is ready.
    first_ms : milliseconds from the model file to the first result.
    notes : what else it reports, such as its version.
    """

    load_ms: float
    first_ms: float
    notes: Mapping[str, Any] = field(default_factory=dict)


class CandidateError(Exception):
    """A candidate that does not start, or fails: why, as part of a sentence."""


class Candidate:
    """A process that has loaded a model and runs it on request. A context manager: at its end the process ends.

    Parameters
    ----------
    name : what it is called in results; unique among those that are timed together.
    file : the module with its `Runner` (`worker.py` calls `Runner(job)`, then `run()` and `about()`).
    job : what the runner is told, plain data for JSON.
    python : the interpreter; None: this one, which finds mrcnn_cv.
    threads : for libraries that ask the environment for a number.

    Raises
    ------
    CandidateError
        Where the process does not start or its runner fails.
    MrcnnCvError
        Where the runner raised one: the same class and text.
    """

    def __init__(
        self, name: str, file: Path, job: Mapping[str, Any], python: str | None = None, threads: int = 1
    ) -> None:
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        counts = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, str(HERE / "worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, **counts, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONIOENCODING": "utf-8"},
                encoding="utf-8",
            )
        except OSError as error:
            self._stderr.close()
            raise CandidateError(f"{python or sys.executable} cannot be started: {error.strerror or error}") from error
        # Another environment brings packages of its own; this one's has to find mrcnn_cv.
        paths = [str(Path(mrcnn_cv.__file__).parent.parent)] if python is None else []
        try:
            answer = self._request(json.dumps({**job, "file": str(file), "paths": paths}))
        except BaseException:
            # Ctrl-C too: nobody waits for a model to be loaded.
            self._process.kill()
            self.close()
            raise
        self.startup = Startup(answer.pop("load_ms"), answer.pop("first_ms"), answer)

    def measure(self) -> Measurement:
        """Run until warm, then once more, which counts."""
        answer = self._request("run")
        return Measurement(answer["ms"], answer.get("steps", {}), answer.get("found"))

    def peak_mib(self) -> float | None:
        """The most memory that the process had so far; None where the system does not tell."""
        peak: float | None = self._request("peak")["peak_mib"]
        return peak

    def _request(self, message: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.write(message + "\n")
            self._process.stdin.flush()
        # A process that hangs would hold up all others.
        alarm = threading.Timer(_ANSWER_SECONDS, self._process.kill)
        alarm.start()
        line = self._process.stdout.readline()
        alarm.cancel()
        if not line:
            raise CandidateError(self._why_it_ended())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["type"], None)
            if isinstance(kind, type) and issubclass(kind, errors.MrcnnCvError):
                raise kind(answer["error"])
            raise CandidateError(f"{answer['type']}: {answer['error']}")
        return answer

    def _why_it_ended(self) -> str:
        """The exit code of a process that ended without an answer, and the last line that it printed."""
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", "replace").split("\n")
        last = next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
        return f"its process ended with code {code}" + (f" ({last})" if last else "")

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._stderr.close()

    def __enter__(self) -> Candidate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # Nobody waits for the run that it may be in the middle of.
            self._process.kill()
        self.close()
