"""What weights of torchvision do not tell: the arguments of the function that made the model, or their defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.config_schema import (
    Config,
    Setting,
    Values,
    find_beside,
    number,
    parse_toml,
    quoted,
    read_text,
    resolve_settings,
    several,
    shown,
    whole,
)
from mrcnn_cv.model.validate import MAX_SIDE

MAX_COUNT = 10**6


def find_config(model: Path) -> Path | None:
    """The config of weights: their own name or "config", with .json or .toml, in the same folder."""
    return find_beside(model, (model.stem, "config"), (".json", ".toml"))


def read_config(path: Path) -> Config:
    """Read a JSON or TOML table of arguments of torchvision's functions, at the top or below "arguments".

    Arguments on which no answer depends are passed over. Raises ModelFileError (one sentence with the path) for a file
    of another kind, or a value that is invalid.
    """
    content = _parse(path, read_text(path, "arguments of torchvision's functions"))
    if isinstance(content, dict) and isinstance(content.get("arguments"), dict):
        content = {**content, **content["arguments"]}
    if not isinstance(content, dict):
        raise ModelFileError(f"{path} is no table of arguments, such as min_size")
    return Config(
        path, {name: _checked(path, name, value) for name, value in _flat(content).items() if name in SETTINGS}
    )


def resolve(config: Config, likely_epsilon: float, model: str) -> tuple[Values, list[str]]:
    """(every value, warnings): the config's, else the default of torchvision's functions, which is an assumption."""
    settings = {name: setting for name, setting in SETTINGS.items() if name not in _OPTIONAL}
    settings["norm_eps"] = Setting(SETTINGS["norm_eps"].check, likely_epsilon)
    values, warnings, assumed = resolve_settings(settings, {}, config, "weights")
    values |= {name: value for name, value in config.values.items() if name in _OPTIONAL}
    if assumed:
        source = f"the weights and {config.path} do not say" if config.path else "weights do not say"
        said = ", ".join(f"{name} = {shown(values[name])}" for name in assumed if name not in _POOLS)
        warnings.append(
            f"{source} how their model was made, so torchvision's defaults are assumed: {said}; put others into"
            f" {model}.json beside them, by the names of the arguments"
        )
    return values, warnings


def _parse(path: Path, text: str) -> Any:
    kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
    try:
        return parse_toml(text) if kind == "TOML" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not valid {kind} ({error}): correct it, or move it away") from error


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with those of an anchor generator beside them, as its own names are."""
    generator = content.get("rpn_anchor_generator", content.get("anchor_generator"))
    own: dict[str, Any] = {}
    if isinstance(generator, dict):
        own = {
            name: generator[key]
            for name, key in (("anchor_sizes", "sizes"), ("aspect_ratios", "aspect_ratios"))
            if key in generator
        }
    return {**content, **own}


def _checked(path: Path, name: str, value: Any) -> Any:
    try:
        return SETTINGS[name].check(value)
    except ValueError as error:
        raise ModelFileError(f"{path}: {name} must be {error}, not {quoted(value)}: correct it") from error


def _one_side(value: Any) -> int:
    """torchvision takes several sides for training, of which the last one counts afterwards."""
    several_sides = several(whole(1, MAX_SIDE), 1, 64)
    return several_sides(value)[-1] if isinstance(value, list | tuple) else whole(1, MAX_SIDE)(value)


def _pool(value: Any) -> dict[str, Any]:
    """A MultiScaleRoIAlign: its output size, and how many points a sample has."""
    if not isinstance(value, dict):
        raise ValueError("a table with output_size and sampling_ratio")
    size = value.get("output_size", [])
    size = [size, size] if isinstance(size, int) else size
    found: dict[str, Any] = {"output_size": several(whole(1, 64), 2, 2)(size)} if size else {}
    if "sampling_ratio" in value:
        ratio = value["sampling_ratio"]
        found["sampling_ratio"] = 0 if ratio == -1 else whole(0, 16)(ratio)
    return found


_fraction = number(0, 1)
_per_level = several(several(number(0.01, MAX_SIDE), 1, 64), 1, 16)
_channels = several(number(-1e4, 1e4), 3, 3)

SETTINGS: Mapping[str, Setting] = {
    "min_size": Setting(_one_side, 800),
    "max_size": Setting(whole(1, MAX_SIDE), 1333),
    "image_mean": Setting(_channels, (0.485, 0.456, 0.406)),
    "image_std": Setting(several(number(1e-6, 1e4), 3, 3), (0.229, 0.224, 0.225)),
    "size_divisible": Setting(whole(1, 256), 32),
    "anchor_sizes": Setting(_per_level, ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))),
    "aspect_ratios": Setting(_per_level, ((0.5, 1.0, 2.0),)),
    "rpn_pre_nms_top_n_test": Setting(whole(1, MAX_COUNT), 1000),
    "rpn_post_nms_top_n_test": Setting(whole(1, MAX_COUNT), 1000),
    "rpn_nms_thresh": Setting(_fraction, 0.7),
    "rpn_score_thresh": Setting(_fraction, 0.0),
    "box_score_thresh": Setting(_fraction, 0.05),
    "box_nms_thresh": Setting(_fraction, 0.5),
    "box_detections_per_img": Setting(whole(1, MAX_COUNT), 100),
    "bbox_reg_weights": Setting(several(number(1e-4, 1e4), 4, 4), (10.0, 10.0, 5.0, 5.0)),
    "box_roi_pool": Setting(_pool, {}),
    "mask_roi_pool": Setting(_pool, {}),
    "norm_eps": Setting(number(0, 1), 0.0),
    "num_classes": Setting(whole(2, MAX_COUNT), None),
}
"""Of FasterRCNN, MaskRCNN and AnchorGenerator; norm_eps is that of the norms of the backbone."""

_OPTIONAL = frozenset({"num_classes"})
_POOLS = frozenset({"box_roi_pool", "mask_roi_pool"})
