"""Contestants take turns, round by round, so that a machine that slows down slows all of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mrcnn_cv.bench.contestant import CannotRun, Turn

WARM_UPS = 2
"""Rounds that do not count: caches fill, processors reach their speed."""

PAUSE = 0.1
"""Seconds before each turn: threads of the one before may spin for a while until they fall asleep."""


class Racer(Protocol):
    """Whatever runs on request: a `Contestant`."""

    name: str

    def turn(self) -> Turn:
        """Run once; CannotRun where it fails."""


def race(
    racers: Sequence[Racer], rounds: int, tell: Callable[[str], None] = lambda text: None, pause: float = PAUSE
) -> tuple[dict[str, list[Turn]], dict[str, str]]:
    """(turns of each racer by name, who gave up by name and why).

    The order of a round is drawn by lot, the same lots in every run: what one leaves in caches and in the heat of the
    processor then is not always to the same one's cost. Who fails once is out of it.
    """
    turns: dict[str, list[Turn]] = {racer.name: [] for racer in racers}
    failed: dict[str, str] = {}
    lots = random.Random(0)
    for number in range(-WARM_UPS, rounds):
        tell(f"round {number + 1} of {rounds}" if number >= 0 else "warm-up")
        for racer in lots.sample(racers, len(racers)):
            if racer.name in failed:
                continue
            time.sleep(pause)
            try:
                turn = racer.turn()
            except CannotRun as error:
                failed[racer.name] = str(error)
                del turns[racer.name]
                continue
            if number >= 0:
                turns[racer.name].append(turn)
    return turns, failed
