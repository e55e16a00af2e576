"""Values of a matterport Config that a user gives for a model: they are kept beside the graph."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import UsageError


def is_config_value(setting: str) -> bool:
    """Whether a `NAME=VALUE` is a value of a Config; names of options are not in capitals."""
    name = setting.partition("=")[0].strip()
    return name.isupper() and "_" in name


def write_config(model: Path, settings: list[str]) -> Path:
    """Write the values into a JSON file named after the graph, together with those of the config that it has now.

    Returns its path. Raises UsageError for values that is invalid, or a model that is not matterport's,
    ModelFileError for one that does not run with them, OutputError where the file cannot be written.
    """
    from mrcnn_cv.hub import cache
    from mrcnn_cv.importers.load import find_model_file, open_model
    from mrcnn_cv.importers.matterport.config import find_config, read_config
    from mrcnn_cv.util.files import write_atomically

    graph = find_model_file(model)
    other = UsageError(f"{settings[0]} is for models of matterport's Mask_RCNN, which {graph} is not")
    if graph.suffix.lower() == ".onnx":
        raise other
    beside = find_config(graph)
    values = dict(read_config(beside).values) if beside is not None else {}
    values |= dict(map(_parsed, settings))
    content = json.dumps(values, indent=2) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "config.json"
        draft.write_text(content, encoding="utf-8")
        opened = open_model(graph, draft)
    if not opened.definition.family.startswith("matterport"):
        raise other
    target = graph.with_suffix(".json")
    with cache.writable(target):
        write_atomically(target, content.encode())
    return target


def _parsed(setting: str) -> tuple[str, Any]:
    from mrcnn_cv.importers.matterport.config import check

    name, _, text = (part.strip() for part in setting.partition("="))
    try:
        return name, check(name, _value(text))
    except ValueError as error:
        raise UsageError(f"{setting}: {error}") from error


def _value(text: str) -> Any:
    """JSON, or `8,16,32` for a list, or a word."""
    for candidate in (text, f"[{text}]"):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    return text
