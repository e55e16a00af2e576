"""The process of one candidate: reads a job, then runs it on request. `candidate.py` is the other end.

Messages are JSON objects, one on a line. It imports nothing of mrcnn-cv, so that any Python that has a candidate's
packages can run it: `python worker.py`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import sys
import time
from typing import Any, TextIO


def main() -> None:
    """Answer the job and every line after it, until there are no more."""
    # Beside this file lie modules with names that other packages may have too.
    del sys.path[0]
    # Ctrl-C is the parent's to handle; it then closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What libraries print must not get between the answers.
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    sys.path += [place for place in job["paths"] if place not in sys.path]
    try:
        runner = _prepare(job, answers)
        for line in sys.stdin:
            _answer(answers, {"peak_mib": _peak_mib()} if line.strip() == "peak" else _measure(runner))
    except Exception as error:
        # The parent has to know all of them, whatever library they come from.
        text = " ".join(str(error).split())
        _answer(answers, {"error": text[:400] or type(error).__name__, "type": type(error).__name__})


def _prepare(job: dict[str, Any], answers: TextIO) -> Any:
    """The runner, loaded; answers how long that took, and how long the first result."""
    spec = importlib.util.spec_from_file_location("runner", job["file"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    start = time.perf_counter()
    runner = module.Runner(job)
    loaded = time.perf_counter()
    runner.run()
    first = time.perf_counter()
    times = {"load_ms": (loaded - start) * 1000, "first_ms": (first - start) * 1000}
    _answer(answers, {**runner.about(), **times})
    return runner


def _measure(runner: Any) -> dict[str, Any]:
    """One run that counts, after one that does not: while others ran, caches filled with their data.

    A runner that does more than is to be compared times itself and returns `ms`.
    """
    runner.run()
    start = time.perf_counter()
    result = runner.run()
    return {"ms": (time.perf_counter() - start) * 1000, **result}


def _answer(answers: TextIO, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        answers.write(json.dumps(message) + "\n")
        answers.flush()


def _peak_mib() -> float | None:
    """The most memory that this process ever had; None where the system does not tell."""
    # Linux hands the peak of the parent on to getrusage of its children; here it does not.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


if __name__ == "__main__":
    main()
