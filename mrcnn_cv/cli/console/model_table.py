"""Models with a name, as rows of a table, as lines, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrcnn_cv.cli.console.download_progress import readable_size
from mrcnn_cv.cli.console.messages import sanitize
from mrcnn_cv.errors import LabelFileError, ModelFileError
from mrcnn_cv.hub import cache, registry, user_models
from mrcnn_cv.hub.archive import LABEL_MAP_NAME
from mrcnn_cv.hub.registry import DEMO, GRAPH_NAME, ZooModel
from mrcnn_cv.hub.resolve import by_name, exists

_COLUMNS = ("name", "classes", "size", "box AP", "mask AP", "ms", "here", "licence")
_NUMBERS = {"classes", "size", "box AP", "mask AP", "ms"}


@dataclass(frozen=True)
class ModelRow:
    """A model with a name.

    kind    "zoo", "demo" or "yours"
    state   whether it can be used: "pulled", "no", "23 %" of the archive, "bundled", "yes", "missing"
    size    bytes of the archive, or of the file of one's own
    path    where it lies; None where it is not here
    classes the largest class id, where known
    """

    name: str
    kind: str
    state: str
    size: int | None
    path: Path | None
    classes: int | None
    zoo: ZooModel | None = None
    user: user_models.UserModel | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)


def records() -> list[ModelRow]:
    """Every model that --model takes by name: the zoo's, the demo model, the user's own, which take their place."""
    users = user_models.user_models()
    rows = {model.name: _zoo_row(model) for model in registry.zoo_models().values()}
    if (demo := _demo_row()) is not None:
        rows[DEMO] = demo
    return list((rows | {model.name: _user_row(model) for model in users.values()}).values())


def names() -> list[str]:
    """Names for completion; nothing where something is wrong, since nobody would see the message."""
    try:
        return [*user_models.user_models(), *registry.zoo_models(), DEMO]
    except ModelFileError:
        return []


def named(name: str) -> ModelRow:
    """The model with this name; ModelFileError where there is none."""
    model = registry.zoo_model(name)
    for row in records():
        if row.name == name:
            return row
    if model is not None:
        return _zoo_row(model)
    # This says what was meant, perhaps.
    by_name(name)
    raise ModelFileError(f"there is no model of the name {name}: 'mrcnn-cv models list' shows the names")


def table(rows: list[ModelRow]) -> str:
    """A line for each model under a line of headings."""
    lines = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    shown = []
    for line in lines:
        cells = (
            text.rjust(width) if name in _NUMBERS else text.ljust(width)
            for name, text, width in zip(_COLUMNS, line, widths, strict=True)
        )
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def details(row: ModelRow) -> str:
    """A line for each thing that is known about a model."""
    facts = {key.replace("_", " "): value for key, value in record(row).items() if value is not None}
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


def record(row: ModelRow) -> dict[str, Any]:
    """The same for programs."""
    known: dict[str, Any] = {
        "name": row.name,
        "kind": row.kind,
        "here": row.state,
        "size": row.size,
        "classes": row.classes,
    }
    if row.zoo is not None:
        zoo = row.zoo
        known |= {
            "family": zoo.family,
            "backbone": zoo.backbone,
            "dataset": zoo.dataset,
            "box_ap": zoo.box_ap,
            "mask_ap": zoo.mask_ap,
            "milliseconds": zoo.milliseconds,
            "licence": zoo.licence,
            "url": zoo.url,
            "checksums": dict(zoo.checksums),
        }
    if row.user is not None:
        user = row.user
        known |= {
            "family": user.family,
            "labels": str(user.labels) if user.labels else None,
            "defaults": dict(user.defaults),
        }
    known["path"] = str(row.path) if row.path else None
    return known | {f"pulled_{key}": row.origin.get(name) for key, name in (("from", "source"), ("at", "pulled"))}


def _zoo_row(model: ZooModel) -> ModelRow:
    folder = cache.model_folder(model.name)
    origin = cache.record(folder)
    if origin is not None:
        return ModelRow(model.name, "zoo", "pulled", model.size, folder, model.classes, zoo=model, origin=origin)
    return ModelRow(model.name, "zoo", _arrived(model), model.size, None, model.classes, zoo=model)


def _arrived(model: ZooModel) -> str:
    try:
        share = cache.part_path(model.name).stat().st_size / model.size
    except OSError:
        share = 0.0
    return f"{100 * share:.0f} %" if share > 0 else "no"


def _demo_row() -> ModelRow | None:
    try:
        folder = registry.demo_model()
    except ModelFileError:
        return None
    from mrcnn_cv.model.labels import read_labels

    try:
        classes = len(read_labels(folder / LABEL_MAP_NAME))
    except LabelFileError:
        classes = None
    return ModelRow(DEMO, "demo", "bundled", _size(folder / GRAPH_NAME), folder, classes)


def _user_row(model: user_models.UserModel) -> ModelRow:
    graph = model.path / GRAPH_NAME
    size = _size(graph if exists(graph) else model.path)
    state = "yes" if exists(model.path) else "missing"
    return ModelRow(model.name, "yours", state, size, model.path, model.classes, user=model)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        return None


def _cells(row: ModelRow) -> tuple[str, ...]:
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
