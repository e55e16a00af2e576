"""What a bench measured, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mrcnn_cv.bench.results import BenchResults, Entry, Group, Quartiles
from mrcnn_cv.bench.steps import INFERENCE, STEPS

GAP = "   "

Row = Sequence[str]


def lines(results: BenchResults) -> Iterator[str]:
    """The whole table, line by line."""
    yield from head(results)
    for group in results.groups:
        yield ""
        yield heading(group)
        yield ""
        yield from aligned(times(group.entries))
        yield ""
        yield from aligned(steps(group.entries))


def head(results: BenchResults) -> Iterator[str]:
    """On what, with what."""
    machine, model = results.machine, results.model
    processors = f"{machine['processors']} processor{'' if machine['processors'] == 1 else 's'}"
    yield f"mrcnn-cv {machine['mrcnn_cv']}, OpenCV {machine['opencv']}, {machine['processor']} ({processors})"
    yield f"{Path(model['file']).name}: {model['architecture']}, {model['backbone']}, {model['bytes'] / 1e6:.1f} MB"
    rounds = f"{results.rounds} round{'' if results.rounds == 1 else 's'}"
    yield f"image: {Path(results.image).name}, {rounds} in turn"


def heading(group: Group) -> str:
    """What sets a group apart."""
    threads = f"{group.threads} thread{'' if group.threads == 1 else 's'}"
    return f"{threads}, image {_wh(group.image)}, which enters the model as {_wh(group.network_input)}"


def milliseconds(value: float) -> str:
    """With as many digits as anybody can use."""
    return f"{value:,.0f} ms" if value >= 99.5 else f"{value:.1f} ms"


def times(entries: Sequence[Entry]) -> Iterator[Row]:
    """A row for each candidate: times and memory."""
    yield "", "instances", "median", "quartiles", "loading", "first result", "peak memory"
    for entry in entries:
        spread = entry.milliseconds
        digits = 0 if spread.median >= 99.5 else 1
        yield (
            entry.label,
            "" if entry.found is None else str(entry.found),
            milliseconds(spread.median),
            f"{spread.low:,.{digits}f} to {spread.high:,.{digits}f}",
            milliseconds(entry.startup.load_ms),
            milliseconds(entry.startup.first_ms),
            "" if entry.peak_mib is None else f"{entry.peak_mib:,.0f} MiB",
        )


def steps(entries: Sequence[Entry]) -> Iterator[Row]:
    """A row for each step, a column for each candidate."""
    yield "", *(entry.short_label[0] for entry in entries)
    yield "step", *(entry.short_label[1] for entry in entries)
    columns = [(entry, entry.steps()) for entry in entries]
    for name in STEPS:
        yield name.replace("_", " "), *(_step(entry, spreads[name], name) for entry, spreads in columns)


def _step(entry: Entry, spread: Quartiles, name: str) -> str:
    """Shares are those of the inference, which reading, drawing and writing are not part of."""
    share = f"{spread.median / entry.milliseconds.median:4.0%}" if name in INFERENCE else " " * 4
    return f"{milliseconds(spread.median)} {share}"


def _wh(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def aligned(rows: Iterator[Row]) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    table = list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        yield GAP.join(cells).rstrip()
