"""The models that come with their names: the entries of models/zoo.toml, and the demo model."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mrcnn_cv.errors import ModelFileError, Remedy

_PACKAGE = Path(__file__).resolve().parent.parent

DEMO = "demo"
"""The name of the demo model."""

GRAPH_NAME = "frozen_inference_graph.pb"


@dataclass(frozen=True)
class ZooModel:
    """One model of the zoo.

    size, checksums   of the archive: bytes, and hexadecimal digests by algorithm (hashlib's names)
    graph_checksums   the same for the frozen graph in it, where known
    classes           the largest class id; COCO uses 80 of its 90
    box_ap, mask_ap   published COCO AP in percent
    milliseconds      published time per image
    """

    name: str
    family: str
    backbone: str
    dataset: str
    classes: int
    url: str
    size: int
    checksums: Mapping[str, str]
    licence: str
    box_ap: float | None = None
    mask_ap: float | None = None
    milliseconds: int | None = None
    graph_checksums: Mapping[str, str] = field(default_factory=dict)

    @property
    def archive_name(self) -> str:
        """File name of the archive, the same at every mirror."""
        return self.url.rpartition("/")[2]


@cache
def zoo_models() -> dict[str, ZooModel]:
    """All entries of models/zoo.toml, by name, in the order of the file."""
    # Only needed where a name is looked up; tomllib came with Python 3.11.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    path = _shipped("zoo.toml")
    if path is None:
        raise ModelFileError("the list of models (zoo.toml) is missing from this installation: install mrcnn-cv again")
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: ZooModel(name=name, **entry) for name, entry in entries.items()}


def zoo_model(name: str) -> ZooModel | None:
    """The entry with this name, or whose archive has it (`..._2018_01_28`, as many tutorials call these models)."""
    models = zoo_models()
    if name in models:
        return models[name]
    return next((model for model in models.values() if model.archive_name == f"{name}.tar.gz"), None)


def demo_model() -> Path:
    """The folder of the demo model: frozen graph, pipeline.config, label map and model card.

    In an installed package it lies inside it; in a checkout in models/ beside it.
    """
    graph = _shipped(f"demo/{GRAPH_NAME}")
    if graph is None:
        raise ModelFileError(
            f"the demo model is missing from this installation: install mrcnn-cv again, or {Remedy.MODEL}", Remedy.MODEL
        )
    return graph.parent


def _shipped(name: str) -> Path | None:
    for root in (_PACKAGE, _PACKAGE.parent):
        path = root / "models" / name
        if os.path.isfile(path):
            return path
    return None
