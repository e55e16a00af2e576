"""Rows of parametrized tests: some for the fast suite, all of them for the suite `long`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

Row = Any


def sampled(rows: Iterable[Row], every: int = 4, always: Callable[[Row], bool] = lambda row: False) -> list[Row]:
    """The rows; of each `every` that are not `always` wanted, all but the first are marked long."""
    marked, number = [], 0
    for row in rows:
        is_quick = always(row) or number % every == 0
        number += not always(row)
        values = row if isinstance(row, tuple) else (row,)
        marked.append(row if is_quick else pytest.param(*values, marks=pytest.mark.long))
    return marked
