"""What `predict` does with a live source: a camera or a stream, until it ends or somebody ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mrcnn_cv.cli.console.live_report import LiveReporter
from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.signals import Interrupts
from mrcnn_cv.errors import InputError, UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.classify import live_kind
from mrcnn_cv.inputs.video.base import FrameSampling, VideoSource
from mrcnn_cv.inputs.video.latest_frame import LatestFrameSource
from mrcnn_cv.inputs.video.reconnect import Reconnecting
from mrcnn_cv.jobs.common import FailureLimit, interrupted_code, load_model, thresholds_for
from mrcnn_cv.jobs.live_outputs import LiveOutputs
from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.viewers.live_view import LatestFrame, LiveView, Meter
from mrcnn_cv.pipeline import CancellationToken, RunResult, Thresholds, run
from mrcnn_cv.pipeline.executor import make_executor
from mrcnn_cv.pipeline.thread_executor import ModelPool, layouts_for
from mrcnn_cv.util.redact import redact_url

if TYPE_CHECKING:
    from mrcnn_cv.outputs.viewers.http_server import LiveServer

OPEN = " (and for everybody who reaches this machine: there is no password)"

_NOT_LIVE = ("resume", "watch", "dry_run", "list")
_LOOK_SECONDS = 0.05
_STEP = 0.05
_MIN_SCORE, _MAX_SCORE = 0.05, 0.95


def run_live(source: str, options: dict[str, Any], is_demo: bool) -> int:
    """Run; returns the exit code.

    The run has a thread of its own. The main thread is left to the window, as window systems want it, and to signals:
    both are answered at any moment, also while nothing comes from the source.
    """
    for name in _NOT_LIVE:
        if options[name]:
            raise UsageError(
                f"--{name.replace('_', '-')} is for pictures and files, and {redact_url(source)} is live: leave it out"
            )
    with ExitStack() as stack:
        job = LiveJob(source, options, stack)
        return job.execute(is_demo)


class LiveJob:
    """The parts of one live run, made in the order in which they can go wrong; `stack` closes them."""

    def __init__(self, source: str, options: dict[str, Any], stack: ExitStack) -> None:
        self._options = options
        self._stack = stack
        self._opener = opener(source, options)
        self._name = redact_url(source)
        self._stop = CancellationToken()
        self._thresholds = Thresholds()
        self._model: MaskRCNN | None = None
        self._line: Reconnecting | None = None
        self._notes: list[str] = []
        self._report: LiveReporter | None = None
        self._check_display()
        self._outputs = LiveOutputs(self._name, options)
        self._meter = Meter()
        self._annotator = FrameAnnotator(self._outputs.style, self._meter.lines if options["stats"] else None)
        self._view = LiveView(self._annotator)
        self._server = self._make_server()
        # It opens while the model is loaded.
        self._source = stack.enter_context(
            LatestFrameSource(
                self._name,
                self._open,
                keep_all=options["no_drop"],
                sampling=_sampling(options),
            )
        )

    def execute(self, is_demo: bool) -> int:
        """Load, run, and say what came of it."""
        options = self._options
        self._model = model = load_model(options)
        self._thresholds = thresholds_for(model, options)
        info = self._source.info
        self._report = report = LiveReporter(
            options["quiet"],
            options["verbose"],
            lambda: self._outputs.places,
            self._meter,
            self._source,
            options["progress"],
        )
        report.loaded(model, is_demo)
        for note in [*self._notes, *self._source.warnings]:
            report.tell(note)
        if self._server is not None:
            self._server.start()
            echo_message(f"live view: {self._server.address}{'' if self._server.is_private else OPEN}")
        sinks = [*self._outputs.sinks(model, info, self._annotator, self._stack), self._view, self._meter]
        thread = _Thread(lambda: self._run(model, sinks))
        with Interrupts(self._stop) as interrupts, ExitStack() as ending:
            ending.callback(report.end)
            thread.start()
            self._look_after(thread)
            outcome = thread.result()
        if interrupts.received is not None:
            echo_message("mrcnn-cv: interrupted; what was written so far is complete")
        return interrupted_code(interrupts) or (InputError.exit_code if outcome.failed else 0)

    def _run(self, model: MaskRCNN, sinks: list[Any]) -> RunResult:
        options = self._options
        wanted = None if options["workers"] == "auto" else int(options["workers"])
        plans = layouts_for(wanted, options["threads"], model.chosen_backend, None)
        # One more than is in work: a frame that waits in a queue grows old there.
        executor = make_executor(
            ModelPool(model, lambda: load_model({**options, "threads": None})),
            plans,
            ahead=max(p.workers for p in plans) + 1,
        )
        tickets = (self._outputs.placed(ticket) for ticket in self._source.frame_futures())
        assert self._report is not None
        # A picture that the model cannot take is followed by others of its kind.
        listeners = [self._report, FailureLimit(0, self._stop)]
        return run(executor, tickets, sinks, self._thresholds, listeners, self._stop, _tracker(options))

    def _look_after(self, thread: _Thread) -> None:
        """What the main thread does while the run goes on."""
        if self._options["show"]:
            from mrcnn_cv.outputs.viewers.live_window import LiveWindow

            with LiveWindow(self._view, self._save, self._change_threshold) as window:
                while thread.is_alive() and not self._stop.requested:
                    self._stop.requested = not window.pump() or self._stop.requested
        while thread.is_alive():
            if self._stop.requested:
                self._source.close()
            thread.join(_LOOK_SECONDS)

    def _open(self) -> Reconnecting:
        self._line = Reconnecting(self._name, self._opener, self._options["reconnect"], self._tell)
        return self._line

    def _tell(self, text: str) -> None:
        """What the source has to say; before there is a report it is kept."""
        if self._report is None:
            self._notes.append(text)
        else:
            self._report.tell(text)

    def _check_display(self) -> None:
        if self._options["show"]:
            from mrcnn_cv.outputs.viewers.window import check_display

            check_display()

    def _make_server(self) -> LiveServer | None:
        if self._options["serve"] is None:
            return None
        from mrcnn_cv.outputs.viewers.http_server import LiveServer

        host, port = self._options["serve"]
        server = LiveServer(self._view, host, port, self._name, self._facts)
        self._stack.callback(server.close)
        return server

    def _save(self, latest: LatestFrame) -> str:
        return self._outputs.save(self._view, latest)

    def _change_threshold(self, steps: int) -> str:
        now = self._thresholds.score_threshold
        if now is None and self._model is not None:
            now = self._model.spec.detection_nms.score_threshold
        changed = min(_MAX_SCORE, max(_MIN_SCORE, round((now or 0.0) + steps * _STEP, 2)))
        self._thresholds.score_threshold = changed
        return f"score above {changed:.2f}"

    def _facts(self) -> Mapping[str, Any]:
        """What the page shows beside the picture."""
        numbers, shot = self._meter.statistics, self._view.latest
        height, width = (0, 0) if shot is None else shot.frame.image.shape[:2]
        backend = None if shot is None else shot.instances.backend
        return {
            "state": "away"
            if self._line is not None and self._line.is_disconnected
            else "starting"
            if shot is None
            else "live",
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


class _Thread(threading.Thread):
    """Does one thing, and gives its result, or raises what it raised."""

    def __init__(self, act: Callable[[], RunResult]) -> None:
        super().__init__(name="live-run", daemon=True)
        self._act = act
        self._outcome: RunResult | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._outcome = self._act()
        except BaseException as error:
            self._error = error

    def result(self) -> RunResult:
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome


def opener(source: str, options: Mapping[str, Any]) -> Callable[[], VideoSource]:
    """What opens a source, once or anew."""
    kind = live_kind(source)
    return lambda: kind.open_live(source, options["camera_size"], options["camera_fps"])


def _sampling(options: Mapping[str, Any]) -> FrameSampling:
    return FrameSampling(
        start=options["start"] or 0.0,
        end=options["end"],
        stride=options["stride"],
        max_fps=options["max_fps"],
        max_frames=options["max_frames"],
    )


def _tracker(options: Mapping[str, Any]) -> Any:
    """What gives every instance its number; None where nobody wants that."""
    if not (options["track"] or options["trail"] or options["counts"]):
        return None
    from mrcnn_cv.tracking import Tracker

    tracker = Tracker()
    return lambda frame, found: tracker.update(found, frame.time)
