"""Kinds of option values on top of click's own: what they accept, and what a shell completes.

A message says what the value must be; `format_click_error` puts the option's name in front of it, and words those of
click's IntRange and Choice.
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

MAX_SECONDS = 1e9
MAX_WORKERS = 256

MIN_RATE = 1e-5
"""A frame a day is 1.2e-5; of much longer ones the times do not fit into a video."""

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


class Fraction(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A number from 0 to 1; None for the word `model`, where that is allowed. Click's FloatRange lets NaN pass."""

    name = "fraction"

    def __init__(self, *, or_model: bool = False) -> None:
        self.or_model = or_model

    def convert(self, value: Any, parameter: Parameter, context: Context) -> float | None:
        if self.or_model and value == "model":
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number <= 1:
            word = " or 'model'" if self.or_model else ""
            self.fail(f"must be a number from 0 to 1{word}, not '{value}'", parameter, context)
        return number


class Workers(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A number of workers; None for the word `auto`."""

    name = "n"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> int | None:
        return None if value == "auto" else click.IntRange(1, MAX_WORKERS).convert(value, parameter, context)


class CommaList(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Comma-separated words as a tuple.

    choices    the only words there are; None: any
    is_plugin  whether another package brings a word that is none of the choices
    alone      a choice that goes with no other
    item       the type of each word
    """

    name = "names"

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

    def convert(self, value: Any, parameter: Parameter, context: Context) -> str:
        if not value:
            self.fail("is empty: give a path", parameter, context)
        if "\0" in str(value):
            # A shell cannot give one, but a file of options can.
            self.fail("holds a zero byte, which no path can: take it out", parameter, context)
        return str(value)

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        return [CompletionItem(incomplete, type=self.kind)]


class Seconds(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Seconds from the start of a video: 90, 90.5, 1:30, 0:01:30.5."""

    name = "time"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> float:
        if (clock := _CLOCK.fullmatch(str(value).strip())) and float(clock[3]) < 60:
            seconds = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
        else:
            try:
                seconds = float(value)
            except ValueError:
                seconds = math.nan
        if not 0 <= seconds <= MAX_SECONDS:
            self.fail(f"must be seconds or h:mm:ss, for example 90 or 1:30, not '{value}'", parameter, context)
        return seconds


class FrameRate(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Frames per second: from about one a day."""

    name = "rate"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> float:
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not MIN_RATE <= rate <= 100_000:
            self.fail(
                f"must be a number of frames per second above 0 (at least 0.00001), not '{value}'", parameter, context
            )
        return rate


class Size(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """(width, height) in pixels: 1280x720."""

    name = "size"

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
