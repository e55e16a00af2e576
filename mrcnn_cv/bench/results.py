"""What a bench measured: plain values, medians and quartiles, and the record that --json writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrcnn_cv.bench.candidate import Measurement, Startup


@dataclass(frozen=True)
class Quartiles:
    """The median of some runs, and the quartiles below and above."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quartiles:
        low, median, high = np.percentile(values, (25, 50, 75))
        return cls(float(median), float(low), float(high))

    def to_dict(self) -> dict[str, float]:
        """For JSON, with three digits behind the point."""
        return {"median": round(self.median, 3), "low": round(self.low, 3), "high": round(self.high, 3)}


@dataclass
class Entry:
    """One candidate and its measurements.

    kept: how many instances it was to keep; None for one that is not mrcnn-cv. fast: with fewer proposals.
    """

    name: str
    kept: int | None
    startup: Startup
    measurements: list[Measurement] = field(default_factory=list)
    peak_mib: float | None = None
    fast: bool = False

    @property
    def short_label(self) -> tuple[str, str]:
        """(backend, instances to keep), which is enough among those of mrcnn-cv."""
        return self.name.rpartition(" ")[2], f"{self.kept} kept"

    @property
    def label(self) -> str:
        """What sets it apart from the others of its group."""
        return self.name if self.kept is None else f"{self.name}, {self.kept} kept"

    @property
    def milliseconds(self) -> Quartiles:
        """Of what is compared."""
        return Quartiles.of([run.ms for run in self.measurements])

    @property
    def found(self) -> int | None:
        """Instances in the last run."""
        return self.measurements[-1].found

    def steps(self) -> dict[str, Quartiles]:
        """Milliseconds of each step."""
        names = self.measurements[0].steps
        return {name: Quartiles.of([run.steps[name] for run in self.measurements]) for name in names}

    def times_as_fast_as(self, other: Entry) -> Quartiles:
        """How many times as fast as another, by the rounds that both ran."""
        pairs = zip(other.measurements, self.measurements, strict=True)
        return Quartiles.of([theirs.ms / own.ms for theirs, own in pairs])

    def to_dict(self) -> dict[str, Any]:
        """Its part of the record."""
        return {
            "name": self.name,
            "kept": self.kept,
            "found": self.found,
            **self.startup.notes,
            "load_ms": round(self.startup.load_ms, 1),
            "first_result_ms": round(self.startup.first_ms, 1),
            "peak_mib": None if self.peak_mib is None else round(self.peak_mib, 1),
            "ms": self.milliseconds.to_dict(),
            "runs_ms": [round(run.ms, 3) for run in self.measurements],
            "steps_ms": {name: spread.to_dict() for name, spread in self.steps().items()},
        }


@dataclass
class Group:
    """Candidates that ran in turn.

    image, network_input: (height, width) in pixels. others: candidates that a caller added to ours; failed: why those
    of them that are missing did not finish, by name.
    """

    threads: int
    image: tuple[int, int]
    network_input: tuple[int, int]
    entries: list[Entry]
    others: list[Entry] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Its part of the record, without what a caller added."""
        return {
            "threads": self.threads,
            "image": list(self.image),
            "network_input": list(self.network_input),
            "candidates": [entry.to_dict() for entry in self.entries],
        }


@dataclass
class BenchResults:
    """Everything. machine, model: plain data for the head of the table."""

    machine: dict[str, Any]
    model: dict[str, Any]
    image: str
    rounds: int
    groups: list[Group]

    def to_dict(self) -> dict[str, Any]:
        """The record that --json writes; docs/performance.md describes it."""
        return {
            "machine": self.machine,
            "model": self.model,
            "image": self.image,
            "rounds": self.rounds,
            "groups": [group.to_dict() for group in self.groups],
        }
