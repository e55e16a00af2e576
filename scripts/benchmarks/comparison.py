"""mrcnn-cv against baselines and against the peak rate of the machine: as a table, as a record, as a chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mrcnn_cv.bench import plot, table
from mrcnn_cv.bench.results import BenchResults, Entry, Group, Quartiles
from mrcnn_cv.bench.table import milliseconds
from mrcnn_cv.drawing.canvas import encode_png
from mrcnn_cv.model.definition import ModelDefinition
from scripts.benchmarks.peak_gemm import GFLOP
from scripts.benchmarks.roofline import Roofline

PEAK_GEMM = "peak GEMM"
"""The name of the candidate that multiplies large matrices."""

NOTE = (
    "upright mark: the arithmetic of the nets at the machine's rate for matrices;"
    "  1.5x: mrcnn-cv is so many times as fast"
)


@dataclass(frozen=True)
class Comparison:
    """One group. rates: GFLOP/s of large matrices, by library; rooflines: of the group's entries."""

    group: Group
    baselines: Sequence[Entry]
    rates: Mapping[str, float]
    rooflines: Sequence[Roofline]

    @classmethod
    def of(cls, group: Group, spec: ModelDefinition) -> Comparison:
        """From measurements among which are those of PEAK_GEMM."""
        (peak,) = (entry for entry in group.others if entry.name == PEAK_GEMM)
        rates = {name: GFLOP / spread.median * 1000 for name, spread in peak.steps().items()}
        rooflines = [Roofline.of(entry, spec, group.image, rates) for entry in group.entries]
        return cls(group, [entry for entry in group.others if entry is not peak], rates, rooflines)

    def lines(self) -> Iterator[str]:
        """Its part of the table."""
        yield table.heading(self.group)
        yield ""
        yield from table.aligned(table.times([*self.group.entries, *self.baselines]))
        if self.baselines:
            yield ""
            yield from table.aligned(self._ratios())
        yield ""
        yield from table.aligned(table.steps(self.group.entries))
        yield ""
        yield from self._rooflines()

    def _ratios(self) -> Iterator[table.Row]:
        yield "times as fast as", *(baseline.name for baseline in self.baselines)
        for entry in self.group.entries:
            yield entry.label, *(_ratio(entry.times_as_fast_as(baseline)) for baseline in self.baselines)

    def _rooflines(self) -> Iterator[str]:
        """What the arithmetic alone would take, and the share of the peak rate that is reached."""
        rates = ", ".join(f"{rate:,.0f} by {library}" for library, rate in self.rates.items())
        yield f"GFLOP/s of products of large matrices, the peak rate of this machine: {rates}"
        pairs = list(zip(self.group.entries, self.rooflines, strict=True))
        for kept, gflop in {entry.kept: roofline.gflop for entry, roofline in pairs}.items():
            parts = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in gflop.items())
            yield f"GFLOP that {kept} kept need in this image: {sum(gflop.values()):.1f} ({parts})"
        for entry, roofline in pairs:
            line = f"{entry.label}: {roofline.rate:,.0f} GFLOP/s"
            if roofline.peak is not None and roofline.least_ms is not None:
                line += f", {roofline.share:.0%} of {roofline.peak[0]}'s matrices, at whose rate it would take"
                line += f" {milliseconds(roofline.least_ms)}"
            yield line

    def to_dict(self) -> dict[str, Any]:
        """Its part of the record."""
        record = self.group.to_dict()
        for candidate, roofline in zip(record["candidates"], self.rooflines, strict=True):
            candidate |= roofline.to_dict()
        return {
            **record,
            "baselines": [baseline.to_dict() for baseline in self.baselines],
            "peak_gemm_gflop_per_second": {name: round(rate, 1) for name, rate in self.rates.items()},
            "ratios": [
                {"baseline": baseline.name, "candidate": entry.label, **entry.times_as_fast_as(baseline).to_dict()}
                for baseline in self.baselines
                for entry in self.group.entries
            ],
        }

    def chart(self) -> plot.Chart:
        """A bar for each, ours with a mark where the arithmetic would end at the peak rate."""
        ours = [
            replace(plot.bar(entry), mark=roofline.least_ms)
            for entry, roofline in zip(self.group.entries, self.rooflines, strict=True)
        ]
        return plot.Chart(table.heading(self.group), [*ours, *map(self._baseline_bar, self.baselines)])

    def _baseline_bar(self, baseline: Entry) -> plot.Bar:
        ratios = [entry.times_as_fast_as(baseline).median for entry in self.group.entries]
        low, high = min(ratios), max(ratios)
        times = f"{low:.2f}x" if len(ratios) == 1 else f"{low:.2f}x to {high:.2f}x"
        note = f"{milliseconds(baseline.milliseconds.median)}   {times}"
        return plot.Bar(baseline.label, baseline.milliseconds, {}, note)


def _ratio(spread: Quartiles) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def lines(results: BenchResults, comparisons: Sequence[Comparison], left_out: Mapping[str, str]) -> Iterator[str]:
    """The whole table, line by line."""
    yield from table.head(results)
    for comparison in comparisons:
        yield ""
        yield from comparison.lines()
    if left_out:
        yield ""
    for name, why in left_out.items():
        yield f"left out: {name}: {why}"


def record(results: BenchResults, comparisons: Sequence[Comparison], left_out: Mapping[str, str]) -> dict[str, Any]:
    """Everything, for JSON; docs/performance.md describes it."""
    groups = [comparison.to_dict() for comparison in comparisons]
    return {**results.to_dict(), "groups": groups, "left_out": dict(left_out)}


def png(results: BenchResults, comparisons: Sequence[Comparison]) -> bytes:
    """The charts as the bytes of a PNG."""
    return encode_png(plot.draw(results, [comparison.chart() for comparison in comparisons], NOTE))
