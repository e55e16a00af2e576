"""What a job tells while it runs: derive from JobObserver and override what is of interest."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from mrcnn_cv.errors import MrcnnCvError
from mrcnn_cv.pipeline import RunObserver

if TYPE_CHECKING:
    from mrcnn_cv.inference.predictor import MaskRCNN
    from mrcnn_cv.inputs.video.base import VideoSource
    from mrcnn_cv.jobs.compare_models import ComparisonResult
    from mrcnn_cv.jobs.evaluate_model import EvaluationResult
    from mrcnn_cv.jobs.state.summary import RunStatistics
    from mrcnn_cv.outputs.viewers.live_view import Meter
    from mrcnn_cv.structures.video_info import VideoInfo


class Severity(Enum):
    """Of a message. An error is one that the job goes on after, such as a file that cannot be read."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


class JobObserver(RunObserver):
    """Told of all that happens in a job; `done` and `failed` of each image or frame, in order.

    A stream calls it from a thread of its own.
    """

    def message(self, severity: Severity, text: str) -> None:
        """Something that a person should know.

        Parameters
        ----------
        severity
            What kind of message it is.
        text
            One sentence.
        """

    def error(self, error: MrcnnCvError) -> None:
        """An error that the job goes on after; by default a message.

        Parameters
        ----------
        error
            Its text is one sentence.
        """
        self.message(Severity.ERROR, str(error))

    def model_loaded(self, model: MaskRCNN) -> None:
        """The model is ready.

        Parameters
        ----------
        model
            Its `warnings` say what is odd about it.
        """

    def images_started(self, statistics: RunStatistics, outputs: Sequence[str], is_batch: bool) -> None:
        """Images follow.

        Parameters
        ----------
        statistics
            Counts them, before `done` and `failed` are called.
        outputs
            Where results go.
        is_batch
            The run keeps state by which it can be resumed.
        """

    def video_started(self, name: str, info: VideoInfo, statistics: RunStatistics) -> None:
        """Frames of a video follow.

        Parameters
        ----------
        name
            Of the video.
        info
            What its header says.
        statistics
            Counts its frames, before `done` and `failed` are called.
        """

    def video_finished(self, name: str, statistics: RunStatistics, path: Path | None) -> None:
        """A video is done, or as much of it as there will be.

        Parameters
        ----------
        name
            Of the video.
        statistics
            Counts of its frames.
        path
            Of the annotated video; None: there is none.
        """

    def stream_started(self, meter: Meter, source: VideoSource) -> None:
        """Frames of a camera or stream follow.

        Parameters
        ----------
        meter
            Counts them; may be read at any time.
        source
            Counts what was dropped; may be read at any time.
        """

    def serving(self, address: str, is_private: bool) -> None:
        """A page shows the stream.

        Parameters
        ----------
        address
            Of the page.
        is_private
            Only this machine reaches it.
        """

    def evaluated(self, result: EvaluationResult) -> None:
        """The metrics of an evaluation are known; reports are written after this.

        Parameters
        ----------
        result
            As `evaluate` returns it.
        """

    def compared(self, result: ComparisonResult) -> None:
        """The numbers of a comparison are known; its report is written after this.

        Parameters
        ----------
        result
            As `compare` returns it.
        """

    def comparing(self, done: int, total: int, agreement: float) -> None:
        """More images of a comparison are done.

        Parameters
        ----------
        done
            How many.
        total
            Of so many.
        agreement
            So far, 0 to 1.
        """

    def run_started(self) -> None:
        """From now until `run_ended` the job looks at its CancellationToken; before, it loads and checks."""

    def run_ended(self, outputs: Sequence[str]) -> None:
        """The loop is over, well or not, and state is closed.

        Parameters
        ----------
        outputs
            Where results are.
        """
