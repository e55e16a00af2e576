"""Parts that every run of `predict` is put together from, whatever its source: model, thresholds, workers, manifest."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Sequence
from typing import Any

from mrcnn_cv.cli.signals import Interrupts
from mrcnn_cv.errors import INTERRUPTED_EXIT_CODE, UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.jobs.state.manifest import versions
from mrcnn_cv.pipeline import CancellationToken, RunObserver, Thresholds
from mrcnn_cv.pipeline.executor import Executor, make_executor
from mrcnn_cv.pipeline.thread_executor import ModelPool, layouts_for
from mrcnn_cv.structures.frame import FrameError

RESULT_OPTIONS = (
    *("labels", "pipeline_config", "score", "mask_threshold", "nms", "max_instances", "classes", "exclude", "fast"),
    *("save", "polygons", "min_area", "soft_edges", "opacity", "line_width", "hide", "color_by"),
    *("no_recursive", "include_files", "exclude_files"),
)
"""Options that decide what a run puts out: a run is resumed with the same ones."""

VIDEO_OPTIONS = (
    *("start", "end", "stride", "max_fps", "max_frames", "codec", "crf"),
    *("track", "trail", "counts", "stats"),
)
"""More of them, for videos."""


class FailureLimit(RunObserver):
    """Ends a run with more failures than it may have; most: None for any number."""

    def __init__(self, maximum: int | None, stop: CancellationToken) -> None:
        self._left = maximum
        self._stop = stop
        self.is_reached = False

    def failed(self, failed: FrameError) -> None:
        if self._left is not None:
            self._left -= 1
            self.is_reached = self.is_reached or self._left < 0
            self._stop.requested = self._stop.requested or self.is_reached


def load_model(options: dict[str, Any]) -> MaskRCNN:
    """The model that the options name."""
    return MaskRCNN.load(
        options["model"],
        options["backend"],
        options["labels"],
        options["pipeline_config"],
        options["threads"],
        options["device"],
        options["fast"],
    )


def thresholds_for(model: MaskRCNN, options: dict[str, Any]) -> Thresholds:
    """What the options ask of the model. UsageError where they leave no class."""
    wanted = model.class_ids(options["classes"]) if options["classes"] else None
    if options["exclude"]:
        excluded = set(model.class_ids(options["exclude"]))
        every = range(1, model.spec.class_count + 1)
        wanted = [each for each in (every if wanted is None else wanted) if each not in excluded]
        if not wanted:
            raise UsageError("--exclude leaves no class to look for: leave at least one in")
    return Thresholds(
        score_threshold=None if options["score"] == "model" else options["score"],
        mask_threshold=options["mask_threshold"],
        nms_threshold=options["nms"],
        max_instances=options["max_instances"],
        classes=wanted,
    )


def executor_for(model: MaskRCNN, options: dict[str, Any], images: int | None) -> Executor:
    """The workers: as many as were asked for, or as turn out to be the fastest."""
    wanted = None if options["workers"] == "auto" else int(options["workers"])
    layouts = layouts_for(wanted, options["threads"], model.chosen_backend, images)
    return make_executor(ModelPool(model, lambda: load_model({**options, "threads": None})), layouts)


def run_metadata(
    sources: Sequence[str], options: dict[str, Any], model: MaskRCNN, names: Sequence[str]
) -> dict[str, Any]:
    """What a manifest says about a run before its first picture; names: of the options that decide what it puts out."""
    digest = hashlib.sha256()
    with model.path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return {
        "sources": [*sources, *(f"--list {name}" for name in options["list"])],
        "options": {name: options[name] for name in names},
        "model": {"file": model.path.name, "sha256": digest.hexdigest()},
        "versions": versions(),
        "backend": options["backend"],
    }


def interrupted_code(interrupts: Interrupts) -> int | None:
    """The exit code of a run that a signal ended; None where none did."""
    if interrupts.received is None:
        return None
    return INTERRUPTED_EXIT_CODE if interrupts.received == signal.SIGINT else 128 + interrupts.received
