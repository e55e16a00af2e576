"""What `mrcnn-cv predict` does once its command line is read: put the parts of a run together, and run it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from mrcnn_cv.cli.console.batch_report import BatchReporter
from mrcnn_cv.cli.console.image_report import ConsoleReporter
from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.signals import Interrupts
from mrcnn_cv.errors import InputError, UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.classify import Kind, classify, is_animation
from mrcnn_cv.inputs.image_ref import ImageRef, Listing
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.images.sorting import IMAGE_SUFFIXES, PathFilter
from mrcnn_cv.inputs.images.watch import Watch
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.jobs.common import (
    RESULT_OPTIONS,
    FailureLimit,
    executor_for,
    interrupted_code,
    load_model,
    run_metadata,
    thresholds_for,
)
from mrcnn_cv.jobs.outputs import Outputs
from mrcnn_cv.jobs.state.batch_state import RunState, check_free
from mrcnn_cv.jobs.state.run_lock import lock_directory
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.outputs.storage.ownership import OwnershipLog
from mrcnn_cv.pipeline import CancellationToken, run
from mrcnn_cv.util.redact import redact_url

FRAMES = "frames"


def run_images(sources: Sequence[str], options: dict[str, Any], is_demo: bool) -> int:
    """Run; returns the exit code."""
    kind = _kind(sources, options)
    if kind == "live":
        from mrcnn_cv.jobs.live import run_live

        return run_live(sources[0], options, is_demo)
    if kind == "video":
        from mrcnn_cv.jobs.video import run_video

        return run_video(sources, options, is_demo)
    search, lists = _search(options), [Path(name) for name in options["list"]]
    listing = list_images(sources, search, lists)
    outputs = Outputs(options, listing.items)
    if options["dry_run"]:
        return _dry_run(listing, _run_state(listing, outputs, options), outputs)
    model = load_model(options)
    with ExitStack() as stack:
        if outputs.folder is not None and _is_batch(listing, options):
            stack.enter_context(lock_directory(outputs.folder.directory))
            # One that ended while the model was loaded.
            check_free(outputs.folder.directory, options["resume"], options["overwrite"])
        find = partial(list_images, sources, search, lists)
        return _run_batch(sources, options, is_demo, model, listing, find, outputs)


def _is_batch(listing: Listing, options: dict[str, Any]) -> bool:
    return bool(listing.is_batch or options["resume"] or options["watch"])


def _run_state(listing: Listing, outputs: Outputs, options: dict[str, Any]) -> RunState | None:
    """None where there is nothing to keep books of."""
    if outputs.folder is None or not _is_batch(listing, options):
        return None
    return RunState(outputs.folder, options["resume"])


def _run_batch(
    sources: Sequence[str],
    options: dict[str, Any],
    is_demo: bool,
    model: MaskRCNN,
    listing: Listing,
    find: Callable[[], Listing],
    outputs: Outputs,
) -> int:
    """Take all pictures, and with --watch what `find` finds later; the exit code."""
    state = _run_state(listing, outputs, options)
    sinks, datasets = outputs.files(model, {str(item.output_path): index for index, item in enumerate(listing.items)})
    items = list(listing.items) if state is None else state.to_do(listing.items, datasets)
    totals = RunStatistics(images=len(items)) if state is None else state.totals
    report = (
        BatchReporter(options["quiet"], options["verbose"], outputs.places, totals, options["progress"])
        if _is_batch(listing, options)
        else ConsoleReporter(options["quiet"], options["verbose"], outputs.places)
    )
    report.loaded(model, is_demo)
    thresholds = thresholds_for(model, options)
    stop = CancellationToken()
    limit = FailureLimit(0 if options["fail_fast"] else options["max_failures"], stop)
    listeners = [*([totals] if state is None else state.observers), limit, report]
    executor = executor_for(model, options, None if options["watch"] else len(items))
    source: Iterable[ImageRef | None] = items
    if options["watch"]:
        totals.images = None
        source = Watch(lambda: _not_kept(find(), state, datasets), lambda: stop.requested)
    if state is not None:
        state.open(run_metadata(sources, options, model, RESULT_OPTIONS))
    code = 1
    with Interrupts(stop) as interrupts, ExitStack() as stack:
        stack.callback(report.end)
        try:
            together = [] if datasets is None else [datasets]
            outcome = run(executor, source, [*sinks, *together, *outputs.streams], thresholds, listeners, stop)
            code = InputError.exit_code if outcome.failed else 0
            code = interrupted_code(interrupts) or code
        finally:
            if state is not None:
                state.close(code)
    if limit.is_reached:
        echo_message("mrcnn-cv: error: too many pictures failed, so the run was ended (--max-failures or --fail-fast)")
    if interrupts.received is not None:
        more = "; the same command with --resume goes on" if state is not None else ""
        echo_message(f"mrcnn-cv: interrupted; what was written so far is complete{more}")
    return code


def _kind(sources: Sequence[str], options: dict[str, Any]) -> Kind:
    """What kind of sources these are, all of them. UsageError where they are of several kinds, or options fit none."""
    kinds = {source: classify(source) for source in sources}
    found = set(kinds.values()) | ({"pictures"} if options["list"] or options["watch"] else set())
    if "live" in found and (len(found) > 1 or len(sources) > 1):
        live = next(source for source, kind in kinds.items() if kind == "live")
        raise UsageError(f"{redact_url(live)} is a camera or a stream, and goes alone: leave the other sources out")
    if found == {"live"} or found == {"video"}:
        return "live" if "live" in found else "video"
    videos = [source for source, kind in kinds.items() if kind == "video" and not _may_be_image(Path(source))]
    if videos:
        raise UsageError(f"{videos[0]} is a video, and does not go with pictures: give each a command of its own")
    if FRAMES in options["save"]:
        raise UsageError(f"--save {FRAMES} is for videos: leave it out for pictures")
    if options["serve"] is not None:
        raise UsageError("--serve is for cameras and streams, and these are pictures: give --show, or leave it out")
    return "pictures"


def _may_be_image(path: Path) -> bool:
    """Whether a video can be meant as a picture: an animation, or a file that is named like one, which then fails."""
    return is_animation(path) or path.suffix.lower() in IMAGE_SUFFIXES


def _search(options: dict[str, Any]) -> DirectoryScan:
    """How folders are searched: not where this run writes to, nor for files that mrcnn-cv wrote."""

    def outputs(folder: Path) -> Any:
        record = OwnershipLog(folder)
        return record.wrote if record.exists() else None

    output = Path(options["output"])
    skip: frozenset[tuple[int, int]] = frozenset()
    # The output folder may be that of the pictures, whose outputs are then told one by one.
    given = {os.path.abspath(source) for source in options["sources"]}
    if output.is_dir() and os.path.abspath(output) not in given:
        status = output.stat()
        skip = frozenset({(status.st_dev, status.st_ino)})
    chosen = PathFilter(options["include_files"], options["exclude_files"])
    return DirectoryScan(chosen, recursive=not options["no_recursive"], skip=skip, outputs=outputs)


def _not_kept(listing: Listing, state: RunState | None, datasets: Any) -> list[ImageRef]:
    """The pictures of a folder that is watched, without those that an earlier run did."""
    if state is None or state.previous is None:
        return list(listing.items)
    return [item for item in listing.items if not state.is_done(item, datasets)]


def _dry_run(listing: Listing, state: RunState | None, outputs: Outputs) -> int:
    """--dry-run: what would be done."""
    items = listing.items
    left = items if state is None else state.to_do(items, None)
    echo_message(f"{len(items):,} picture{'' if len(items) == 1 else 's'}, {len(left):,} to do")
    if listing.left_out:
        echo_message(f"{listing.left_out:,} other files are left out")
    for item in left[:10]:
        echo_message(f"  {item.name} -> {item.output_path}")
    if len(left) > 10:
        echo_message("  ...")
    echo_message(f"results would go to {' and '.join(outputs.places) or 'nowhere'}; nothing was done (--dry-run)")
    return 0
