"""Kinds of option values: what they accept, what they say where they cannot, what a shell completes.

A message says what the option must be; `say.explain` puts the option's name in front of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import CompletionItem

Parameter = click.Parameter | None
Context = click.Context | None


IsPlugin = Callable[[str], bool]


def _no_plugin(word: str) -> bool:
    return False


def is_engine(word: str) -> bool:
    """Whether a package brings an engine of this name. It is looked for where the word is none of ours alone."""
    from mrcnn_cv.engines.registry import backend_named

    return backend_named(word) is not None


def is_format(word: str) -> bool:
    """Whether a package brings an output format of this name."""
    from mrcnn_cv.outputs.registry import FORMATS

    return FORMATS.knows(word)


class Value(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    name = "value"


class Fraction(Value):
    """A number from 0 to 1, or one of a few words that are kept as they are."""

    name = "fraction"

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(self, value: Any, parameter: Parameter, context: Context) -> float | str:
        if value in self.words:
            return str(value)
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number <= 1:
            words = "".join(f" or '{word}'" for word in self.words)
            self.fail(f"must be a number from 0 to 1{words}, not '{value}'", parameter, context)
        return number


class IntRange(Value):
    """A whole number from `minimum` to `maximum`."""

    name = "n"

    def __init__(self, minimum: int, maximum: int) -> None:
        self.minimum, self.maximum = minimum, maximum

    def convert(self, value: Any, parameter: Parameter, context: Context) -> int:
        try:
            number = int(value)
        except ValueError:
            number = self.minimum - 1
        if not self.minimum <= number <= self.maximum:
            self.fail(
                f"must be a whole number from {self.minimum} to {self.maximum}, not '{value}'", parameter, context
            )
        return number


class Workers(IntRange):
    """A number of workers, or "auto"."""

    def __init__(self) -> None:
        super().__init__(1, 256)

    def convert(self, value: Any, parameter: Parameter, context: Context) -> Any:
        return value if value == "auto" else super().convert(value, parameter, context)


class Choice(Value):
    """One of a few words, in any case. `plugin` says whether a package brings another one that can be chosen."""

    name = "name"

    def __init__(self, choices: Sequence[str], plugin: IsPlugin = _no_plugin) -> None:
        self.choices, self.plugin = choices, plugin

    def convert(self, value: Any, parameter: Parameter, context: Context) -> str:
        word = str(value).strip().lower()
        if word not in self.choices and not self.plugin(word):
            self.fail(f"does not know '{value}': {_hint(word, self.choices)}", parameter, context)
        return word

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        return [CompletionItem(choice) for choice in self.choices if choice.startswith(incomplete)]


class CommaList(Value):
    """Comma-separated words as a tuple; any, or of a few choices. `alone` is a choice that goes with no other.

    plugin: whether a package brings a word that can be chosen as well.
    """

    name = "names"

    def __init__(
        self, choices: Sequence[str] | None = None, alone: str | None = None, plugin: IsPlugin = _no_plugin
    ) -> None:
        self.choices, self.alone, self.plugin = choices, alone, plugin

    def convert(self, value: Any, parameter: Parameter, context: Context) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        if not words:
            self.fail("is empty: give names, comma-separated", parameter, context)
        if self.choices is not None:
            words = [word.lower() for word in words]
            for word in words:
                if word not in self.choices and not self.plugin(word):
                    self.fail(f"does not know '{word}': {_hint(word, self.choices)}", parameter, context)
        if self.alone in words and len(set(words)) > 1:
            self.fail(f"takes either '{self.alone}' or something else, not both", parameter, context)
        return tuple(dict.fromkeys(words))

    def split_envvar_value(self, value: str) -> list[str]:
        """The whole value: names may hold spaces, at which click would cut."""
        return [value]

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        before, comma, begun = incomplete.rpartition(",")
        return [CompletionItem(before + comma + word) for word in self.choices or () if word.startswith(begun)]


class PathText(Value):
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


def _hint(word: str, choices: Sequence[str]) -> str:
    near = get_close_matches(word, choices, n=1, cutoff=0.7)
    return f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(choices)}"
