"""A head run by cv2.dnn in pieces: what it does slowly on many small maps is done on sheets of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt

import numpy as np

from mrcnn_cv.engines import Float
from mrcnn_cv.engines.choices import Backend
from mrcnn_cv.engines.opencv_net import CvNet
from mrcnn_cv.engines.small_maps import SMALLEST_FAST_SIDE, Piece


class CvPieces:
    """The pieces of a stage, one behind the other."""

    def __init__(self, pieces: Sequence[Piece], outputs: Sequence[str], backend: Backend) -> None:
        self._outputs = outputs
        self._pieces = [
            (piece.stage, CvNet(piece.stage, backend), Sheet() if piece.on_sheet else None) for piece in pieces
        ]

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `Net.run`."""
        values = dict(inputs)
        for stage, net, sheet in self._pieces:
            given = {name: values[name] for name in stage.inputs}
            if sheet is None:
                values |= zip(stage.outputs, net.run(given), strict=True)
                continue
            ((name, maps),) = given.items()
            (result,) = net.run({name: sheet.lay(maps)})
            values[stage.outputs[0]] = sheet.pick(result, maps.shape)
        return [values[name] for name in self._outputs]

    def devices(self) -> set[str]:
        """See `Net.devices`."""
        return set().union(*(net.devices() for _, net, _ in self._pieces))


class Sheet:
    """Maps side by side on one, each with a row and a column of zeros behind it."""

    def __init__(self) -> None:
        self._sheet = np.zeros((1, 0, 0, 0), np.float32)

    def lay(self, maps: Float) -> Float:
        """(1, C, H, W) from maps (N, C, h, w); the array is used again for the next ones of that shape."""
        count, channels, height, width = maps.shape
        rows, columns = _grid(count, height, width)
        shape = (1, channels, rows * (height + 1), columns * (width + 1))
        if self._sheet.shape != shape:
            self._sheet = np.zeros(shape, np.float32)
        cells = _cells(self._sheet, (rows, columns), (height, width))
        full, rest = divmod(count, columns)
        cells[:full] = maps[: full * columns].reshape(full, columns, *maps.shape[1:])
        if rest:
            cells[full, :rest] = maps[full * columns :]
        return self._sheet

    def pick(self, sheet: Float, shape: tuple[int, ...]) -> Float:
        """(N, C', h, w) from a result (1, C', H, W), for maps of `shape` that were laid out."""
        count, _, height, width = shape
        rows, columns = _grid(count, height, width)
        cells = _cells(sheet, (rows, columns), (height, width))
        picked = np.ascontiguousarray(cells[: ceil(count / columns)])
        return picked.reshape(-1, *picked.shape[2:])[:count]


def _grid(count: int, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of a sheet that is about square and large enough to be fast."""
    columns = max(ceil(sqrt(count)), -(-SMALLEST_FAST_SIDE // (width + 1)))
    return max(ceil(count / columns), -(-SMALLEST_FAST_SIDE // (height + 1))), columns


def _cells(sheet: Float, grid: tuple[int, int], size: tuple[int, int]) -> Float:
    """A view (rows, columns, C, h, w) of the maps on a sheet."""
    (rows, columns), (height, width) = grid, size
    cells = sheet.reshape(sheet.shape[1], rows, height + 1, columns, width + 1)
    view: Float = cells[:, :, :height, :, :width].transpose(1, 3, 0, 2, 4)
    return view
