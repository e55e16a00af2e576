"""Every model that has a name: the zoo's, the demo model, the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import LabelFileError, ModelFileError
from mrcnn_cv.hub import cache, registry, user_models
from mrcnn_cv.hub.archive import LABEL_MAP_NAME
from mrcnn_cv.hub.registry import DEMO, GRAPH_NAME, ZooModel
from mrcnn_cv.hub.resolve import by_name

_ZOO_FACTS = ("family", "backbone", "dataset", "box_ap", "mask_ap", "milliseconds", "licence", "url")


@dataclass(frozen=True)
class CatalogEntry:
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

    def to_dict(self) -> dict[str, Any]:
        """All that is known, for JSON."""
        known: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "here": self.state,
            "size": self.size,
            "classes": self.classes,
        }
        if self.zoo is not None:
            known |= {name: getattr(self.zoo, name) for name in _ZOO_FACTS} | {"checksums": dict(self.zoo.checksums)}
        if self.user is not None:
            user = self.user
            known |= {
                "family": user.family,
                "labels": str(user.labels) if user.labels else None,
                "defaults": dict(user.defaults),
            }
        known["path"] = str(self.path) if self.path else None
        return known | {f"pulled_{key}": self.origin.get(name) for key, name in (("from", "source"), ("at", "pulled"))}


def catalog() -> list[CatalogEntry]:
    """Every model that --model takes by name: the zoo's, the demo model, the user's own, which take their place."""
    users = user_models.user_models()
    entries = {model.name: _zoo_entry(model) for model in registry.zoo_models().values()}
    if (demo := _demo_entry()) is not None:
        entries[DEMO] = demo
    return list((entries | {model.name: _user_entry(model) for model in users.values()}).values())


def known_names() -> list[str]:
    """Names for completion; nothing where something is wrong, since nobody would see the message."""
    try:
        return [*user_models.user_models(), *registry.zoo_models(), DEMO]
    except ModelFileError:
        return []


def entry(name: str) -> CatalogEntry:
    """The model with this name; ModelFileError where there is none."""
    model = registry.zoo_model(name)
    for each in catalog():
        if each.name == name:
            return each
    if model is not None:
        return _zoo_entry(model)
    # This says what was meant, perhaps.
    by_name(name)
    raise ModelFileError(f"there is no model of the name {name}: 'mrcnn-cv models list' shows the names")


def _zoo_entry(model: ZooModel) -> CatalogEntry:
    folder = cache.model_folder(model.name)
    origin = cache.record(folder)
    if origin is not None:
        return CatalogEntry(model.name, "zoo", "pulled", model.size, folder, model.classes, zoo=model, origin=origin)
    return CatalogEntry(model.name, "zoo", _arrived(model), model.size, None, model.classes, zoo=model)


def _arrived(model: ZooModel) -> str:
    try:
        share = cache.part_path(model.name).stat().st_size / model.size
    except OSError:
        share = 0.0
    return f"{100 * share:.0f} %" if share > 0 else "no"


def _demo_entry() -> CatalogEntry | None:
    try:
        folder = registry.demo_model()
    except ModelFileError:
        return None
    from mrcnn_cv.model.labels import read_labels

    try:
        classes = len(read_labels(folder / LABEL_MAP_NAME))
    except LabelFileError:
        classes = None
    return CatalogEntry(DEMO, "demo", "bundled", _size(folder / GRAPH_NAME), folder, classes)


def _user_entry(model: user_models.UserModel) -> CatalogEntry:
    graph = model.path / GRAPH_NAME
    size = _size(graph if os.path.exists(graph) else model.path)
    state = "yes" if os.path.exists(model.path) else "missing"
    return CatalogEntry(model.name, "yours", state, size, model.path, model.classes, user=model)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if os.path.isfile(path) else None
    except (OSError, ValueError):
        return None
