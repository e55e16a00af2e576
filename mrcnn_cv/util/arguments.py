"""Arguments of the public API against their annotations: a value of a wrong type is refused where it comes in."""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
import reprlib
import sys
import types
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin

import numpy as np

from mrcnn_cv.errors import UsageError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_PLAIN: Mapping[type, tuple[str, str]] = {
    bool: ("True or False", "True or False"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    os.PathLike: ("a path", "paths"),
    Path: ("a path", "paths"),
}
"""What a value must be, and what several must be."""


def typed(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorates a public function: UsageError for an argument of another type than its annotation says.

    Annotations that say more than this module knows (arrays, callables) are left to the function.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checking(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            # Python's own error names the function.
            return function(*args, **kwargs)
        hints = _hints_of(function)
        for name, value in given.items():
            if name in hints:
                check(name, value, hints[name])
        return function(*args, **kwargs)

    return checking


def check_fields(options: Any) -> None:
    """UsageError where a field of a dataclass holds a value of another type than its annotation says.

    A list in the place of a tuple becomes one, for options are immutable, and numpy's numbers become Python's, since a
    run writes its options down as JSON.
    """
    hints = _hints_of(cast(Hashable, type(options)))
    for field in fields(options):
        value = getattr(options, field.name)
        hint = hints.get(field.name)
        plain = _plain(value)
        if isinstance(plain, list) and tuple in (get_origin(each) for each in _choices(hint)):
            plain = tuple(plain)
        if plain is not value:
            value = plain
            object.__setattr__(options, field.name, value)
        if hint is not None:
            check(field.name, value, hint)


def _plain(value: Any) -> Any:
    """The value with Python's numbers for numpy's, also inside of a list or tuple; np.bool_ is none."""
    if isinstance(value, np.integer | np.floating):
        return value.item()
    if isinstance(value, list | tuple) and any(isinstance(each, np.integer | np.floating) for each in value):
        return type(value)(map(_plain, value))
    return value


def check(name: str, value: Any, hint: Any) -> None:
    """UsageError where a value is not what a type hint says."""
    choices = _choices(hint)
    if not any(_is(value, choice) for choice in choices):
        wanted = " or ".join(dict.fromkeys(_described(choice) for choice in choices))
        raise UsageError(f"{name} must be {wanted}, not {shown(value)}")


def check_range(name: str, value: float | None, least: float, most: float = math.inf) -> None:
    """UsageError for a number out of range; None, where the type allows it, is none."""
    if value is not None and not least <= value <= most:
        limits = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise UsageError(f"{name} must be {limits}, not {shown(value)}")


def check_array(name: str, value: Any, shape: tuple[int | None, ...]) -> None:
    """UsageError for anything but an array of numbers of this shape; None: any length."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        found = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else shown(value)
        raise UsageError(f"{name} must be a numpy array of numbers, not {found}")
    fits = [wanted in (None, side) for wanted, side in zip(shape, value.shape, strict=False)]
    if value.ndim != len(shape) or not all(fits):
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise UsageError(f"{name} must be of shape ({wanted}), not {value.shape}")


def shown(value: Any) -> str:
    """A value in a sentence, however long it is; with its type where that is not plain to see."""
    text = reprlib.repr(value)
    plain = value is None or isinstance(value, bool | int | float | str)
    return text if plain else f"{text} ({type(value).__name__})"


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, numpy's among them; True and False are none, nor is an array of one."""
    if isinstance(value, bool | np.bool_ | np.ndarray):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def _is(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint) if isinstance(value, str) else False
    if origin is tuple:
        return isinstance(value, tuple) and _are(value, get_args(hint))
    if origin in (frozenset, set):
        return isinstance(value, Collection) and not isinstance(value, str) and _all(value, get_args(hint)[0])
    if _is_sequence(origin):
        return isinstance(value, Collection) and not isinstance(value, str | bytes) and _all(value, get_args(hint)[0])
    if origin is os.PathLike:
        return isinstance(value, os.PathLike)
    if hint is type(None):
        return value is None
    if hint is int:
        return is_whole(value)
    if hint is float:
        return _is_number(value)
    # What is not known here is not checked here.
    return isinstance(value, hint) if isinstance(hint, type) and origin is None else True


def _are(values: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return _all(values, hints[0])
    return len(values) == len(hints) and all(map(_fits, values, hints))


def _all(values: Iterable[Any], hint: Any) -> bool:
    return all(_fits(value, hint) for value in values)


def _fits(value: Any, hint: Any) -> bool:
    return any(_is(value, choice) for choice in _choices(hint))


def _is_sequence(origin: Any) -> bool:
    return getattr(origin, "__module__", "") == "collections.abc" and origin.__name__ in ("Sequence", "Collection")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | str | np.bool_ | np.ndarray):
        return False
    try:
        return not math.isnan(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _choices(hint: Any) -> tuple[Any, ...]:
    """The members of a union; a hint alone is one."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(choice for member in get_args(hint) for choice in _choices(member))
    return (hint,)


def _described(hint: Any) -> str:
    """What a hint wants, for people."""
    origin = get_origin(hint)
    if origin is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if origin is tuple and (len(get_args(hint)) != 2 or get_args(hint)[1] is not Ellipsis):
        return f"a tuple of {' and '.join(_any_of(each) for each in get_args(hint))}"
    if origin in (tuple, frozenset, set) or _is_sequence(origin):
        kind = "set" if origin in (frozenset, set) else "list or tuple"
        items = dict.fromkeys(
            _PLAIN.get(get_origin(each) or each, ("", str(each)))[1] for each in _choices(get_args(hint)[0])
        )
        return f"a {kind} of {' or '.join(items)}"
    if hint is type(None):
        return "None"
    return _PLAIN.get(origin or hint, (f"of type {getattr(hint, '__name__', hint)}", ""))[0]


def _any_of(hint: Any) -> str:
    return " or ".join(dict.fromkeys(_described(choice) for choice in _choices(hint)))


@functools.cache
def _hints_of(owner: Any) -> Mapping[str, Any]:
    """The annotations of a function or class by name, without those that name what is imported for checkers alone."""
    found: dict[str, Any] = {}
    for each in reversed(owner.__mro__) if isinstance(owner, type) else (owner,):
        annotations = vars(each).get("__annotations__", {}) if isinstance(each, type) else each.__annotations__
        names = vars(sys.modules[each.__module__])
        found |= {name: _evaluated(annotation, names) for name, annotation in annotations.items()}
    return {name: hint for name, hint in found.items() if hint is not None}


def _evaluated(annotation: Any, names: Mapping[str, Any]) -> Any:
    """What an annotation, as a rule a text of our own source, means; None where that cannot be told here."""
    try:
        return eval(annotation, dict(names)) if isinstance(annotation, str) else annotation
    except NameError:
        return None
