"""Kinds of option values on top of click's own: what they accept, and what a shell completes.

A message says what the value must be; `format_click_error` puts the option's name in front of it, and words those of
click's IntRange and Choice. `metavar` stands for the value in --help.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

Parameter = click.Parameter | None
Context = click.Context | None

_CLOCK = re.compile(r"(?:(\d{1,5}):)?(\d{1,5}):([0-5]?\d(?:\.\d+)?)")
_SIZE = re.compile(r"([1-9]\d{0,4})[x×]([1-9]\d{0,4})", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:(\[[0-9a-f:.]+\]|[^:\s\0]+):)?(\d{1,5})", re.IGNORECASE)

IsPlugin = Callable[[str], bool]


def is_engine(word: str) -> bool:
    """Whether another package brings an engine of this name."""
    from mrcnn_cv.engines.registry import backend_named

    return backend_named(word) is not None


def is_format(word: str) -> bool:
    """Whether another package brings an output format of this name."""
    from mrcnn_cv.outputs.registry import FORMATS

    return FORMATS.knows(word)


class PluginChoice(click.Choice):  # type: ignore[type-arg, unused-ignore]
    """One of a few words, in any case, or one that another package brings."""

    def __init__(self, choices: Sequence[str], is_plugin: IsPlugin) -> None:
        super().__init__(choices, case_sensitive=False)
        self.is_plugin = is_plugin

    def convert(self, value: Any, parameter: Parameter, context: Context) -> Any:
        word = str(value).lower()
        return word if word not in self.choices and self.is_plugin(word) else super().convert(value, parameter, context)


class Value(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """What a function makes of a text, or ValueError. what: it must be, for a message."""

    name = "value"

    def __init__(self, metavar: str, parse: Callable[[str], Any], what: str) -> None:
        self.metavar, self.parse, self.what = metavar, parse, what

    def convert(self, value: Any, parameter: Parameter, context: Context) -> Any:
        try:
            return self.parse(value.strip()) if isinstance(value, str) else value
        except ValueError:
            self.fail(f"must be {self.what}, not '{value}'", parameter, context)


def _number(text: str, minimum: float, maximum: float) -> float:
    """Click's FloatRange lets NaN pass."""
    number = float(text)
    if not minimum <= number <= maximum:
        raise ValueError(text)
    return number


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return match


def _workers(text: str) -> int | None:
    return None if text == "auto" else int(_number(str(int(text)), 1, 256))


def _seconds(text: str) -> float:
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        return _number(text, 0, 1e9)
    return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])


def _size(text: str) -> tuple[int, int]:
    match = _matched(_SIZE, text)
    return int(match[1]), int(match[2])


def _host_port(text: str) -> tuple[str, int]:
    match = _matched(_ADDRESS, text)
    return (match[1] or "127.0.0.1").strip("[]"), int(_number(match[2], 0, 65_535))


FRACTION = Value("FRACTION", lambda text: _number(text, 0, 1), "a number from 0 to 1")
FRACTION_OR_MODEL = Value(
    "FRACTION", lambda text: None if text == "model" else _number(text, 0, 1), "a number from 0 to 1 or 'model'"
)
# A frame a day is 1.2e-5 per second; of much longer ones the times do not fit into a video.
_RATE = "a number of frames per second above 0 (at least 0.00001)"
FRAME_RATE = Value("RATE", lambda text: _number(text, 1e-5, 100_000), _RATE)
TIME = Value("TIME", _seconds, "seconds or h:mm:ss, for example 90 or 1:30")
SIZE = Value("WxH", _size, "a size in pixels, for example 1280x720")
HOST_PORT = Value("[HOST:]PORT", _host_port, "PORT or HOST:PORT, for example 8080 or 0.0.0.0:8080")
WORKERS = Value("N", _workers, "a whole number from 1 to 256, or auto")


class CommaList(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Comma-separated words as a tuple. item: the type of each word; alone: a word that goes with no other."""

    name = "names"
    metavar = "NAMES"

    def __init__(
        self,
        item: click.ParamType = click.STRING,  # type: ignore[type-arg, unused-ignore]
        *,
        alone: str | None = None,
    ) -> None:
        self.item, self.alone = item, alone

    def convert(self, value: Any, parameter: Parameter, context: Context) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        if not words:
            self.fail("is empty: give names, comma-separated", parameter, context)
        items = tuple(dict.fromkeys(self.item.convert(word, parameter, context) for word in words))
        if self.alone in items and len(items) > 1:
            self.fail(f"takes either '{self.alone}' or something else, not both", parameter, context)
        return items

    def split_envvar_value(self, value: str) -> list[str]:
        """The whole value: names may hold spaces, at which click would cut."""
        return [value]

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        before, comma, begun = incomplete.rpartition(",")
        found = self.item.shell_complete(context, parameter, begun)
        return [CompletionItem(before + comma + each.value) for each in found]


class PathText(click.Path):
    """A path as it was given, of a file or a folder; click's own takes an empty one."""

    def __init__(self, *, is_folder: bool = False) -> None:
        super().__init__(file_okay=not is_folder)
        self.metavar = "DIR" if is_folder else "FILE"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> str:
        if not value:
            self.fail("is empty: give a path", parameter, context)
        if "\0" in str(value):
            # A shell cannot give one, but a file of options can.
            self.fail("holds a zero byte, which no path can: take it out", parameter, context)
        return str(value)
