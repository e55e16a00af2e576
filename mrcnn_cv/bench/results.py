"""What a bench found: plain values, medians and quartiles, and the record that --json writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrcnn_cv.bench.contestant import Start, Turn
from mrcnn_cv.bench.matrices import HALF

_PROCESSOR = ("cpu", "openvino", "openvino-bf16")
"""Backends that may run on the processor."""


@dataclass(frozen=True)
class Spread:
    """The median of some runs, and the quartiles below and above."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high = np.percentile(values, (25, 50, 75))
        return cls(float(median), float(low), float(high))


@dataclass
class Entry:
    """One contestant and its runs.

    kept: how many instances it was to keep, None for a peer. gflop: by net, of ours. fast: with fewer proposals.
    """

    name: str
    is_peer: bool
    kept: int | None
    start: Start
    turns: list[Turn] = field(default_factory=list)
    peak_mib: float | None = None
    gflop: Mapping[str, float] = field(default_factory=dict)
    fast: bool = False

    @property
    def short_label(self) -> tuple[str, str]:
        """(backend, instances to keep), which is enough among ours."""
        return self.name.rpartition(" ")[2], f"{self.kept} kept"

    @property
    def label(self) -> str:
        """What sets it apart from the others of its group."""
        return self.name if self.kept is None else f"{self.name}, {self.kept} kept"

    @property
    def milliseconds(self) -> Spread:
        """Of what is compared."""
        return Spread.of([turn.ms for turn in self.turns])

    @property
    def found(self) -> int | None:
        """Instances in the last run."""
        return self.turns[-1].found

    def steps(self) -> dict[str, Spread]:
        """Milliseconds of each step."""
        return {name: Spread.of([turn.steps[name] for turn in self.turns]) for name in self.turns[0].steps}

    def rate(self) -> float:
        """Thousand million operations per second, all steps counted."""
        return sum(self.gflop.values()) / self.milliseconds.median * 1000

    def times_as_fast_as(self, other: Entry) -> Spread:
        """How many times as fast as another, by the rounds that both ran."""
        return Spread.of([theirs.ms / own.ms for theirs, own in zip(other.turns, self.turns, strict=True)])


@dataclass
class Group:
    """Contestants that ran in turn. image: (height, width) of the picture; rates: GFLOP/s of matrices by who did it."""

    threads: int
    image: tuple[int, int]
    network_input: tuple[int, int]
    entries: list[Entry]
    rates: dict[str, float]

    @property
    def ours(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.is_peer]

    @property
    def peers(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.is_peer]

    def limit(self, entry: Entry) -> tuple[str, float] | None:
        """(who multiplies matrices fastest here, at how many GFLOP/s), in the precision of one of ours.

        None for one that does not run on the processor.
        """
        backend, place = entry.start.notes["backend"], entry.start.notes["place"]
        if backend not in _PROCESSOR or not place.upper().startswith("CPU"):
            return None
        halves = backend == "openvino-bf16" and HALF in self.rates
        rates = {name: rate for name, rate in self.rates.items() if (name == HALF) == halves}
        return max(rates.items(), key=lambda item: item[1])


@dataclass
class Report:
    """Everything. machine, model: plain data for the head; left_out: peer → why, as part of a sentence."""

    machine: dict[str, Any]
    model: dict[str, Any]
    picture: str
    rounds: int
    groups: list[Group]
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The record that --json writes; docs/performance.md describes it."""
        return {
            "machine": self.machine,
            "model": self.model,
            "picture": self.picture,
            "rounds": self.rounds,
            "groups": [_group_record(group) for group in self.groups],
            "left_out": self.left_out,
        }


def _group_record(group: Group) -> dict[str, Any]:
    return {
        "threads": group.threads,
        "image": list(group.image),
        "network_input": list(group.network_input),
        "matrices_gflop_per_second": {name: round(rate, 1) for name, rate in group.rates.items()},
        "contestants": [_entry_record(entry, group) for entry in group.entries],
        "ratios": [
            {"peer": peer.name, "contestant": entry.label, **_spread_record(entry.times_as_fast_as(peer), 3)}
            for peer in group.peers
            for entry in group.ours
        ],
    }


def _entry_record(entry: Entry, group: Group) -> dict[str, Any]:
    return {**_record_of_all(entry), **({} if entry.is_peer else _record_of_ours(entry, group))}


def _record_of_ours(entry: Entry, group: Group) -> dict[str, Any]:
    limit = group.limit(entry)
    return {
        "steps_ms": {name: _spread_record(value, 3) for name, value in entry.steps().items()},
        "gflop": {name: round(value, 3) for name, value in entry.gflop.items()},
        "gflop_per_second": round(entry.rate(), 1),
        "share_of_matrices": None if limit is None else round(entry.rate() / limit[1], 4),
    }


def _record_of_all(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "peer": entry.is_peer,
        "kept": entry.kept,
        "found": entry.found,
        **entry.start.notes,
        "load_ms": round(entry.start.load_ms, 1),
        "first_result_ms": round(entry.start.first_ms, 1),
        "peak_mib": None if entry.peak_mib is None else round(entry.peak_mib, 1),
        "ms": _spread_record(entry.milliseconds, 3),
        "runs_ms": [round(turn.ms, 3) for turn in entry.turns],
    }


def _spread_record(spread: Spread, digits: int) -> dict[str, float]:
    values = {"median": spread.median, "low": spread.low, "high": spread.high}
    return {name: round(value, digits) for name, value in values.items()}
