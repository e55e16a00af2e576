"""A run: images of a source through the model into sinks. `run` is the loop."""

from mrcnn_cv.pipeline.runner import CancellationToken, FrameResult, RunObserver, RunResult, Thresholds, run

__all__ = ["CancellationToken", "FrameResult", "RunObserver", "RunResult", "Thresholds", "run"]
