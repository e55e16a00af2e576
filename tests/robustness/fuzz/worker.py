"""Numbered cases of a fuzz target, tried in child processes that may crash, hang or eat memory without ending the run.

A target is a module of this package with

* `case(number: int, seed: int, folder: Path) -> Path`: writes the mutated file, from seed and number alone;
* `attempt(path: Path) -> str`: lets the program's own code read it; "accepted", or "refused" with an optional
  `: kind`. An error of mrcnn_cv/errors.py that escapes is a refusal as well, anything else is a finding;
* `EXIT_CODES`: the exit codes that its refusals may have (optional).

A child works through a range of numbers and says on its standard output which one it is at and how it went.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[3]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from mrcnn_cv.errors import MrcnnCvError  # noqa: E402  (what is in the way of the path comes first)

SECONDS = 30.0
"""A case that takes longer hangs."""

MEMORY = 2 * 2**30
"""Bytes that a child may hold."""

ADDRESS_SPACE = 8 * 2**30
"""Bytes that a child may ask for: what is never touched would not show up as memory that it holds."""

MESSAGE = 600
"""Characters that a refusal may have."""

_TICK = 0.25


class Outcome(NamedTuple):
    """How a case went. `result`: "accepted", "refused", or the kind of a finding; `text`: the message or the trace."""

    number: int
    result: str
    text: str
    seconds: float
    memory: int

    @property
    def is_finding(self) -> bool:
        """Whether the program did what it must not do."""
        return self.result not in ("accepted", "refused")


def outcomes(target: str, seed: int, numbers: range) -> Iterator[Outcome]:
    """Try cases in one child after the other: what ends a child ends that case alone.

    target: the name of a module in this package.
    """
    start = numbers.start
    while start < numbers.stop:
        with tempfile.TemporaryDirectory(prefix="mrcnn-fuzz-") as folder:
            for outcome in _child(target, seed, range(start, numbers.stop), Path(folder)):
                yield outcome
                start = outcome.number + 1


def _child(target: str, seed: int, numbers: range, folder: Path) -> Iterator[Outcome]:
    """The outcomes of one child until it is through, or its last case ended it."""
    # By its path: who measures times stops what has tests/robustness/fuzz in its command line.
    command = [sys.executable, str(Path(__file__)), target, str(seed), str(numbers.start), str(numbers.stop)]
    errors = folder / "stderr"
    with errors.open("wb") as stderr:
        child = subprocess.Popen(
            [*command, str(folder)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
        )
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_listen, args=(child, lines), daemon=True).start()
    at = numbers.start
    try:
        while at < numbers.stop:
            ending = _wait(child, lines)
            if isinstance(ending, dict):
                at = ending["number"]
                if "result" in ending:
                    yield Outcome(**ending)
                    at += 1
                continue
            child.kill()
            code = child.wait()
            what = f"exit status {code}: {errors.read_text(errors='replace')[-2000:]}" if ending == "crash" else ""
            yield Outcome(at, ending, what, 0.0, 0)
            return
    finally:
        child.kill()
        child.wait()


def _listen(child: subprocess.Popen[bytes], lines: queue.Queue[bytes | None]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put(None)


def _wait(child: subprocess.Popen[bytes], lines: queue.Queue[bytes | None]) -> dict[str, Any] | str:
    """The child's next message, or how it failed. Ticks are counted, not time: the whole run may be stopped."""
    for _ in range(round(SECONDS / _TICK)):
        try:
            line = lines.get(timeout=_TICK)
        except queue.Empty:
            if _held(child.pid) > MEMORY:
                return "memory"
            continue
        return "crash" if line is None else dict(json.loads(line))
    return "hang"


def _held(pid: int) -> int:
    """Bytes that a process holds at the moment; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def judged(attempt: Callable[[Path], str], path: Path, exit_codes: frozenset[int]) -> tuple[str, str]:
    """(result, text) of one attempt in this process."""
    try:
        answer = attempt(path)
    except MrcnnCvError as error:
        # Its own path is in every message; where the temporary folder is says nothing about the program.
        text = str(error).replace(str(path.parent) + os.sep, "")
        clean = text.isprintable() and 0 < len(text) <= MESSAGE and error.exit_code in exit_codes
        return ("refused" if clean else "message"), f"{type(error).__name__} ({error.exit_code}): {text}"
    except BaseException:
        return "traceback", traceback.format_exc()[-3000:]
    result, _, kind = answer.partition(": ")
    return result, kind


def _work(target: str, seed: int, numbers: range, folder: Path) -> None:
    """What a child does."""
    own = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    faulthandler.enable()
    _limit_address_space()
    module = importlib.import_module(f"tests.robustness.fuzz.{target}")
    exit_codes = frozenset(getattr(module, "EXIT_CODES", range(2, 128)))
    for number in numbers:
        place = folder / "case"
        place.mkdir()
        path = module.case(number, seed, place)
        own.write(json.dumps({"number": number}) + "\n")
        _reset_peak()
        # Of the processor: the whole run may be stopped for a while.
        start = time.process_time()
        result, text = judged(module.attempt, path, exit_codes)
        seconds, peak = time.process_time() - start, _peak()
        if peak > MEMORY and result in ("accepted", "refused"):
            result = "memory"
        own.write(json.dumps(Outcome(number, result, text, round(seconds, 3), peak)._asdict()) + "\n")
        shutil.rmtree(place)


def _limit_address_space() -> None:
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> int:
    """The most bytes that this process held since the last reset; 0 where the system does not tell."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def make_again(case: Callable[[int, int, Path], Path], attempt: Callable[[Path], str]) -> None:
    """`python -m tests.robustness.fuzz.TARGET --number N --seed S [--folder F]`: one case, here, its file kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="mrcnn-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    path = case(asked.number, asked.seed, folder)
    print(path, flush=True)
    faulthandler.enable()
    result, text = judged(attempt, path, frozenset(range(2, 128)))
    print(f"{result}: {text}")


if __name__ == "__main__":
    _work(sys.argv[1], int(sys.argv[2]), range(int(sys.argv[3]), int(sys.argv[4])), Path(sys.argv[5]))
