"""Try thousands of mutated files and say what became of them.

    python tests/robustness/fuzz/run.py TARGET --count 20000 [--seed S] [--jobs N] [--start N] [--report FILE]

TARGET is a module of this folder. Each finding is a line of JSON in FILE;
`python -m tests.robustness.fuzz.TARGET --number N --seed S` makes it again. Exit code 1: there are findings.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from tests.robustness.fuzz.worker import Outcome, outcomes

NONE = Outcome(-1, "", "", 0.0, 0)
"""Before the first case."""

PIECE = 250
"""Cases that a child is given at a time."""


@dataclass
class Summary:
    """What became of the cases of a run."""

    results: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    findings: list[Outcome] = field(default_factory=list)
    slowest: Outcome = NONE
    largest: Outcome = NONE

    def add(self, outcome: Outcome) -> None:
        """Count one case."""
        self.results[outcome.result] += 1
        if outcome.result == "refused":
            self.refusals[_kind(outcome.text)] += 1
        if outcome.is_finding:
            self.findings.append(outcome)
        self.slowest = max(self.slowest, outcome, key=lambda one: one.seconds)
        self.largest = max(self.largest, outcome, key=lambda one: one.memory)


def _kind(text: str) -> str:
    """A refusal without the names and numbers of the single case."""
    return re.sub(r"'[^']*'", "'..'", re.sub(r"-?\d[\d.e+-]*", "N", text))[:110]


def fuzz(
    target: str,
    seed: int,
    numbers: range,
    jobs: int = 1,
    each: Callable[[Outcome, Summary], None] = lambda outcome, summary: None,
) -> Summary:
    """Try the cases of a target; `each` is called after every one."""
    pieces = [range(first, min(first + PIECE, numbers.stop)) for first in range(numbers.start, numbers.stop, PIECE)]
    summary = Summary()
    with ThreadPoolExecutor(jobs) as pool:
        # A whole piece at a time: who looks on hears of several cases at once.
        for piece in pool.map(lambda piece: list(outcomes(target, seed, piece)), pieces):
            for outcome in piece:
                summary.add(outcome)
                each(outcome, summary)
    return summary


def _lines(target: str, seed: int, summary: Summary, seconds: float) -> Iterator[str]:
    tried = sum(summary.results.values())
    yield f"{target}, seed {seed}: {tried} cases in {seconds:.0f} s, {len(summary.findings)} findings"
    for result, count in summary.results.most_common():
        yield f"  {result:<10} {count:>7}"
    yield f"  slowest    {summary.slowest.seconds:>7.2f} s (number {summary.slowest.number})"
    yield f"  peak       {summary.largest.memory / 2**20:>7.0f} MiB (number {summary.largest.number})"
    for kind, count in summary.refusals.most_common():
        yield f"  refused {count:>6}  {kind}"


def main() -> int:
    """The command; the exit code is 1 where there are findings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    begin = time.monotonic()

    def note(outcome: Outcome, summary: Summary) -> None:
        if outcome.is_finding:
            made = {"target": asked.target, "seed": asked.seed, **outcome._asdict()}
            print(f"FINDING {outcome.result}: number {outcome.number}: {outcome.text[-300:]!r}", flush=True)
            if asked.report:
                with asked.report.open("a") as file:
                    file.write(json.dumps(made) + "\n")
        tried = sum(summary.results.values())
        if tried % (2 * PIECE) == 0:
            spent = time.monotonic() - begin
            print(f"{tried} of {asked.count} in {spent:.0f} s, {len(summary.findings)} findings", flush=True)

    numbers = range(asked.start, asked.start + asked.count)
    summary = fuzz(asked.target, asked.seed, numbers, asked.jobs, note)
    for line in _lines(asked.target, asked.seed, summary, time.monotonic() - begin):
        print(line)
    return 1 if summary.findings else 0


if __name__ == "__main__":
    sys.exit(main())
