"""IDF1, MOTA and switches of identity: how well tracks keep to who is who.

IDF1: Ristani et al., "Performance measures and a data set for multi-target, multi-camera tracking", 2016.
MOTA: Bernardin and Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT metrics", 2008.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.tracking.assignment import assign

LEAST_IOU = 0.5


@dataclass(frozen=True)
class Step:
    """One frame: the identities that are there, the track ids that were given, and how much they overlap.

    overlap  (identities, tracks): intersection over union
    """

    identities: Sequence[int]
    tracks: Sequence[int]
    overlap: NDArray[np.float64]


@dataclass
class Score:
    """Counts that add up over sequences."""

    identities: int = 0
    tracks: int = 0
    right: int = 0
    """Frames of tracks that lie on the identity that the whole track is taken for."""
    missed: int = 0
    false: int = 0
    switches: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(*(mine + its for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def idf1(self) -> float:
        return 2 * self.right / max(1, self.identities + self.tracks)

    @property
    def mota(self) -> float:
        return 1 - (self.missed + self.false + self.switches) / max(1, self.identities)


def score(steps: Iterable[Step]) -> Score:
    """The figures of one sequence."""
    result = Score()
    together: dict[tuple[int, int], int] = {}
    last: dict[int, int] = {}
    for step in steps:
        near = step.overlap >= LEAST_IOU
        result.identities += len(step.identities)
        result.tracks += len(step.tracks)
        for row, column in np.argwhere(near):
            pair = step.identities[row], step.tracks[column]
            together[pair] = together.get(pair, 0) + 1
        # Whoever was paired in the last frame stays so where it is still possible.
        stays = np.array([[last.get(who) == track for track in step.tracks] for who in step.identities], dtype=bool)
        gains = np.where(near, step.overlap, 0.0) + 1000.0 * (near & stays.reshape(near.shape))
        rows, columns = assign(gains)
        for row, column in zip(rows, columns, strict=True):
            who, track = step.identities[row], step.tracks[column]
            result.switches += last.get(who, track) != track
            last[who] = track
        result.missed += len(step.identities) - len(rows)
        result.false += len(step.tracks) - len(rows)
    whos, tracks = sorted({who for who, _ in together}), sorted({track for _, track in together})
    counts = np.zeros((len(whos), len(tracks)))
    for (who, track), number in together.items():
        counts[whos.index(who), tracks.index(track)] = number
    result.right = int(counts[assign(counts)].sum())
    return result
