"""Kinds of option values on top of click's own: what they accept, and what a shell completes.

A message says what the value must be; `format_click_error` puts the option's name in front of it, and words those of
click's IntRange and Choice. `metavar` stands for the value in --help.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import CompletionItem

Parameter = click.Parameter | None
Context = click.Context | None

_CLOCK = re.compile(r"(?:(\d{1,5}):)?(\d{1,5}):(\d{1,2}(?:\.\d+)?)")
_SIZE = re.compile(r"([1-9]\d{0,4})[x×]([1-9]\d{0,4})", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:(\[[0-9a-f:.]+\]|[^:\s]+):)?(\d{1,5})", re.IGNORECASE)

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


class Number(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A number in a range, in which NaN is not (click's FloatRange lets it pass).

    what  it must be, for a message
    word  which stands for None
    """

    name = "number"

    def __init__(self, metavar: str, minimum: float, maximum: float, what: str, *, word: str | None = None) -> None:
        self.metavar, self.minimum, self.maximum, self.what, self.word = metavar, minimum, maximum, what, word

    def convert(self, value: Any, parameter: Parameter, context: Context) -> float | None:
        if value == self.word:
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not self.minimum <= number <= self.maximum:
            self.fail(f"must be {self.what}, not '{value}'", parameter, context)
        return number


class Time(Number):
    """Seconds from the start of a video: 90, 90.5, 1:30, 0:01:30.5."""

    def convert(self, value: Any, parameter: Parameter, context: Context) -> float | None:
        clock = _CLOCK.fullmatch(str(value).strip())
        if clock and float(clock[3]) < 60:
            value = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
        return super().convert(value, parameter, context)


FRACTION = Number("FRACTION", 0, 1, "a number from 0 to 1")
FRACTION_OR_MODEL = Number("FRACTION", 0, 1, "a number from 0 to 1 or 'model'", word="model")
# A frame a day is 1.2e-5 per second; of much longer ones the times do not fit into a video.
FRAME_RATE = Number("RATE", 1e-5, 100_000, "a number of frames per second above 0 (at least 0.00001)")
TIME = Time("TIME", 0, 1e9, "seconds or h:mm:ss, for example 90 or 1:30")


class Workers(click.IntRange):
    """A number of workers; None for the word `auto`."""

    def convert(self, value: Any, parameter: Parameter, context: Context) -> Any:
        return None if value == "auto" else super().convert(value, parameter, context)


class CommaList(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Comma-separated words as a tuple.

    choices    the only words there are; None: any
    is_plugin  whether another package brings a word that is none of the choices
    alone      a choice that goes with no other
    item       the type of each word
    """

    name = "names"
    metavar = "NAMES"

    def __init__(
        self,
        choices: Sequence[str] | None = None,
        alone: str | None = None,
        item: click.ParamType | None = None,  # type: ignore[type-arg, unused-ignore]
        is_plugin: IsPlugin = lambda word: False,
    ) -> None:
        self.choices, self.alone, self.item, self.is_plugin = choices, alone, item, is_plugin

    def convert(self, value: Any, parameter: Parameter, context: Context) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        if not words:
            self.fail("is empty: give names, comma-separated", parameter, context)
        if self.choices is not None:
            words = [word.lower() for word in words]
            for word in words:
                if word not in self.choices and not self.is_plugin(word):
                    self.fail(unknown_choice(word, self.choices), parameter, context)
        if self.alone in words and len(set(words)) > 1:
            self.fail(f"takes either '{self.alone}' or something else, not both", parameter, context)
        if self.item is None:
            return tuple(dict.fromkeys(words))
        return tuple(dict.fromkeys(self.item.convert(word, parameter, context) for word in words))

    def split_envvar_value(self, value: str) -> list[str]:
        """The whole value: names may hold spaces, at which click would cut."""
        return [value]

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        before, comma, begun = incomplete.rpartition(",")
        return [CompletionItem(before + comma + word) for word in self.choices or () if word.startswith(begun)]


class PathText(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A path as it was given; `kind` ("file" or "dir") is what a shell completes."""

    name = "path"

    def __init__(self, kind: str = "file") -> None:
        self.kind = kind
        self.metavar = "DIR" if kind == "dir" else "FILE"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> str:
        if not value:
            self.fail("is empty: give a path", parameter, context)
        if "\0" in str(value):
            # A shell cannot give one, but a file of options can.
            self.fail("holds a zero byte, which no path can: take it out", parameter, context)
        return str(value)

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        return [CompletionItem(incomplete, type=self.kind)]


class Size(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """(width, height) in pixels: 1280x720."""

    name = "size"
    metavar = "WxH"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"must be a size in pixels, for example 1280x720, not '{value}'", parameter, context)
        return int(match[1]), int(match[2])


class HostPort(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """(host, port): 8080, 0.0.0.0:8080, [::1]:8080."""

    name = "address"
    metavar = "[HOST:]PORT"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        match = _ADDRESS.fullmatch(str(value).strip())
        port = int(match[2]) if match else -1
        if match is None or "\0" in str(value) or not 0 <= port <= 65_535:
            self.fail(f"must be PORT or HOST:PORT, for example 8080 or 0.0.0.0:8080, not '{value}'", parameter, context)
        return (match[1] or "127.0.0.1").strip("[]"), port


def unknown_choice(word: str, choices: Sequence[str]) -> str:
    """What is wrong with a word that is none of the choices, and which one may be meant."""
    near = get_close_matches(word.lower(), choices, n=1, cutoff=0.7)
    hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(choices)}"
    return f"does not know '{word}': {hint}"
