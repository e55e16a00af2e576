"""Find instances in a camera or a stream, until it ends or somebody ends it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.classify import live_kind
from mrcnn_cv.inputs.video.latest_frame import LatestFrameSource
from mrcnn_cv.inputs.video.reconnect import Reconnecting
from mrcnn_cv.jobs.events import JobObserver, Severity
from mrcnn_cv.jobs.options import (
    DetectionOptions,
    ModelOptions,
    OutputOptions,
    PathLike,
    RunOptions,
    StreamOptions,
    VideoOptions,
    as_model_options,
    as_sources,
)
from mrcnn_cv.jobs.outputs import change_threshold
from mrcnn_cv.jobs.session import RunSession, executor_for, thresholds_for, tracker_for
from mrcnn_cv.jobs.stream.outputs import StreamOutputs
from mrcnn_cv.outputs.base import Sink
from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.viewers.live_view import LatestFrame, LiveView, Meter
from mrcnn_cv.pipeline import CancellationToken, RunResult, Thresholds, run
from mrcnn_cv.pipeline.thread_executor import DaemonThreads
from mrcnn_cv.util.arguments import typed
from mrcnn_cv.util.redact import redact_url

if TYPE_CHECKING:
    from mrcnn_cv.outputs.viewers.http_server import LiveServer

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class StreamResult:
    """What came of a camera or stream.

    Attributes
    ----------
    frames
        How many went through the model.
    failed
        How many the model could not take.
    outputs
        Where results are.
    exit_code
        0: it ended, 5: a frame failed, or that of the cancellation.
    is_cancelled
        Somebody ended it.
    """

    frames: int
    failed: int
    outputs: tuple[str, ...]
    exit_code: int
    is_cancelled: bool = False


@typed
def watch_stream(
    source: PathLike,
    model: PathLike | ModelOptions,
    *,
    stream: StreamOptions = StreamOptions(),
    video: VideoOptions = VideoOptions(),
    detection: DetectionOptions = DetectionOptions(),
    output: OutputOptions = OutputOptions(),
    run: RunOptions = RunOptions(),
    style: Style = Style(),
    observer: JobObserver | None = None,
    cancellation: CancellationToken | None = None,
) -> StreamResult:
    """Find instances in the frames of a camera or stream as they come; what is too fast is dropped.

    Parameters
    ----------
    source
        The number of a camera ("0"), or an address (rtsp://..., http://...).
    model
        A model file or its folder, or a ModelOptions.
    stream, video, detection, output, run, style
        What to take, keep, show and write, and how. Of `run`, the number of workers counts.
    observer
        Told what happens; of frames by a thread of the run.
    cancellation
        Its `cancel` ends the run, from any thread.

    Returns
    -------
    StreamResult
        Counts, and where the results are.

    Raises
    ------
    MrcnnCvError
        UsageError for options that do not fit, InputError for a source that cannot be opened or got back,
        ModelFileError, LabelFileError, BackendError for a model that does not run, OutputError where results cannot be
        written.
    """
    options = _Options(as_model_options(model), stream, video, detection, output, run, style)
    # A frame that the model cannot take is followed by others of its kind.
    with RunSession(observer, cancellation, max_failures=0) as session:
        return _StreamJob(as_sources(source)[0], options, session).run()


@dataclass(frozen=True)
class _Options:
    model: ModelOptions
    stream: StreamOptions
    video: VideoOptions
    detection: DetectionOptions
    output: OutputOptions
    run: RunOptions
    style: Style


class _StreamJob:
    """The parts of one run, made in the order in which they can go wrong; the session closes them.

    The run has a thread of its own. The caller's thread is left to the window, as window systems want it, and to
    signals: both are answered at any moment, also while nothing comes from the source.
    """

    def __init__(self, source: str, options: _Options, session: RunSession) -> None:
        self._options, self._session = options, session
        self._kind, self._source_name = live_kind(source), source
        self._name = redact_url(source)
        self._thresholds = Thresholds()
        self._model: MaskRCNN | None = None
        self._connection: Reconnecting | None = None
        self._early: list[str] = []
        self._has_started = False
        if options.output.show:
            from mrcnn_cv.outputs.viewers.window import check_display

            check_display()
        self._outputs = StreamOutputs(self._name, options.output, options.style, options.video, options.model)
        self._meter = Meter()
        self._annotator = FrameAnnotator(options.style, self._meter.lines if options.video.stats else None)
        self._view = LiveView(self._annotator)
        self._server = self._make_server()
        # It opens while the model is loaded.
        self._source = session.enter_context(
            LatestFrameSource(self._name, self._open, keep_all=options.stream.keep_all, sampling=options.video.sampling)
        )

    def run(self) -> StreamResult:
        """Load, and take frames until the end."""
        options, session = self._options, self._session
        self._model = model = session.load(options.model)
        self._thresholds = thresholds_for(model, options.detection)
        info = self._source.info
        session.observer.stream_started(self._meter, self._source)
        self._has_started = True
        for note in [*self._early, *self._source.warnings]:
            self._tell(note)
        if self._server is not None:
            self._server.start()
            session.observer.serving(self._server.address, self._server.is_private)
        files = self._outputs.sinks(model, info, self._annotator, session)
        with session.running(outputs=lambda: self._outputs.places):
            thread = DaemonThreads("live-run", 1)
            session.callback(thread.dismiss, wait=False)
            future = thread.submit(lambda: self._take(model, [*files, self._view, self._meter]))
            self._wait_for(future)
            result = future.result()
            code = session.finish(result.failed)
        return StreamResult(
            result.done, result.failed, tuple(self._outputs.places), code, is_cancelled=session.is_cancelled
        )

    def _take(self, model: MaskRCNN, sinks: list[Sink]) -> RunResult:
        options, session = self._options, self._session
        executor = executor_for(model, options.model, options.run.workers, None, is_live=True)
        futures = map(self._outputs.placed, self._source.frame_futures())
        observers = [session.observer, session.limit]
        track = tracker_for(options.video, options.style)
        return run(executor, futures, sinks, self._thresholds, observers, session.cancellation, track)

    def _wait_for(self, future: Future[RunResult]) -> None:
        """What the caller's thread does while the run goes on."""
        cancellation = self._session.cancellation
        if self._options.output.show:
            from mrcnn_cv.outputs.viewers.live_window import LiveWindow

            with LiveWindow(self._view, self._save, self._change_threshold) as window:
                while not future.done() and not cancellation.requested:
                    cancellation.requested = not window.pump() or cancellation.requested
        while not future.done():
            if cancellation.requested:
                self._source.close()
            wait([future], _LOOK_SECONDS)

    def _open(self) -> Reconnecting:
        stream = self._options.stream
        self._connection = Reconnecting(
            self._name,
            lambda: self._kind.open_live(self._source_name, stream.camera_size, stream.camera_fps),
            stream.reconnect,
            self._tell,
        )
        return self._connection

    def _tell(self, text: str) -> None:
        """What the source has to say; until the run has started it is kept."""
        if self._has_started:
            self._session.observer.message(Severity.NOTE, text)
        else:
            self._early.append(text)

    def _make_server(self) -> LiveServer | None:
        if self._options.stream.serve is None:
            return None
        from mrcnn_cv.outputs.viewers.http_server import LiveServer

        host, port = self._options.stream.serve
        server = LiveServer(self._view, host, port, self._name, self._facts)
        self._session.callback(server.close)
        return server

    def _save(self, latest: LatestFrame) -> str:
        return self._outputs.save(self._view, latest)

    def _change_threshold(self, steps: int) -> str:
        own = 0.0 if self._model is None else self._model.definition.detection_nms.score_threshold
        return change_threshold(self._thresholds, steps, own)

    def _facts(self) -> Mapping[str, Any]:
        """What the page (JSON) shows beside the image."""
        numbers, latest = self._meter.statistics, self._view.latest
        height, width = (0, 0) if latest is None else latest.frame.image.shape[:2]
        backend = None if latest is None else latest.instances.backend
        is_disconnected = self._connection is not None and self._connection.is_disconnected
        return {
            "state": "away" if is_disconnected else "starting" if latest is None else "live",
            "frames": numbers.frames,
            "frames_per_second": round(numbers.rate, 3),
            "delay_ms": None if numbers.delay_ms is None else round(numbers.delay_ms, 1),
            "instances": numbers.instances,
            "counts": numbers.counts,
            "totals": numbers.totals,
            "dropped": self._source.dropped,
            "damaged": self._source.damaged,
            "width": width,
            "height": height,
            "model": "" if self._model is None else self._model.path.name,
            "device": None if backend is None else f"{backend.used} ({backend.device})",
        }
