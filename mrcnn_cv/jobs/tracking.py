"""Tracking as a step of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrcnn_cv.tracking import Tracker

if TYPE_CHECKING:
    from mrcnn_cv.pipeline.runner import Track
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


def track_with(first_id: int = 0) -> Track:
    """What gives the instances of a run their numbers, which begin behind `first_id`: that of a run that is resumed."""
    tracker = Tracker()

    def follow(frame: Frame, instances: Instances) -> Instances:
        followed = tracker.update(instances, frame.time)
        if first_id and followed.track_ids is not None:
            followed.track_ids[followed.track_ids > 0] += first_id
        return followed

    return follow
