"""Models with a name, as rows of a table and as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mrcnn_cv.cli.console.messages import readable_size, sanitize
from mrcnn_cv.hub.catalog import CatalogEntry

_COLUMNS = ("name", "classes", "size", "box AP", "mask AP", "ms", "here", "licence")
_NUMBERS = {"classes", "size", "box AP", "mask AP", "ms"}


def table(entries: list[CatalogEntry]) -> str:
    """A line for each model under a line of headings."""
    lines = [_COLUMNS, *(_cells(row) for row in entries)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    shown = []
    for line in lines:
        cells = (
            text.rjust(width) if name in _NUMBERS else text.ljust(width)
            for name, text, width in zip(_COLUMNS, line, widths, strict=True)
        )
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def details(row: CatalogEntry) -> str:
    """A line for each thing that is known about a model."""
    facts = {key.replace("_", " "): value for key, value in row.to_dict().items() if value is not None}
    if row.size is not None:
        facts["size"] = f"{readable_size(row.size)} ({row.size:,} bytes)"
    if row.zoo is not None and row.zoo.milliseconds is not None:
        facts["milliseconds"] = f"{row.zoo.milliseconds} (as published: GTX TITAN X, 600x600)"
    lines: list[tuple[str, Any]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            lines += [(f"{key} {inner}", text) for inner, text in value.items()]
        else:
            lines.append((key, value))
    width = max(len(key) for key, _ in lines)
    return "\n".join(f"{key.ljust(width)}  {sanitize(str(value))}" for key, value in lines)


def _cells(row: CatalogEntry) -> tuple[str, ...]:
    zoo = row.zoo
    return (
        row.name,
        _text(row.classes),
        readable_size(row.size) if row.size is not None else "-",
        f"{zoo.box_ap:.2f}" if zoo and zoo.box_ap is not None else "-",
        f"{zoo.mask_ap:.2f}" if zoo and zoo.mask_ap is not None else "-",
        _text(zoo.milliseconds if zoo else None),
        row.state,
        zoo.licence if zoo else "-",
    )


def _text(value: object) -> str:
    return "-" if value is None else str(value)
