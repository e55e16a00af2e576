"""What a bench found, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mrcnn_cv.bench.ours import INFERENCE, STEPS
from mrcnn_cv.bench.results import Entry, Group, Report, Spread

GAP = "   "


def lines(report: Report) -> Iterator[str]:
    """The whole table, line by line."""
    yield from head(report)
    for group in report.groups:
        yield ""
        yield heading(group)
        yield ""
        yield from _aligned(_times(group))
        if group.peers:
            yield ""
            yield from _aligned(_ratios(group))
        yield ""
        yield from _aligned(_steps(group))
        yield ""
        yield from _limit(group)
    for index, (name, why) in enumerate(report.left_out.items()):
        if index == 0:
            yield ""
        yield f"left out: {name}: {why}"


def head(report: Report) -> Iterator[str]:
    """On what, with what."""
    machine, model = report.machine, report.model
    processors = f"{machine['processors']} processor{'' if machine['processors'] == 1 else 's'}"
    yield f"mrcnn-cv {machine['mrcnn_cv']}, OpenCV {machine['opencv']}, {machine['processor']} ({processors})"
    yield f"{Path(model['file']).name}: {model['architecture']}, {model['backbone']}, {model['bytes'] / 1e6:.1f} MB"
    rounds = f"{report.rounds} round{'' if report.rounds == 1 else 's'}"
    yield f"picture: {Path(report.picture).name}, {rounds} in turn"


def heading(group: Group) -> str:
    """What sets a group apart."""
    threads = f"{group.threads} thread{'' if group.threads == 1 else 's'}"
    return f"{threads}, picture {_wh(group.image)}, which enters the model as {_wh(group.network_input)}"


def milliseconds(value: float) -> str:
    """With as many digits as anybody can use."""
    return f"{value:,.0f} ms" if value >= 99.5 else f"{value:.1f} ms"


def _times(group: Group) -> Iterator[Sequence[str]]:
    yield "", "instances", "median", "quartiles", "loading", "first result", "peak memory"
    for entry in group.entries:
        spread = entry.milliseconds
        digits = 0 if spread.median >= 99.5 else 1
        yield (
            entry.label,
            "" if entry.found is None else str(entry.found),
            milliseconds(spread.median),
            f"{spread.low:,.{digits}f} to {spread.high:,.{digits}f}",
            milliseconds(entry.start.load_ms),
            milliseconds(entry.start.first_ms),
            "" if entry.peak_mib is None else f"{entry.peak_mib:,.0f} MiB",
        )


def _ratios(group: Group) -> Iterator[Sequence[str]]:
    yield "times as fast as", *(peer.name for peer in group.peers)
    for entry in group.ours:
        yield entry.label, *(_ratio(entry.times_as_fast_as(peer)) for peer in group.peers)


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def _steps(group: Group) -> Iterator[Sequence[str]]:
    yield "", *(entry.short_label[0] for entry in group.ours)
    yield "step", *(entry.short_label[1] for entry in group.ours)
    steps = [entry.steps() for entry in group.ours]
    for name in STEPS:
        yield (
            name.replace("_", " "),
            *(_step(entry, step[name], name) for entry, step in zip(group.ours, steps, strict=True)),
        )


def _step(entry: Entry, spread: Spread, name: str) -> str:
    """Shares are those of the inference, which reading, drawing and writing are not part of."""
    share = f"{spread.median / entry.milliseconds.median:4.0%}" if name in INFERENCE else " " * 4
    return f"{milliseconds(spread.median)} {share}"


def _limit(group: Group) -> Iterator[str]:
    """What the arithmetic alone would take, and the share of that rate which is reached."""
    rates = ", ".join(f"{rate:,.0f} by {who}" for who, rate in group.rates.items())
    yield f"GFLOP/s of products of large matrices, which is what this machine can do: {rates}"
    for kept, entry in {entry.kept: entry for entry in group.ours}.items():
        parts = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in entry.gflop.items())
        yield f"GFLOP that {kept} kept need in this picture: {sum(entry.gflop.values()):.1f} ({parts})"
    for entry in group.ours:
        limit = group.limit(entry)
        if limit is None:
            yield f"{entry.label}: {entry.rate():,.0f} GFLOP/s"
            continue
        who, rate = limit
        least = milliseconds(sum(entry.gflop.values()) / rate * 1000)
        share = f"{entry.rate() / rate:.0%} of {who}'s matrices, at whose rate it would take {least}"
        yield f"{entry.label}: {entry.rate():,.0f} GFLOP/s, {share}"


def _wh(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _aligned(rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    table = list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        yield GAP.join(cells).rstrip()
