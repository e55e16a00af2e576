"""Values of a model's config: how each is checked, and how a file of them is read. What they mean is the families'."""

from __future__ import annotations

import math
import os
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.util import files

MAX_BYTES = 1 << 20

MAX_TOML_BYTES = 1 << 14
"""Python's reader of TOML takes the square of a key's dots in memory."""

Values = dict[str, Any]
Check = Callable[[Any], Any]
Value = TypeVar("Value")


class Setting(NamedTuple):
    """How a value is checked (ValueError says what it must be), and the default of the code that trained the model."""

    check: Check
    default: Any


@dataclass(frozen=True)
class Config:
    """What a config file says of the settings that matter here. incomplete: it builds on another file."""

    path: Path | None = None
    values: Values = field(default_factory=dict)
    incomplete: bool = False


def find_beside(model: Path, stems: Iterable[str], suffixes: Iterable[str]) -> Path | None:
    """The first of some files that is in the folder of a model."""
    names = [f"{stem}{suffix}" for stem in stems for suffix in suffixes]
    return next((model.parent / name for name in names if os.path.isfile(model.parent / name)), None)


def given_or_beside(
    given: Path | None, beside: Path | None, read: Callable[[Path], Value], nothing: Value
) -> tuple[Value, list[str]]:
    """(the config that the user gave, or else the one beside the model, warnings); only a given one must be good."""
    path = given or beside
    try:
        return (nothing if path is None else read(path)), []
    except ModelFileError as error:
        if given is not None:
            raise
        return nothing, [f"{error}; it is not used"]


def resolve_settings(
    settings: Mapping[str, Setting], from_graph: Values, config: Config, what: str
) -> tuple[Values, list[str], list[str]]:
    """(values, warnings, names of the values that are assumed): the graph's own, else the config's, else the default.

    what: the graph in a sentence.
    """
    values = {name: setting.default for name, setting in settings.items()} | config.values | from_graph
    values = {name: values[name] for name in settings}
    warnings = [
        f"{config.path} disagrees with the {what} about {name}: the {what}'s {shown(from_graph[name])} is used, not the"
        f" config's {shown(config.values[name])}"
        for name in settings
        if name in from_graph and name in config.values and not same(config.values[name], from_graph[name])
    ]
    return values, warnings, [name for name in settings if name not in from_graph and name not in config.values]


def read_text(path: Path, what: str) -> str:
    """The text of a config; `what` says in a ModelFileError what the file should be."""
    try:
        return files.read_text(path, what, MAX_BYTES)
    except files.UnfitFile as error:
        raise ModelFileError(f"{path} {error}") from error
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read as {what}: {error}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """A TOML table; ValueError, part of a sentence, for a text that is none or that nobody has written by hand."""
    if len(text) > MAX_TOML_BYTES:
        raise ValueError(f"it has more than {MAX_TOML_BYTES} characters")
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def quoted(value: Any) -> str:
    """A value of a file as a message may show it, however long, deep or endless it is."""
    try:
        return reprlib.repr(value)[:60]
    except ValueError:
        # Python spells no number of thousands of digits.
        return "a huge number"


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal but for rounding."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-7)
    return bool(one == other)


def shown(value: Any) -> str:
    """A value in a sentence."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def whole(least: int, most: int) -> Callable[[Any], int]:
    """A check for a whole number, however it is written (8.0)."""

    def checked(value: Any) -> int:
        wanted = f"a whole number from {least} to {most}"
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(wanted)
        if value != int(value):
            raise ValueError(wanted)
        return int(value)

    return checked


def number(least: float, most: float) -> Callable[[Any], float]:
    """A check for a number."""

    def checked(value: Any) -> float:
        # What is not a number compares as false.
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return float(value)

    return checked


def several(check: Check, least: int, most: int) -> Callable[[Any], tuple[Any, ...]]:
    """A check for a list of `least` to `most` values that pass `check`."""

    def checked(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            raise ValueError(f"a list of {least if least == most else f'{least} to {most}'}")
        try:
            return tuple(check(item) for item in value)
        except ValueError as error:
            raise ValueError(f"a list of which each item is {error}") from error

    return checked


def one_of(*names: str) -> Callable[[Any], str]:
    """A check for one of a few words."""

    def checked(value: Any) -> str:
        if value not in names:
            raise ValueError(f"{', '.join(names[:-1])} or {names[-1]}")
        return str(value)

    return checked
