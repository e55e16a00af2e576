"""What `mrcnn-cv predict` does with video files, one after the other."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.console.video_report import VideoReporter
from mrcnn_cv.cli.signals import Interrupts
from mrcnn_cv.errors import InputError, UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.inputs.images.glob import glob_files
from mrcnn_cv.inputs.video.base import FrameSampling, import_av
from mrcnn_cv.jobs.common import (
    RESULT_OPTIONS,
    VIDEO_OPTIONS,
    FailureLimit,
    executor_for,
    interrupted_code,
    load_model,
    run_metadata,
    thresholds_for,
)
from mrcnn_cv.jobs.outputs import NOTHING, Outputs
from mrcnn_cv.jobs.state.run_lock import lock_directory
from mrcnn_cv.jobs.video_preview import VideoPreview
from mrcnn_cv.jobs.video_run import work_on
from mrcnn_cv.jobs.video_state import NonClosingSink, VideoTask, VideoWork
from mrcnn_cv.outputs.base import Sink
from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.video.codecs import check_codec, encoder_for, suffix_for
from mrcnn_cv.outputs.viewers.live_view import Meter
from mrcnn_cv.outputs.viewers.window import check_display
from mrcnn_cv.pipeline import CancellationToken

OVERLAY = "overlay"

MAX_FRAMES = 1_000_000
"""Of one video, as far as formats with one file for all are concerned: the next one's indexes begin behind them."""


def run_video(sources: Sequence[str], options: dict[str, Any], is_demo: bool) -> int:
    """Run; returns the exit code."""
    _check(sources, options)
    paths = _paths(sources)
    outputs = Outputs(
        {**options, "show": False}, [ImageRef(str(path), PurePosixPath(path.name), path) for path in paths]
    )
    tasks = [_task(path, outputs, options) for path in paths]
    outputs.check_apart(own for task in tasks for own in _own(task, outputs))
    if options["dry_run"]:
        return _dry_run(tasks, outputs)
    model = load_model(options)
    report = VideoReporter(options["quiet"], options["verbose"], outputs.places, options["progress"])
    report.loaded(model, is_demo)
    stop = CancellationToken()
    with Interrupts(stop) as interrupts, ExitStack() as stack:
        stack.callback(report.end)
        if outputs.folder is not None and options["resume"]:
            stack.enter_context(lock_directory(outputs.folder.directory))
        work, together = _work(model, options, outputs, tasks, report, stop, stack)
        code = 0
        for number, task in enumerate(tasks):
            if stop.requested:
                break
            if together is not None:
                together.first_index = number * MAX_FRAMES
            try:
                is_well = work_on(work, task, _run_metadata(task, options, model))
            except UsageError as error:
                # The others can be worked on all the same.
                report.refused(error)
                code = code or error.exit_code
                continue
            if not is_well:
                code = code or InputError.exit_code
        if work.limit.is_reached:
            echo_message(
                "mrcnn-cv: error: too many frames failed, so the run was ended (--max-failures or --fail-fast)"
            )
    if interrupts.received is not None:
        more = "; the same command with --resume goes on" if NOTHING not in options["save"] else ""
        echo_message(f"mrcnn-cv: interrupted; what was written so far is complete{more}")
    return interrupted_code(interrupts) or code


def _check(sources: Sequence[str], options: Mapping[str, Any]) -> None:
    """What can be wrong before anything is looked at. UsageError, or InputError without PyAV."""
    if options["serve"] is not None:
        raise UsageError(
            f"--serve is for cameras and streams, and {sources[0]} is a file: give --show, or leave it out"
        )
    import_av()
    if options["show"]:
        check_display()
    if OVERLAY in options["save"]:
        check_codec(options["codec"], options["crf"])


def _work(
    model: MaskRCNN,
    options: dict[str, Any],
    outputs: Outputs,
    tasks: Sequence[VideoTask],
    report: VideoReporter,
    stop: CancellationToken,
    stack: ExitStack,
) -> tuple[VideoWork, DatasetFiles | None]:
    """What all videos have in common, and the files for all of them; `stack` closes the sinks."""
    choice, thresholds, meter = _sampling(options), thresholds_for(model, options), Meter()
    sinks, together = outputs.files(model, {}, leave_out=(OVERLAY,))
    ordered = [stack.enter_context(sink) for sink in (*filter(None, [together]), *outputs.streams)]
    views: list[Sink] = [meter]
    annotator = None
    if OVERLAY in options["save"] or options["show"]:
        annotator = FrameAnnotator(outputs.style, meter.lines if options["stats"] else None)
    if annotator is not None and options["show"]:
        folder = outputs.folder or OutputDirectory(options["output"], overwrite=options["overwrite"])
        views.append(NonClosingSink(stack.enter_context(VideoPreview(annotator, thresholds, folder))))
    frames = sum(filter(None, (_count_frames(task.path, choice) for task in tasks))) or None
    work = VideoWork(
        options=options,
        sampling=choice,
        annotator=annotator,
        folder=outputs.folder,
        executor=executor_for(model, options, frames),
        thresholds=thresholds,
        sinks=[*sinks, *(NonClosingSink(sink) for sink in ordered)],
        views=views,
        report=report,
        stop=stop,
        limit=FailureLimit(0 if options["fail_fast"] else options["max_failures"], stop),
    )
    return work, together


def _run_metadata(task: VideoTask, options: dict[str, Any], model: MaskRCNN) -> dict[str, Any]:
    """What the journal says about a run over one video."""
    metadata = run_metadata([task.name], options, model, (*RESULT_OPTIONS, *VIDEO_OPTIONS))
    metadata["sources"].append(_size(task.path))
    if OVERLAY in options["save"]:
        # Parts that another encoder wrote cannot be joined.
        metadata["options"]["encoder"] = f"{encoder_for(options['codec'])}, PyAV {import_av().__version__}"
    return metadata


def _paths(sources: Iterable[str]) -> list[Path]:
    """The files that the sources name, each of them once; patterns stand for what they match."""
    paths: dict[str, Path] = {}
    for source in sources:
        is_pattern = glob.has_magic(source) and not os.path.lexists(source)
        for name in (sorted(glob_files(source)) if is_pattern else []) or [source]:
            paths.setdefault(os.path.abspath(name), Path(name))
    return list(paths.values())


def _task(path: Path, outputs: Outputs, options: Mapping[str, Any]) -> VideoTask:
    """Where the outputs of one video go."""
    if outputs.folder is None:
        return VideoTask(path, PurePosixPath(path.stem or path.name), None)
    suffix = suffix_for(path.name, options["codec"])
    target = outputs.folder.path_of(path, suffix, stem=suffix is not None)
    stem = outputs.folder.path_of(path, "", stem=True)
    if OVERLAY in options["save"]:
        outputs.folder.check_replaceable(target)
    output_path = PurePosixPath(stem.relative_to(outputs.folder.directory).as_posix())
    return VideoTask(path, output_path, target)


def _own(task: VideoTask, outputs: Outputs) -> list[Path]:
    """What is written of one video outside of folders of formats: the painted video, its parts, files of frames."""
    if outputs.folder is None or task.target is None:
        return []
    target = task.target
    return [target, target.with_name(f"{target.name}.parts"), outputs.folder.directory / task.output_path]


def _sampling(options: Mapping[str, Any]) -> FrameSampling:
    return FrameSampling(
        start=options["start"] or 0.0,
        end=options["end"],
        stride=options["stride"],
        max_fps=options["max_fps"],
        max_frames=options["max_frames"],
    )


def _count_frames(path: Path, sampling: FrameSampling) -> int | None:
    """About how many frames a video has, for the choice of workers; None where it cannot be read."""
    from mrcnn_cv.inputs.video.file import open_video

    try:
        with open_video(path, sampling=sampling) as source:
            return sampling.expected(source.info)
    except InputError:
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _dry_run(tasks: Sequence[VideoTask], outputs: Outputs) -> int:
    """--dry-run: what would be done."""
    echo_message(f"{len(tasks):,} video{'' if len(tasks) == 1 else 's'}")
    for task in tasks:
        echo_message(f"  {task.name} -> {task.target or 'nowhere'}")
    echo_message(f"results would go to {' and '.join(outputs.places) or 'nowhere'}; nothing was done (--dry-run)")
    return 0
