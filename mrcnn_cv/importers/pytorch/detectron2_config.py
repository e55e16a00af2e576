"""The values of a Detectron2 config: from the graph, from the YAML beside it, or Detectron2's own defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
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
    quoted,
    read_text,
    resolve_settings,
    several,
    shown,
    whole,
)
from mrcnn_cv.model.validate import MAX_SIDE

MAX_COUNT = 10**6
MAX_NUMBER = 100
MAX_YAML_BYTES = 1 << 18
"""A whole dump has a twentieth of that; Python's reader takes seconds for a megabyte."""

_NUMBERS = re.compile(r"[\d\s().,eE+\[\]-]{1,1000}", re.ASCII)
BASE = "_BASE_"


def find_config(model: Path) -> Path | None:
    """The config of a model: its own name or "config", with .yaml or .yml, in the same folder."""
    return find_beside(model, (model.stem, "config"), (".yaml", ".yml"))


def read_config(path: Path, settings: Mapping[str, Setting] | None = None) -> Config:
    """Read a config as Detectron2 dumps it, by the keys of its config/defaults.py, levels joined by dots.

    settings: those on which answers depend, as a rule SETTINGS; others are passed over.

    Raises ModelFileError (one sentence with the path) for a file of another kind, or a value that is invalid.
    """
    content = _parse(path, read_text(path, "a Detectron2 config"))
    if not isinstance(content, dict) or not content.keys() & {"MODEL", "INPUT", "TEST", BASE}:
        raise ModelFileError(f"{path} is no Detectron2 config: it has neither MODEL nor INPUT")
    values: Values = {}
    for name, setting in (SETTINGS if settings is None else settings).items():
        found = _at(content, name)
        if found is not None:
            try:
                values[name] = setting.check(found)
            except ValueError as error:
                raise ModelFileError(f"{path}: {name} must be {error}, not {quoted(found)}: correct it") from error
    return Config(path, values, BASE in content)


def _parse(path: Path, text: str) -> Any:
    import yaml

    try:
        if len(text) > MAX_YAML_BYTES:
            raise ValueError(f"it has more than {MAX_YAML_BYTES} characters")
        return yaml.load(text, _loader(yaml))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path} is not valid YAML ({reason}): correct it, or move it away") from error


def _loader(yaml: Any) -> Any:
    """YAML's safe loader without what a config has no use for and a stranger has: merges, dates, numbers of base 60."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def flatten_mapping(self, node: Any) -> None:
            # Merges of merges double at each level. Without this, << is a key that has no constructor.
            pass

    def scalar(loader: Any, node: Any) -> Any:
        text = loader.construct_scalar(node)
        if len(text) > MAX_NUMBER or ":" in text:
            return text
        try:
            return yaml.SafeLoader.yaml_constructors[node.tag](loader, node)
        except (ValueError, LookupError, ArithmeticError):
            return text

    plain = {f"tag:yaml.org,2002:{name}" for name in ("null", "str", "seq", "map")}
    known = yaml.SafeLoader.yaml_constructors
    Loader.yaml_constructors = {tag: known[tag] for tag in (*plain, None)}
    for name in ("bool", "int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{name}", scalar)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
    # Some of Detectron2's dumps mark tuples.
    Loader.add_constructor("tag:yaml.org,2002:python/tuple", yaml.SafeLoader.construct_sequence)
    return Loader


def _at(content: dict[Any, Any], name: str) -> Any:
    """The value of a key, None where the file does not say."""
    found: Any = content
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def resolve(
    from_graph: Values,
    config: Config,
    wanted: Iterable[str],
    model: str,
    all_settings: Mapping[str, Setting] | None = None,
) -> tuple[Values, list[str]]:
    """(the values of `wanted`, warnings): the graph's own, else the config's, else the default, an assumption."""
    known = SETTINGS if all_settings is None else all_settings
    settings = {name: known[name] for name in wanted}
    values, warnings, names = resolve_settings(settings, from_graph, config, "model")
    assumed = [f"{name} = {shown(values[name])}" for name in names]
    if assumed:
        source = f"the model and {config.path} do not say" if config.path else "the model alone does not say"
        base = f" ({config.path} builds on another file, {BASE}, which is not read)" if config.incomplete else ""
        warnings.append(
            f"{source} {len(assumed)} values{base}, so Detectron2's defaults are assumed: {', '.join(assumed)}; put the"
            f" config that it was made with beside it, whole, as {model}.yaml: cfg.dump() in Python gives it"
        )
    return values, warnings


def _several(check: Check, least: int, most: int) -> Callable[[Any], tuple[Any, ...]]:
    """A list; configs written by hand have tuples, (10, 10, 5, 5), which YAML takes for a text."""
    plain = several(check, least, most)
    return lambda value: plain(_tuple_in(value) if isinstance(value, str) else value)


def _tuple_in(text: str) -> Any:
    import ast

    try:
        # Of anything else than numbers Python's parser might print warnings.
        return ast.literal_eval(text.strip()) if _NUMBERS.fullmatch(text) else None
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


_weights = _several(number(1e-4, 1e4), 4, 4)
_fraction = number(0, 1)
_sizes = _several(_several(number(0.01, MAX_SIDE), 1, 64), 1, 16)

SETTINGS: Mapping[str, Setting] = {
    "INPUT.MIN_SIZE_TEST": Setting(whole(0, MAX_SIDE), 800),
    "INPUT.MAX_SIZE_TEST": Setting(whole(1, MAX_SIDE), 1333),
    "INPUT.FORMAT": Setting(one_of("BGR", "RGB"), "BGR"),
    "MODEL.PIXEL_MEAN": Setting(_several(number(-1e4, 1e4), 3, 3), (103.53, 116.28, 123.675)),
    "MODEL.PIXEL_STD": Setting(_several(number(1e-4, 1e4), 3, 3), (1.0, 1.0, 1.0)),
    "MODEL.ANCHOR_GENERATOR.SIZES": Setting(_sizes, ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": Setting(_sizes, ((0.5, 1.0, 2.0),)),
    "MODEL.ANCHOR_GENERATOR.OFFSET": Setting(number(0, 0.999), 0.0),
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": Setting(number(0, MAX_SIDE), 0.0),
    "MODEL.RPN.BBOX_REG_WEIGHTS": Setting(_weights, (1.0, 1.0, 1.0, 1.0)),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": Setting(whole(1, MAX_COUNT), 1000),
    "MODEL.RPN.POST_NMS_TOPK_TEST": Setting(whole(1, MAX_COUNT), 1000),
    "MODEL.RPN.NMS_THRESH": Setting(_fraction, 0.7),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": Setting(_fraction, 0.05),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": Setting(_fraction, 0.5),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": Setting(_weights, (10.0, 10.0, 5.0, 5.0)),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": Setting(one_of("ROIAlignV2", "ROIAlign"), "ROIAlignV2"),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": Setting(one_of("ROIAlignV2", "ROIAlign"), "ROIAlignV2"),
    "TEST.DETECTIONS_PER_IMAGE": Setting(whole(1, MAX_COUNT), 100),
}
"""Of the settings of a model with a feature pyramid: those of Base-RCNN-FPN.yaml and of config/defaults.py."""
