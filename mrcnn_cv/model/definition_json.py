"""model.json: every number of a ModelDefinition, its labels, and which files hold its nets. Read strictly.

The document is described by `schemas/model.schema.json`. Fields are those of the dataclasses in `definition`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from mrcnn_cv.errors import ModelFileError, brief
from mrcnn_cv.graph.ir import NetGraph
from mrcnn_cv.model.definition import ModelDefinition, NmsSpec
from mrcnn_cv.model.label_files import clean
from mrcnn_cv.util.files import UnfitFile, read_bytes
from mrcnn_cv.util.json import dumps
from mrcnn_cv.util.version import __version__

MODEL_JSON = "model.json"
FORMAT = "mrcnn-cv model"
SCHEMA_VERSION = 1

NET_FILES = {"trunk": "backbone.onnx", "box_head": "box_head.onnx", "mask_head": "mask_head.onnx"}
"""Fields of a ModelDefinition that hold a net, and the file of each: fixed names, which no document can change."""

MAX_BYTES = 8 << 20
MAX_ITEMS = 1 << 12
"""Of a list; the longest are the anchors of a cell."""

MAX_TEXT = 2000
MOST_DIGITS = 1 << 53

_HEAD = re.compile(rb'"format"\s*:\s*"' + re.escape(FORMAT.encode()) + rb'"')
_KEYS = {
    "argmax_class_only": "best_only",
    "bbox_xform_clip": "max_growth",
    "epsilon": "nudge",
    "mask_block_size": "interleaved",
    "min_box_size": "min_side",
    "per_level": "by_level",
    "pre_nms_top_n": "max_candidates",
    "relative_to_image": "of_image",
    "round_boxes": "whole_pixels",
    "score_activation": "score_conversion",
    "truncate_pixels": "whole_values",
}
"""Fields that have another name in the document: its first version keeps its names."""

_MINUS_INFINITY = {(NmsSpec, "score_threshold")}
"""Numbers that JSON does not have: null stands for minus infinity there."""


@dataclass(frozen=True)
class NetFile:
    """A file beside model.json: its length, and the SHA-256 of its bytes in hexadecimal digits."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ModelDocument:
    """What a model.json says. definition: its nets are without layers. labels: by id. files: by field of the net."""

    definition: ModelDefinition
    labels: Mapping[int, str]
    files: Mapping[str, NetFile]


def json_key(field: str) -> str:
    """What a field of a definition is called in JSON."""
    return _KEYS.get(field, field)


def is_model_json(data: bytes) -> bool:
    """Whether a file is a model.json of ours, whole or not."""
    return _HEAD.search(data) is not None


def holds_model_json(path: Path) -> bool:
    """Whether there is a file at `path`, and it is a model.json of ours."""
    try:
        return os.path.isfile(path) and is_model_json(read_bytes(path, FORMAT, MAX_BYTES))
    except (OSError, ValueError):
        return False


def write_document(document: ModelDocument) -> bytes:
    """The document as JSON; the same bytes for the same document."""
    definition = document.definition
    nets = {NET_FILES[field]: {"bytes": file.bytes, "sha256": file.sha256} for field, file in document.files.items()}
    value = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "written_by": f"mrcnn-cv {__version__}",
        "nets": nets,
        "labels": {str(number): name for number, name in sorted(document.labels.items())},
        "definition": _encoded(definition),
    }
    return (dumps(value, indent=2) + "\n").encode()


def read_document(path: Path) -> ModelDocument:
    """The document of a file; ModelFileError, one sentence with the path, for one that is none.

    Whether numbers are such that a model can be run with them is for `validate.check_model`.
    """
    try:
        data = read_bytes(path, "the description of an exported model", MAX_BYTES)
    except UnfitFile as error:
        raise ModelFileError(f"{path} {error}") from error
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error
    try:
        return parse_document(data)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error


def parse_document(data: bytes) -> ModelDocument:
    """The same for bytes; messages are without the path."""
    if len(data) > MAX_BYTES:
        raise ModelFileError(f"has {len(data)} bytes, where at most {MAX_BYTES} are possible")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"is not valid JSON ({brief(error)}): export the model again") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ModelFileError(f"is not the description of an exported model: its 'format' is not '{FORMAT}'")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise ModelFileError(
            f"has the schema_version {_shown(value.get('schema_version'))}, and {SCHEMA_VERSION} is known here: update"
            " mrcnn-cv, or export the model again"
        )
    _check_names(value, ("format", "schema_version", "written_by", "nets", "labels", "definition"), "")
    _decoded(str, value["written_by"], "written_by")
    files = _files(value["nets"])
    definition = _decoded(ModelDefinition, value["definition"], "definition")
    assert isinstance(definition, ModelDefinition)
    if (definition.mask is None) != ("mask_head" not in files):
        raise ModelFileError(
            f"has a 'definition.mask' without {NET_FILES['mask_head']} among its 'nets', or the reverse"
        )
    empty = NetGraph((), (), ())
    definition = replace(definition, mask_head=empty if "mask_head" in files else None)
    return ModelDocument(definition, _labels(value["labels"], definition.class_count), files)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _files(value: Any) -> dict[str, NetFile]:
    required = [NET_FILES["trunk"], NET_FILES["box_head"]]
    _check_names(value, required, "nets", optional=(NET_FILES["mask_head"],))
    found = {}
    for field, name in NET_FILES.items():
        if name in value:
            found[field] = _decoded(NetFile, value[name], f"nets.{name}")
            if not re.fullmatch("[0-9a-f]{64}", found[field].sha256):
                _wrong(f"nets.{name}.sha256", found[field].sha256, "64 hexadecimal digits")
    return found


def _labels(value: Any, class_count: int) -> dict[int, str]:
    if not isinstance(value, dict):
        _wrong("labels", value, "an object of ids and names")
    found: dict[int, str] = {}
    for key, name in value.items():
        if not re.fullmatch("[1-9][0-9]{0,5}", key) or int(key) > class_count:
            _wrong("labels", key, f"ids from 1 to {class_count}")
        found[int(key)] = clean(_decoded(str, name, f"labels.{key}"))
    return {number: name for number, name in found.items() if name}


def _encoded(value: Any) -> Any:
    """A dataclass, or a value of one of its fields, as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for name in _hints(type(value)):
            own = getattr(value, name)
            minus_infinity = (type(value), name) in _MINUS_INFINITY and own == -math.inf
            found[json_key(name)] = None if minus_infinity else _encoded(own)
        return found
    if isinstance(value, tuple):
        return [_encoded(item) for item in value]
    # Numbers may be numpy's, which JSON does not know.
    return value if value is None or isinstance(value, bool | int | str) else float(value)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Fields and their types; nets are no part of a document."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.name not in NET_FILES}


def _decoded(hint: Any, value: Any, name: str) -> Any:
    """The value of a field of the type `hint`; ModelFileError that names it where it is of another."""
    if hint is float:
        return _number(value, name)
    if hint in _PLAIN:
        kind, what, fits = _PLAIN[hint]
        if type(value) is not kind or not fits(value):
            _wrong(name, value, what)
        return value
    if get_origin(hint) is Literal:
        if value not in get_args(hint) or not isinstance(value, str):
            _wrong(name, value, f"one of {', '.join(get_args(hint))}")
        return value
    if get_origin(hint) is UnionType:
        (other,) = (each for each in get_args(hint) if each is not NoneType)
        return None if value is None else _decoded(other, value, name)
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint), value, name)
    return _object_of(hint, value, name)


_PLAIN: dict[Any, tuple[type, str, Any]] = {
    bool: (bool, "true or false", lambda value: True),
    int: (int, "a whole number", lambda value: abs(value) <= MOST_DIGITS),
    str: (str, f"a text of at most {MAX_TEXT} characters", lambda value: len(value) <= MAX_TEXT),
}


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _wrong(name, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _wrong(name, value, "a finite number")
    return number


def _tuple(hints: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        _wrong(name, value, "a list")
    if hints[-1] is Ellipsis:
        if len(value) > MAX_ITEMS:
            raise ModelFileError(f"has a list of {len(value)} in '{name}', where at most {MAX_ITEMS} are possible")
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        _wrong(name, value, f"a list of {len(hints)}")
    pairs = zip(hints, value, strict=True)
    return tuple(_decoded(hint, item, f"{name}[{index}]") for index, (hint, item) in enumerate(pairs))


def _object_of(kind: Any, value: Any, name: str) -> Any:
    hints = _hints(kind)
    _check_names(value, [json_key(field) for field in hints], name)
    found: dict[str, Any] = {}
    for field, hint in hints.items():
        key = json_key(field)
        minus_infinity = (kind, field) in _MINUS_INFINITY and value[key] is None
        found[field] = -math.inf if minus_infinity else _decoded(hint, value[key], f"{name}.{key}")
    if kind is ModelDefinition:
        empty = NetGraph((), (), ())
        found |= {"trunk": empty, "box_head": empty, "mask_head": None}
    return kind(**found)


def _check_names(value: Any, names: Any, inside: str, optional: tuple[str, ...] = ()) -> None:
    """ModelFileError where something is no object, or one that has not just these fields."""
    if not isinstance(value, dict):
        _wrong(inside, value, "an object")
    dot = f"{inside}." if inside else ""
    for name in names:
        if name not in value:
            raise ModelFileError(f"lacks the field '{dot}{name}'")
    for name in value:
        if name not in names and name not in optional:
            raise ModelFileError(f"has a field '{dot}{name[:80]}' that is not known")


def _wrong(name: str, value: Any, wanted: str) -> NoReturn:
    raise ModelFileError(f"says {_shown(value)} for '{name}', which must be {wanted}")


def _shown(value: Any) -> str:
    """A value of a file as a message may show it, however long it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    try:
        return json.dumps(value)[:60]
    except ValueError:
        # Python spells no number of thousands of digits.
        return "a huge number"
