"""Tracking: the same number for the same thing in every frame of a video.

from mrcnn_cv.tracking import Tracker
"""

from mrcnn_cv.tracking.tracker import Tracker

__all__ = ["Tracker"]
