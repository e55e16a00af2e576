"""Interleaved timing: candidates run in turn, round by round, so that a machine that slows down slows all of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mrcnn_cv.bench.candidate import CandidateError, Measurement

WARM_UP_ROUNDS = 2
"""Rounds that do not count: caches fill, processors reach their speed."""

PAUSE_SECONDS = 0.1
"""Before each run: threads of the candidate before may spin for a while until they fall asleep."""


class Measurable(Protocol):
    """Whatever runs on request: a `Candidate`."""

    name: str

    def measure(self) -> Measurement:
        """Run once; CandidateError where it fails."""


def measure_interleaved(
    candidates: Sequence[Measurable],
    rounds: int,
    tell: Callable[[str], None] = lambda text: None,
    pause: float = PAUSE_SECONDS,
) -> tuple[dict[str, list[Measurement]], dict[str, str]]:
    """Time candidates in turn: (measurements by name, one for each round; why others failed, by name).

    The order of a round is random, with the same seed in every call: what one leaves in caches and in the heat of the
    processor is not always to the same one's cost. A candidate that fails once does not run again.
    """
    measurements: dict[str, list[Measurement]] = {candidate.name: [] for candidate in candidates}
    failed: dict[str, str] = {}
    order = random.Random(0)
    for number in range(-WARM_UP_ROUNDS, rounds):
        tell(f"round {number + 1} of {rounds}" if number >= 0 else "warm-up")
        for candidate in order.sample(candidates, len(candidates)):
            if candidate.name in failed:
                continue
            time.sleep(pause)
            try:
                measurement = candidate.measure()
            except CandidateError as error:
                failed[candidate.name] = str(error)
                del measurements[candidate.name]
                continue
            if number >= 0:
                measurements[candidate.name].append(measurement)
    return measurements, failed
