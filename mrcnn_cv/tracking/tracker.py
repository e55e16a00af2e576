"""Tracker: the same number for the same thing in every frame."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.tracking.assignment import Indices, assign
from mrcnn_cv.tracking.kalman import KalmanBoxes
from mrcnn_cv.tracking.mask_iou import SIDE, CoarseMasks, coarse_masks, ious

TRAIL = 50
"""Points of a trail: the frames in which a thing was last seen."""

_USUAL_STEP = 1 / 25
"""Seconds between two frames where nobody knows."""
_KEPT_SECONDS, _KEPT_FRAMES = 2.0, 3
"""A thing that is hidden is waited for as long as either of them."""
_LONGEST_GAP = 10.0
"""Seconds without any frame after which nothing is known any more."""

_MIN_IOU = 0.15
_OTHER_CLASS = 0.3
"""Taken off the overlap of two masks of different classes: a model is not always sure what a thing is."""
_CERTAIN_SCORE = 10
"""Frames that it takes to change the class of a thing that has long been of another."""
_REACH = 3.0
"""Standard deviations from the expected place within which a mask need not overlap."""
_FARTHEST = 3.0
"""The same in sizes of the box."""
_SIZE_RATIO = 2.0
"""How much larger or smaller it may be then."""
_NEARNESS = 0.5
"""What being exactly at the expected place adds to the overlap."""

_FAR, _TINY = 1e7, 1e-3
"""Pixels: coordinates beyond the one and sides below the other are no box of anything."""

_TRACK = np.dtype(
    [
        ("number", np.int32),  # 0: seen once, which may have been a mistake
        ("class_id", np.int32),
        ("certainty", np.int32),  # of the class: how many more frames were for it than against it
        ("unseen_seconds", np.float64),
        ("unseen_frames", np.int32),
        ("cells", np.bool_, (SIDE, SIDE)),
        ("trail", np.float32, (TRAIL, 2)),
        ("trail_length", np.int32),
    ]
)


class Tracker:
    """Follows the instances of one video or camera from frame to frame; memory and time per frame stay the same.

    A thing is recognised by the overlap of its mask with where the last one should be by now, by its class, and where
    nothing overlaps by its expected place (small things, few frames per second). What is hidden for up to two seconds
    keeps its number. Numbers are given from the second sighting on, those of the first frame at once.
    """

    def __init__(self) -> None:
        self._kalman = KalmanBoxes()
        self._tracks = np.zeros(0, dtype=_TRACK)
        self._size: tuple[int, int] | None = None
        self._time: float | None = None
        self._highest = 0
        self._totals: dict[str, int] = {}

    def update(self, instances: Instances, time: float | None = None) -> Instances:
        """The instances of the next frame with `track_ids`, `trails` and `totals`; nothing else differs.

        Call it for every frame, in order, also where nothing was found. time: of the frame, in seconds; None where
        nobody knows. A frame of another size is taken for the same view, scaled.
        """
        is_first = self._size is None
        self._move_on(instances.image_size, time)
        usable = np.flatnonzero(_usable(instances))
        seen, class_ids = coarse_masks(instances, usable), instances.class_ids[usable]
        gains = self._gains(seen, class_ids)
        track_of = np.full(len(usable), -1, dtype=np.intp)
        numbered = self._tracks["number"] > 0
        # What was seen once only may take what is left.
        for group in (np.flatnonzero(numbered), np.flatnonzero(~numbered)):
            left = np.flatnonzero(track_of < 0)
            rows, columns = assign(gains[np.ix_(group, left)])
            track_of[left[columns]] = group[rows]
        new = np.flatnonzero(track_of < 0)
        known = np.flatnonzero(track_of >= 0)
        self._kalman.correct(track_of[known], seen.boxes[known])
        track_of[new] = len(self._tracks) + np.arange(len(new))
        self._kalman.add(seen.boxes[new])
        self._tracks = np.concatenate([self._tracks, np.zeros(len(new), dtype=_TRACK)])
        self._note(track_of, seen, class_ids)
        labels = [instances.labels[index] for index in usable]
        self._number(np.arange(len(usable)) if is_first else known, track_of, labels)
        result = self._result(instances, usable, track_of)
        self._forget()
        return result

    def reset(self) -> None:
        """Forget what was seen, as at a cut or in another file; numbers and totals go on."""
        self._kalman = KalmanBoxes()
        self._tracks = self._tracks[:0]
        self._size = self._time = None

    def _move_on(self, size: tuple[int, int], time: float | None) -> None:
        """Take the tracks to the time and to the size of the next frame."""
        if self._size is not None and size != self._size:
            factors = np.array([size[1] / self._size[1], size[0] / self._size[0]])
            self._kalman.scale(factors)
            self._tracks["trail"] *= factors.astype(np.float32)
        self._size = size
        step = _USUAL_STEP
        if time is not None and math.isfinite(time):
            # Time that stands still or goes back is that of a stream that began anew.
            if self._time is not None and time > self._time:
                step = time - self._time
            self._time = time
        self._kalman.advance(min(step, _LONGEST_GAP))
        self._tracks["unseen_seconds"] += step
        self._tracks["unseen_frames"] += 1
        if step > _LONGEST_GAP:
            self._keep(np.zeros(len(self._tracks), dtype=np.bool_))

    def _gains(self, seen: CoarseMasks, class_ids: NDArray[np.int32]) -> NDArray[np.float64]:
        """(tracks, seen): how much speaks for each pair; 0 or less: it is not possible."""
        motion = self._kalman
        overlap = ious(CoarseMasks(motion.boxes(), self._tracks["cells"]), seen)
        same_class = self._tracks["class_id"][:, np.newaxis] == class_ids
        away, deviations = motion.distances(seen.boxes)
        sizes = np.sqrt((seen.boxes[:, 2:] - seen.boxes[:, :2]).prod(axis=1))
        change = np.abs(np.log(sizes) - np.log(motion.sizes())[:, np.newaxis])
        is_near = (deviations < _REACH) & (away < _FARTHEST) & (change < math.log(_SIZE_RATIO)) & same_class
        gains = np.where(overlap >= _MIN_IOU, overlap - _OTHER_CLASS * ~same_class, 0)
        nearness = _NEARNESS * np.exp(-0.5 * deviations**2)
        result: NDArray[np.float64] = np.where(is_near, np.maximum(gains, 0) + nearness, gains)
        return result

    def _note(self, track_of: Indices, seen: CoarseMasks, class_ids: NDArray[np.int32]) -> None:
        """How each thing looks and where it is in this frame."""
        tracks = self._tracks[track_of]
        # The class that most frames were for (Boyer and Moore's majority vote), as models waver at edges.
        tracks["certainty"] += np.where(tracks["class_id"] == class_ids, 1, -1)
        changed = tracks["certainty"] < 0
        tracks["class_id"][changed] = class_ids[changed]
        tracks["certainty"] = np.clip(np.abs(tracks["certainty"]), 1, _CERTAIN_SCORE)
        tracks["unseen_seconds"] = 0
        tracks["unseen_frames"] = 0
        tracks["cells"] = seen.cells
        tracks["trail"][:, :-1] = tracks["trail"][:, 1:]
        tracks["trail"][:, -1] = self._kalman.centers[track_of]
        tracks["trail_length"] = np.minimum(tracks["trail_length"] + 1, TRAIL)
        self._tracks[track_of] = tracks

    def _number(self, sure: Indices, track_of: Indices, labels: list[str]) -> None:
        """Give numbers to those of the `sure` instances whose tracks have none yet."""
        for index in sure[self._tracks["number"][track_of[sure]] == 0]:
            self._highest += 1
            self._tracks["number"][track_of[index]] = self._highest
            self._totals[labels[index]] = self._totals.get(labels[index], 0) + 1

    def _result(self, instances: Instances, usable: Indices, track_of: Indices) -> Instances:
        numbers = np.zeros(len(instances), dtype=np.int32)
        numbers[usable] = self._tracks["number"][track_of]
        trails = [np.zeros((0, 2), dtype=np.float32)] * len(instances)
        for index, track in zip(usable, self._tracks[track_of], strict=True):
            trails[index] = track["trail"][TRAIL - track["trail_length"] :]
        return replace(instances, track_ids=numbers, trails=trails, totals=dict(self._totals))

    def _forget(self) -> None:
        tracks = self._tracks
        waited = (tracks["unseen_seconds"] < _KEPT_SECONDS) | (tracks["unseen_frames"] < _KEPT_FRAMES)
        self._keep((tracks["unseen_frames"] == 0) | ((tracks["number"] > 0) & waited))

    def _keep(self, chosen: NDArray[np.bool_]) -> None:
        if not chosen.all():
            self._kalman.keep(chosen)
            self._tracks = self._tracks[chosen]


def _usable(instances: Instances) -> NDArray[np.bool_]:
    """(N,): boxes that have a size and lie anywhere near an image; NaN does neither."""
    bounded: NDArray[np.bool_] = np.all(np.abs(instances.boxes) < _FAR, axis=1)
    boxes = np.where(bounded[:, np.newaxis], instances.boxes, 0)
    usable: NDArray[np.bool_] = np.all(boxes[:, 2:] - boxes[:, :2] > _TINY, axis=1)
    return usable
