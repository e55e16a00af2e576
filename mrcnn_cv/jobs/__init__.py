"""What mrcnn-cv does, to be called from Python.

    from mrcnn_cv.jobs import annotate_images
    result = annotate_images("photos", "frozen_inference_graph.pb")

Every job returns a typed result, tells a JobObserver what happens, and ends early when its token is cancelled. Names
are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrcnn_cv.drawing.annotate import Style
    from mrcnn_cv.jobs.compare_models import ComparisonOptions, ComparisonResult, compare
    from mrcnn_cv.jobs.evaluate_model import EvaluationOptions, EvaluationResult, evaluate
    from mrcnn_cv.jobs.events import JobObserver, Severity
    from mrcnn_cv.jobs.images import ImagesPlan, ImagesResult, annotate_images, plan_images
    from mrcnn_cv.jobs.inspect_model import inspect
    from mrcnn_cv.jobs.model_report import ModelReport
    from mrcnn_cv.jobs.options import (
        DetectionOptions,
        ImageSelection,
        ModelOptions,
        OutputOptions,
        RunOptions,
        StreamOptions,
        VideoOptions,
    )
    from mrcnn_cv.jobs.stream.watch import StreamResult, watch_stream
    from mrcnn_cv.jobs.video.annotate import VideosPlan, VideosResult, annotate_video, plan_videos
    from mrcnn_cv.jobs.video.one_video import VideoResult
    from mrcnn_cv.pipeline import CancellationToken

__all__ = [
    "CancellationToken",
    "ComparisonOptions",
    "ComparisonResult",
    "DetectionOptions",
    "EvaluationOptions",
    "EvaluationResult",
    "ImageSelection",
    "ImagesPlan",
    "ImagesResult",
    "JobObserver",
    "ModelOptions",
    "ModelReport",
    "OutputOptions",
    "RunOptions",
    "Severity",
    "StreamOptions",
    "StreamResult",
    "Style",
    "VideoOptions",
    "VideoResult",
    "VideosPlan",
    "VideosResult",
    "annotate_images",
    "annotate_video",
    "compare",
    "evaluate",
    "inspect",
    "plan_images",
    "plan_videos",
    "watch_stream",
]

_HOMES = {
    "compare_models": ("ComparisonOptions", "ComparisonResult", "compare"),
    "evaluate_model": ("EvaluationOptions", "EvaluationResult", "evaluate"),
    "events": ("JobObserver", "Severity"),
    "images": ("ImagesPlan", "ImagesResult", "annotate_images", "plan_images"),
    "inspect_model": ("inspect",),
    "model_report": ("ModelReport",),
    "options": (
        *("DetectionOptions", "ImageSelection", "ModelOptions", "OutputOptions"),
        *("RunOptions", "StreamOptions", "VideoOptions"),
    ),
    "stream.watch": ("StreamResult", "watch_stream"),
    "video.annotate": ("VideosPlan", "VideosResult", "annotate_video", "plan_videos"),
    "video.one_video": ("VideoResult",),
}
_HOME_OF = {
    **{name: f"mrcnn_cv.jobs.{module}" for module, names in _HOMES.items() for name in names},
    "CancellationToken": "mrcnn_cv.pipeline",
    "Style": "mrcnn_cv.drawing.annotate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mrcnn_cv.jobs' has no attribute '{name}'")
    return getattr(import_module(_HOME_OF[name]), name)
