"""The values of a Detectron2 config: from the graph, from the YAML beside it, or Detectron2's own defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mrcnn_cv.errors import ModelFileError

MAX_BYTES = 1 << 20
MAX_SIDE = 8192
MAX_COUNT = 10**6
BASE = "_BASE_"

Values = dict[str, Any]
"""Values by the keys of Detectron2's config/defaults.py, dots between the levels."""


class _Setting(NamedTuple):
    """How a value is checked (ValueError says what it must be), and the default of Detectron2's pyramid models."""

    check: Callable[[Any], Any]
    default: Any


@dataclass(frozen=True)
class Config:
    """What a config file says of the settings that matter here. incomplete: it builds on another file."""

    path: Path | None = None
    values: Values = field(default_factory=dict)
    incomplete: bool = False


def find_config(model: Path) -> Path | None:
    """The config of a model: its own name or "config", with .yaml or .yml, in the same folder."""
    names = [f"{stem}{suffix}" for stem in (model.stem, "config") for suffix in (".yaml", ".yml")]
    return next((model.parent / name for name in names if (model.parent / name).is_file()), None)


def read_config(path: Path) -> Config:
    """Read a config as Detectron2 dumps it; what an answer does not depend on is passed over.

    Raises ModelFileError (one sentence with the path) for a file of another kind, or a value that cannot be meant.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelFileError(f"{path} is too large for a Detectron2 config ({path.stat().st_size} bytes)")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path} cannot be read as a Detectron2 config: {error}") from error
    content = _parse(path, text)
    if not isinstance(content, dict) or not content.keys() & {"MODEL", "INPUT", "TEST", BASE}:
        raise ModelFileError(f"{path} is no Detectron2 config: it has neither MODEL nor INPUT")
    values: Values = {}
    for name in SETTINGS:
        found = _at(content, name)
        if found is not None:
            try:
                values[name] = SETTINGS[name].check(found)
            except ValueError as error:
                text = repr(found)[:60]
                raise ModelFileError(f"{path}: {name} must be {error}, not {text}: correct it") from error
    return Config(path, values, BASE in content)


def _parse(path: Path, text: str) -> Any:
    import yaml

    # The safe loader, and tuples as lists: some of Detectron2's dumps mark them.
    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("tag:yaml.org,2002:python/tuple", yaml.SafeLoader.construct_sequence)
    try:
        return yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path} is not valid YAML ({reason}): correct it, or move it away") from error


def _at(content: dict[Any, Any], name: str) -> Any:
    """The value of a key, None where the file does not say."""
    found: Any = content
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def settle(from_graph: Values, config: Config, wanted: list[str], model: str) -> tuple[Values, list[str]]:
    """(the values of `wanted`, warnings): the graph's own, else the config's, else the default, an assumption."""
    values, warnings, assumed = {}, [], []
    for name in wanted:
        if name in from_graph:
            values[name] = from_graph[name]
            if name in config.values and not _same(config.values[name], from_graph[name]):
                warnings.append(
                    f"{config.path} disagrees with the model about {name}: the model's {_text(from_graph[name])} is"
                    f" used, not the config's {_text(config.values[name])}"
                )
        elif name in config.values:
            values[name] = config.values[name]
        else:
            values[name] = SETTINGS[name].default
            assumed.append(f"{name} = {_text(values[name])}")
    if assumed:
        source = f"the model and {config.path} do not say" if config.path else "the model alone does not say"
        base = f" ({config.path} builds on another file, {BASE}, which is not read)" if config.incomplete else ""
        warnings.append(
            f"{source} {len(assumed)} values{base}, so Detectron2's defaults are assumed: {', '.join(assumed)}; put the"
            f" config that it was exported with beside it, whole, as {model}.yaml: cfg.dump() in Python gives it"
            " (docs/models.md)"
        )
    return values, warnings


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-7)
    return bool(one == other)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def checked(value: Any) -> int:
        wanted = f"a whole number from {least} to {most}"
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(wanted)
        if value != int(value):
            raise ValueError(wanted)
        return int(value)

    return checked


def _number(least: float, most: float) -> Callable[[Any], float]:
    def checked(value: Any) -> float:
        # What is not a number compares as false.
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return float(value)

    return checked


def _several(check: Callable[[Any], Any], least: int, most: int) -> Callable[[Any], tuple[Any, ...]]:
    def checked(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            # Configs written by hand have tuples, (10, 10, 5, 5), which YAML takes for a text.
            value = _tuple_in(value)
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            raise ValueError(f"a list of {least if least == most else f'{least} to {most}'}")
        try:
            return tuple(check(item) for item in value)
        except ValueError as error:
            raise ValueError(f"a list of which each item is {error}") from error

    return checked


def _tuple_in(text: str) -> Any:
    import ast

    try:
        return ast.literal_eval(text) if len(text) < 1000 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _one_of(*names: str) -> Callable[[Any], str]:
    def checked(value: Any) -> str:
        if value not in names:
            raise ValueError(f"{' or '.join(names)}")
        return str(value)

    return checked


_weights = _several(_number(1e-4, 1e4), 4, 4)
_fraction = _number(0, 1)
_sizes = _several(_several(_number(0.01, MAX_SIDE), 1, 64), 1, 16)

SETTINGS: Mapping[str, _Setting] = {
    "INPUT.MIN_SIZE_TEST": _Setting(_whole(0, MAX_SIDE), 800),
    "INPUT.MAX_SIZE_TEST": _Setting(_whole(1, MAX_SIDE), 1333),
    "INPUT.FORMAT": _Setting(_one_of("BGR", "RGB"), "BGR"),
    "MODEL.PIXEL_MEAN": _Setting(_several(_number(-1e4, 1e4), 3, 3), (103.53, 116.28, 123.675)),
    "MODEL.PIXEL_STD": _Setting(_several(_number(1e-4, 1e4), 3, 3), (1.0, 1.0, 1.0)),
    "MODEL.ANCHOR_GENERATOR.SIZES": _Setting(_sizes, ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": _Setting(_sizes, ((0.5, 1.0, 2.0),)),
    "MODEL.ANCHOR_GENERATOR.OFFSET": _Setting(_number(0, 0.999), 0.0),
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": _Setting(_number(0, MAX_SIDE), 0.0),
    "MODEL.RPN.BBOX_REG_WEIGHTS": _Setting(_weights, (1.0, 1.0, 1.0, 1.0)),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": _Setting(_whole(1, MAX_COUNT), 1000),
    "MODEL.RPN.POST_NMS_TOPK_TEST": _Setting(_whole(1, MAX_COUNT), 1000),
    "MODEL.RPN.NMS_THRESH": _Setting(_fraction, 0.7),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": _Setting(_fraction, 0.05),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": _Setting(_fraction, 0.5),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": _Setting(_weights, (10.0, 10.0, 5.0, 5.0)),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": _Setting(_one_of("ROIAlignV2", "ROIAlign"), "ROIAlignV2"),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": _Setting(_one_of("ROIAlignV2", "ROIAlign"), "ROIAlignV2"),
    "TEST.DETECTIONS_PER_IMAGE": _Setting(_whole(1, MAX_COUNT), 100),
}
"""Of the settings of a model with a feature pyramid: those of Base-RCNN-FPN.yaml and of config/defaults.py."""
