"""One run of any job: load the model, lock its outputs, open its state, run, close the state, tell how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mrcnn_cv.errors import InputError, UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.jobs.events import JobObserver
from mrcnn_cv.jobs.options import DetectionOptions, ModelOptions, VideoOptions
from mrcnn_cv.jobs.state.batch_state import RunState, check_free
from mrcnn_cv.outputs.storage.locks import NAME as LOCK_NAME
from mrcnn_cv.outputs.storage.locks import locked
from mrcnn_cv.pipeline import CancellationToken, RunObserver, Thresholds
from mrcnn_cv.pipeline.executor import Executor, make_executor
from mrcnn_cv.pipeline.thread_executor import ModelPool, layouts_for
from mrcnn_cv.structures.frame import FrameError
from mrcnn_cv.tracking import Tracker

if TYPE_CHECKING:
    from mrcnn_cv.drawing.annotate import Style
    from mrcnn_cv.pipeline.runner import Track
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class FailureLimit(RunObserver):
    """Cancels a run with more failures than it may have. maximum: None for any number."""

    def __init__(self, maximum: int | None, cancellation: CancellationToken) -> None:
        self._left = maximum
        self._cancellation = cancellation
        self.is_reached = False

    def failed(self, failed: FrameError) -> None:
        if self._left is not None:
            self._left -= 1
            self.is_reached = self.is_reached or self._left < 0
            self._cancellation.requested = self._cancellation.requested or self.is_reached


class RunSession(ExitStack):
    """A context manager that holds what a run needs until it has ended: locks, state, the way it ends.

    Parameters
    ----------
    observer
        Told what happens; None: nobody is.
    cancellation
        Ends the run after the images in work; None: nobody asks for that.
    max_failures
        As in RunOptions.
    """

    def __init__(
        self,
        observer: JobObserver | None,
        cancellation: CancellationToken | None = None,
        max_failures: int | None = None,
    ) -> None:
        super().__init__()
        self.observer = observer or JobObserver()
        self.cancellation = cancellation or CancellationToken()
        self.limit = FailureLimit(max_failures, self.cancellation)
        self._exit_code = 1

    def load(self, options: ModelOptions) -> MaskRCNN:
        """The model, told to the observer."""
        model = load_model(options)
        self.observer.model_loaded(model)
        return model

    def lock(self, directory: Path, *, resume: bool, overwrite: bool) -> None:
        """Be the only batch run in a directory until the session ends.

        UsageError where another one is, or was; OutputError for no directory. The operating system holds the lock, so
        that it is free again however a process ended. Where a file system knows no locks, nothing is held.
        """
        self.enter_context(locked(directory / LOCK_NAME, f"in {directory}"))
        # One that ended while the model was loaded.
        check_free(directory, resume, overwrite)

    @contextmanager
    def running(self, state: RunState | None = None, outputs: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
        """The loop runs inside; state: is open, and closed with the exit code, whatever ends the loop."""
        self._exit_code = 1
        self.observer.run_started()
        try:
            yield
        finally:
            try:
                if state is not None:
                    state.close(self._exit_code)
            finally:
                self.observer.run_ended(outputs())

    def finish(self, failed: int, other: int = 0) -> int:
        """The exit code of a loop that came to its end with so many failures; to be called inside of `running`.

        other: of something else that went wrong first.
        """
        self._exit_code = self.cancellation.exit_code or other or (InputError.exit_code if failed else 0)
        return self._exit_code

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody outside asked for its end."""
        return self.cancellation.exit_code is not None


def load_model(options: ModelOptions) -> MaskRCNN:
    """Load what the options name."""
    return MaskRCNN.load(
        Path(options.path),
        options.backend,
        None if options.labels is None else Path(options.labels),
        None if options.config is None else Path(options.config),
        options.threads,
        options.device,
        options.fast,
        options.roi,
    )


def thresholds_for(model: MaskRCNN, detection: DetectionOptions) -> Thresholds:
    """What is asked of the model. UsageError where no class is left."""
    wanted = model.class_ids(detection.classes) if detection.classes else None
    if detection.exclude:
        excluded = set(model.class_ids(detection.exclude))
        every = range(1, model.definition.class_count + 1)
        wanted = [each for each in (every if wanted is None else wanted) if each not in excluded]
        if not wanted:
            raise UsageError("every class is excluded: keep at least one to look for")
    return Thresholds(
        score_threshold=detection.score,
        mask_threshold=detection.mask_threshold,
        nms_threshold=detection.nms,
        max_instances=detection.max_instances,
        classes=wanted,
    )


def executor_for(
    model: MaskRCNN, options: ModelOptions, workers: int | None, images: int | None, *, is_live: bool = False
) -> Executor:
    """Workers with a model each: as many as were asked for, or as turn out to be the fastest.

    options: the model's. images: how many there are; None: nobody knows.
    """
    layouts = layouts_for(workers, options.threads, model.chosen_backend, images)
    # One more than is in work: a live frame that waits in a queue grows old there.
    ahead = max(layout.workers for layout in layouts) + 1 if is_live else None
    return make_executor(ModelPool(model, lambda: load_model(options.for_a_worker)), layouts, ahead)


def tracker_for(video: VideoOptions, style: Style, first_id: int = 0) -> Track | None:
    """What numbers the instances of a run, behind `first_id`: the last number of the run that is resumed.

    None where nobody wants numbers.
    """
    if not (video.track or style.trail or style.counts):
        return None
    tracker = Tracker()

    def track(frame: Frame, instances: Instances) -> Instances:
        tracked = tracker.update(instances, frame.time)
        if first_id and tracked.track_ids is not None:
            tracked.track_ids[tracked.track_ids > 0] += first_id
        return tracked

    return track
