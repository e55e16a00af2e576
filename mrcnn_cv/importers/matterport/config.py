"""The values of a matterport Config: from the graph, from a file beside it, or matterport's own defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.config_schema import (
    Check,
    Config,
    Setting,
    Values,
    find_beside,
    number,
    one_of,
    parse_toml,
    quoted,
    read_text,
    resolve_settings,
    several,
    shown,
    whole,
)
from mrcnn_cv.model.validate import MAX_SIDE


def find_config(graph: Path) -> Path | None:
    """The config of a graph: its own name or "config", with .json or .toml, in the same folder."""
    return find_beside(graph, (graph.stem, "config"), (".json", ".toml"))


def read_config(path: Path) -> Config:
    """Read a config: a JSON or TOML table of values by matterport's names; those of training are passed over.

    Raises ModelFileError (one sentence with the path) for a file of another kind, or a value that is invalid.
    """
    content = _parse(path, read_text(path, "the values of a matterport Config"))
    if not isinstance(content, dict) or not content.keys() & SETTINGS.keys():
        raise ModelFileError(f"{path} holds no values of a matterport Config, such as IMAGE_MAX_DIM")
    try:
        return Config(path, {name: check(name, content[name]) for name in SETTINGS if name in content})
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from error


def _parse(path: Path, text: str) -> Any:
    try:
        if path.suffix.lower() == ".toml":
            return parse_toml(text)
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
        raise ModelFileError(f"{path} is not valid {kind} ({error}): correct it, or move it away") from error


def check(name: str, value: Any) -> Any:
    """A value in its own type; ValueError, a sentence with the name, for one that is invalid."""
    if name not in SETTINGS:
        raise ValueError(f"{name} is no value of a matterport Config that mrcnn-cv needs: {', '.join(SETTINGS)}")
    try:
        return SETTINGS[name].check(value)
    except ValueError as error:
        raise ValueError(f"{name} must be {error}, not {quoted(value)}") from error


def resolve(from_graph: Values, config: Config, graph_name: str) -> tuple[Values, list[str]]:
    """(every value, warnings): the graph's own, else the config's, else the default, which is an assumption."""
    values, warnings, assumed = resolve_settings(SETTINGS, from_graph, config, "graph")
    unused = _UNUSED.get(values["IMAGE_RESIZE_MODE"], ())
    said = [f"{name} = {shown(values[name])}" for name in assumed if name not in unused]
    if said:
        warnings.append(
            f"neither the graph nor a config beside it says {len(said)} numbers, so matterport's defaults are"
            f" assumed: {', '.join(said)}; if your Config has others, put them into {graph_name}.json beside the"
            " graph, or let 'mrcnn-cv models add' do that"
        )
    return values, warnings


def _or_zero(check: Check) -> Check:
    """matterport writes None and 0 for "does not matter"."""
    return lambda value: check(0 if value is None else value)


SETTINGS: Mapping[str, Setting] = {
    "IMAGE_RESIZE_MODE": Setting(one_of("square", "pad64", "none"), "square"),
    "IMAGE_MIN_DIM": Setting(_or_zero(whole(0, MAX_SIDE)), 800),
    "IMAGE_MAX_DIM": Setting(whole(64, MAX_SIDE), 1024),
    "IMAGE_MIN_SCALE": Setting(_or_zero(number(0, 64)), 0.0),
    "MEAN_PIXEL": Setting(several(number(-1e4, 1e4), 3, 3), (123.7, 116.8, 103.9)),
    "RPN_ANCHOR_SCALES": Setting(several(number(1, MAX_SIDE), 1, 16), (32.0, 64.0, 128.0, 256.0, 512.0)),
    "RPN_ANCHOR_RATIOS": Setting(several(number(0.01, 100), 1, 64), (0.5, 1.0, 2.0)),
    "RPN_BBOX_STD_DEV": Setting(several(number(1e-4, 100), 4, 4), (0.1, 0.1, 0.2, 0.2)),
    "PRE_NMS_LIMIT": Setting(whole(1, 10**7), 6000),
    "RPN_NMS_THRESHOLD": Setting(number(0, 1), 0.7),
    "POST_NMS_ROIS_INFERENCE": Setting(whole(1, 10**5), 1000),
    "BBOX_STD_DEV": Setting(several(number(1e-4, 100), 4, 4), (0.1, 0.1, 0.2, 0.2)),
    "DETECTION_MIN_CONFIDENCE": Setting(_or_zero(number(0, 1)), 0.7),
    "DETECTION_NMS_THRESHOLD": Setting(number(0, 1), 0.3),
    "DETECTION_MAX_INSTANCES": Setting(whole(1, 10**5), 100),
    "NUM_CLASSES": Setting(whole(2, 10**5), 2),
}
"""Strides are not among them: the layers of the graph tell."""

_UNUSED = {"pad64": {"IMAGE_MAX_DIM"}, "none": {"IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "IMAGE_MIN_SCALE"}}
"""What a resize mode does not look at."""
