"""What a run tells the terminal: a line per picture, and at the end where the results are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.pipeline import RunObserver

if TYPE_CHECKING:
    from mrcnn_cv.inference.predictor import MaskRCNN
    from mrcnn_cv.pipeline import FrameResult
    from mrcnn_cv.structures.frame import Frame, FrameError
    from mrcnn_cv.structures.instances import Instances

LONGEST_LABEL = 40
"""Characters of a label in a summary line."""


class ConsoleReporter(RunObserver):
    """places: where results go, for the last line."""

    def __init__(self, quiet: bool, verbose: bool, places: Sequence[str]) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._places = places
        self._done = 0
        self._failed = 0

    def loaded(self, model: MaskRCNN, is_demo: bool) -> None:
        """The model is ready: which it is where nobody named one, and what was odd about it."""
        if self._quiet:
            return
        if is_demo:
            echo_message(
                "mrcnn-cv: note: no model is named, so this is the demo model, which finds"
                f" {', '.join(model.labels.values())} and nothing else; for everyday objects give --model"
                " mask_rcnn_inception_v2_coco (`mrcnn-cv models list` shows more), or your own graph"
            )
        for warning in model.warnings:
            echo_message(f"mrcnn-cv: warning: {warning}")
        if model.spec.mask is None:
            echo_message(
                f"mrcnn-cv: note: {model.path} is a {model.spec.architecture} without a mask branch: boxes only"
            )
        if self._verbose:
            echo_message(f"{model.path}  {model.spec.architecture}, {model.spec.class_count} classes")

    def done(self, done: FrameResult) -> None:
        self._done += 1
        if not self._quiet:
            echo_message(summary(done.frame, done.instances, done.milliseconds))
        if self._verbose and not self._quiet:
            echo_message(
                "  " + ", ".join(f"{step} {value:.0f}" for step, value in done.instances.timings_ms.items()) + " ms"
            )

    def failed(self, failed: FrameError) -> None:
        self._failed += 1
        echo_message(f"mrcnn-cv: error: {failed.error}")

    def end(self) -> None:
        """The last line of a run, also of one that an error or the user ended."""
        where = f"results in {' and '.join(self._places)}" if self._done and self._places else ""
        if self._failed:
            total = self._failed + self._done
            counts = f"mrcnn-cv: {self._failed} of {total} input{'' if total == 1 else 's'} failed, {self._done} done"
            echo_message("; ".join(filter(None, (counts, where))))
        elif where and not self._quiet:
            echo_message(f"{self._done} images done; {where}" if self._done > 1 else where)


def summary(frame: Frame, found: Instances, milliseconds: float) -> str:
    """One line about one image: name, size, instances by class, time, and the backend that ran."""
    height, width = found.image_size
    parts = ", ".join(f"{count} {_short(label)}" for label, count in found.counts().items())
    instances = f"{len(found)} instance{'' if len(found) == 1 else 's'}" + (f" ({parts})" if parts else "")
    used = "" if found.backend is None else f"  {found.backend.used} ({found.backend.device})"
    return f"{frame.name}  {width}x{height}  {instances}  {milliseconds:.0f} ms{used}"


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[:LONGEST_LABEL]}..."
