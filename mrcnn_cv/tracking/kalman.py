"""Where boxes go: a Kalman filter for the centre and speed of many boxes at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.tracking.mask_iou import Boxes

_POSITION_NOISE = 0.05
"""Standard deviation of a measured centre, in sizes of the box."""
_FIRST_SPEED = 3.0
"""Standard deviation of the speed of a box that was seen once, in sizes per second."""
_UNREST = 1.0
"""How much a speed changes in a second, in sizes per second."""
_SIZE_GAIN = 0.5
"""How far the known width and height follow the measured ones."""


class KalmanBoxes:
    """T boxes in motion: each centre with a speed, each width and height as they were last.

    A centre is as uncertain as its box is large, so one variance in units of the size serves x and y.
    """

    def __init__(self) -> None:
        self.centers = np.zeros((0, 2))
        self.speeds = np.zeros((0, 2))
        self.sides = np.zeros((0, 2))
        # Of place, of place with speed, of speed.
        self._variances = np.zeros((0, 3))

    def __len__(self) -> int:
        return len(self.centers)

    def boxes(self) -> Boxes:
        """(T, 4): where the boxes are taken to be."""
        return np.hstack([self.centers - self.sides / 2, self.centers + self.sides / 2])

    def sizes(self) -> NDArray[np.float64]:
        """(T,) pixels: the side of a square as large as the box."""
        sizes: NDArray[np.float64] = np.sqrt(self.sides.prod(axis=1))
        return sizes

    def advance(self, seconds: float) -> None:
        """Move on by some time."""
        place, both, speed = self._variances.T
        unrest = _UNREST**2
        self.centers += self.speeds * seconds
        self._variances = np.stack(
            [
                place + 2 * seconds * both + seconds**2 * speed + unrest * seconds**3 / 3,
                both + seconds * speed + unrest * seconds**2 / 2,
                speed + unrest * seconds,
            ],
            axis=1,
        )

    def distances(self, boxes: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(T, M) twice: how far the centres of `boxes` (M, 4) are from the expected ones, in sizes of the box that is
        known and in standard deviations."""
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        pixels = np.linalg.norm(self.centers[:, np.newaxis] - centers, axis=2)
        away: NDArray[np.float64] = pixels / self.sizes()[:, np.newaxis]
        return away, away / np.sqrt(self._variances[:, :1] + _POSITION_NOISE**2)

    def correct(self, chosen: NDArray[np.intp], boxes: Boxes) -> None:
        """Take up that the boxes `chosen` were seen at `boxes`."""
        place, both, speed = self._variances[chosen].T
        sides = boxes[:, 2:] - boxes[:, :2]
        # A box that is suddenly much smaller or larger is partly hidden or comes out again: its centre says little.
        change = np.abs(np.log(sides / self.sides[chosen])).max(axis=1)
        noise = (_POSITION_NOISE + 0.5 * change) ** 2
        total = place + noise
        gain_place, gain_speed = place / total, both / total
        away = (boxes[:, :2] + boxes[:, 2:]) / 2 - self.centers[chosen]
        self.centers[chosen] += gain_place[:, np.newaxis] * away
        self.speeds[chosen] += gain_speed[:, np.newaxis] * away
        self.sides[chosen] += _SIZE_GAIN * (sides - self.sides[chosen])
        self._variances[chosen] = np.stack(
            [place - gain_place * place, both - gain_place * both, speed - gain_speed * both], axis=1
        )

    def add(self, boxes: Boxes) -> None:
        """More boxes, seen for the first time."""
        count = len(boxes)
        self.centers = np.vstack([self.centers, (boxes[:, :2] + boxes[:, 2:]) / 2])
        self.speeds = np.vstack([self.speeds, np.zeros((count, 2))])
        self.sides = np.vstack([self.sides, boxes[:, 2:] - boxes[:, :2]])
        first = [_POSITION_NOISE**2, 0.0, _FIRST_SPEED**2]
        self._variances = np.vstack([self._variances, np.tile(first, (count, 1))])

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Forget the boxes that are not `chosen`."""
        self.centers, self.speeds, self.sides = self.centers[chosen], self.speeds[chosen], self.sides[chosen]
        self._variances = self._variances[chosen]

    def scale(self, factors: NDArray[np.float64]) -> None:
        """The image has another size now: x and y grow by `factors` (2,)."""
        self.centers, self.speeds, self.sides = self.centers * factors, self.speeds * factors, self.sides * factors
