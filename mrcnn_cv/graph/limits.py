"""How much work and memory reading one graph may take: a graph of a few bytes can ask for any amount of both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from mrcnn_cv.errors import ModelFileError

Key = TypeVar("Key")

MAX_STEPS = 1 << 23
"""Nodes looked at, over and over; about ten seconds. The largest models that are around take an eightieth of it."""

MAX_SUM_BYTES = 1 << 30
"""Of all sums of constants that are evaluated; weights that are stored in half precision are among them."""

MAX_WEIGHT_BYTES = 3 << 29
"""Of all layers of a net: a constant that stands in the file once may be the weights of any number of layers."""


class Budget:
    """What is left for a graph."""

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.bytes = MAX_SUM_BYTES

    def step(self, count: int = 1) -> None:
        """One node more was looked at; ModelFileError where it was one too many."""
        self.steps -= count
        if self.steps < 0:
            raise ModelFileError("is so entangled that it cannot be read in reasonable time, so it is not a detector")

    def compute(self, size: int) -> None:
        """A sum with a result of so many bytes was evaluated; ModelFileError where they were too many in all."""
        self.step()
        self.bytes -= size
        if self.bytes < 0:
            raise ModelFileError("holds sums of constants that are far too large for a detector")

    def walk(self, start: Iterable[Key], step: Callable[[Key], Collection[Key]]) -> list[Key]:
        """Everything that is reached from `start`, itself first, nearest first; step: what is one step away."""
        seen = dict.fromkeys(start)
        found = list(seen)
        for each in found:
            others = step(each)
            self.step(1 + len(others))
            for other in others:
                if other not in seen:
                    seen[other] = None
                    found.append(other)
        return found
