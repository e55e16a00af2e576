"""What several sets of instances have in common, and their fields put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import UsageError

Value = TypeVar("Value")


def shared(values: Sequence[Value]) -> Value | None:
    """What all are; None where they differ."""
    return values[0] if all(value == values[0] for value in values) else None


def sums(timings: Sequence[dict[str, float]]) -> dict[str, float]:
    """The milliseconds of each step, added up."""
    names = dict.fromkeys(name for each in timings for name in each)
    return {name: sum(each.get(name, 0.0) for each in timings) for name in names}


def all_or_none(values: Sequence[Value | None], what: str) -> list[Value] | None:
    """All of them; None where all are; UsageError where some are."""
    given = [value for value in values if value is not None]
    if given and len(given) < len(values):
        raise UsageError(f"instances with and without {what} cannot be joined")
    return given or None


def joined(arrays: Sequence[NDArray[Any] | None], what: str, order: NDArray[np.intp]) -> NDArray[Any] | None:
    """Arrays behind each other, in an order of all their rows; None where all are."""
    given = all_or_none(arrays, what)
    if given is None:
        return None
    if len({array.shape[1:] for array in given}) > 1:
        raise UsageError(f"instances with {what} of different sizes cannot be joined")
    return np.concatenate(given)[order]
