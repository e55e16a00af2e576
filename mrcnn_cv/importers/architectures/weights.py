"""The arrays of a weights file under the names by which nets are built here, whatever its framework calls them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError

Array = NDArray[Any]


class NamedWeights:
    """Name → array; remembers which were asked for, since one that nobody asks for means another architecture.

    Names are those of a residual network with a pyramid and heads: `stem.conv1`, `res2.0.conv1`, `res2.0.shortcut`,
    `fpn_lateral2`, `fpn_output2`, `rpn.conv1`, `rpn.logits`, `rpn.deltas`, `box.conv1`, `box.fc1`, `box.logits`,
    `box.deltas`, `mask.conv1`, `mask.deconv`, `mask.logits`; each with `.weight`, `.bias`, `.norm.weight` and so on.
    """

    def __init__(self, arrays: Mapping[str, Array], rename: Callable[[str], str | None]) -> None:
        """rename: the name here of one in the file, None: no net needs it. ModelFileError for two of one name."""
        self._arrays: dict[str, Array] = {}
        self._originals: dict[str, str] = {}
        self._taken: set[str] = set()
        for original, array in arrays.items():
            name = rename(original)
            if name is None:
                continue
            if name in self._arrays:
                raise ModelFileError(
                    f"holds '{self._originals[name]}' and '{original}', which are one layer under two names: save the"
                    " weights of one model alone"
                )
            self._arrays[name], self._originals[name] = array, original

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def original(self, name: str) -> str:
        """What the file calls it, for messages; the name itself where it is not there."""
        return self._originals.get(name, name)

    def take(self, name: str, axes: int | None = None) -> Array:
        """An array of floats that numpy computes with at once: a view of the file where its numbers are native.

        Raises ModelFileError where it is missing, holds no floats, or has another number of axes.
        """
        if name not in self._arrays:
            raise ModelFileError(f"has no '{name}', so it is not the model that its other weights belong to")
        self._taken.add(name)
        array = self._arrays[name]
        if array.dtype.kind != "f" or (axes is not None and array.ndim != axes) or 0 in array.shape:
            raise ModelFileError(
                f"holds '{self.original(name)}' as {array.dtype} of the shape {list(array.shape)}, which is no weight"
                " of that layer"
            )
        if not array.dtype.isnative or not array.flags.aligned:
            return array.astype(array.dtype.newbyteorder("="))
        return array

    def find(self, name: str, axes: int | None = None) -> Array | None:
        """The same; None where it is not there."""
        return self.take(name, axes) if name in self else None

    def numbers(self, pattern: str) -> list[int]:
        r"""Which whole numbers stand for `(\d+)` in the names that match, ascending."""
        compiled = re.compile(pattern)
        return sorted({int(match[1]) for name in self._arrays if (match := compiled.match(name))})

    def count(self, pattern: str) -> int:
        """How many there are, which count from 0 or 1 without a gap; ModelFileError for a gap."""
        found = self.numbers(pattern)
        if found and found != list(range(found[0], found[0] + len(found))):
            raise ModelFileError(f"has layers with the numbers {found}, between which some are missing")
        return len(found)

    def unused(self) -> list[str]:
        """What the file calls the arrays that nobody asked for, without counters of training."""
        return [self._originals[name] for name in self._arrays if name not in self._taken and not _counts(name)]


def _counts(name: str) -> bool:
    return name.endswith(".num_batches_tracked")


def first_rows(array: Array, rows: Iterable[int]) -> Array:
    """Some rows of a weight, in another order: a new array."""
    return array[np.fromiter(rows, np.intp)]
