"""What `mrcnn-cv predict` does once its command line is read: put the parts of a run together, and run it."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mrcnn_cv.cli.batch_report import BatchReport
from mrcnn_cv.cli.interrupts import Interrupts
from mrcnn_cv.cli.predict_outputs import Outputs
from mrcnn_cv.cli.report import Report
from mrcnn_cv.cli.say import say
from mrcnn_cv.errors import INTERRUPTED_EXIT_CODE, InputError, UsageError
from mrcnn_cv.frame import Unreadable
from mrcnn_cv.rcnn.model import MaskRCNN
from mrcnn_cv.run import Listener, Stop, Thresholds, run
from mrcnn_cv.run.books import Books
from mrcnn_cv.run.crew import Crew, Models, plans_for
from mrcnn_cv.run.manifest import versions
from mrcnn_cv.run.summary import Totals
from mrcnn_cv.sinks.ownership import OutputRecord
from mrcnn_cv.sources.folders import Search
from mrcnn_cv.sources.items import Item, Listing
from mrcnn_cv.sources.listing import list_pictures
from mrcnn_cv.sources.order import Chosen
from mrcnn_cv.sources.watch import Watch

OF_THE_RESULT = (
    *("labels", "pipeline_config", "score", "mask_threshold", "nms", "max_instances", "classes", "exclude"),
    *("save", "polygons", "min_area", "soft_edges", "opacity", "line_width", "hide", "color_by"),
    *("no_recursive", "include_files", "exclude_files"),
)
"""Options that decide what a run puts out: a run is resumed with the same ones."""


class FailureLimit(Listener):
    """Ends a run with more failures than it may have; most: None for any number."""

    def __init__(self, most: int | None, stop: Stop) -> None:
        self._left = most
        self._stop = stop
        self.is_reached = False

    def failed(self, failed: Unreadable) -> None:
        if self._left is not None:
            self._left -= 1
            self.is_reached = self.is_reached or self._left < 0
            self._stop.requested = self._stop.requested or self.is_reached


def execute(sources: Sequence[str], options: dict[str, Any], is_demo: bool) -> int:
    """Run; returns the exit code."""
    search, lists = _search(options), [Path(name) for name in options["list"]]
    listing = list_pictures(sources, search, lists)
    outputs = Outputs(options, listing.items)
    is_batch = listing.is_batch or options["resume"] or options["watch"]
    books = Books(outputs.folder, options["resume"]) if is_batch and outputs.folder is not None else None
    if options["dry_run"]:
        return _tell(listing, books, outputs)
    model = _load(options)
    sinks, aggregates = outputs.files(model, {str(item.place): index for index, item in enumerate(listing.items)})
    items = list(listing.items) if books is None else books.to_do(listing.items, aggregates)
    totals = Totals(pictures=len(items)) if books is None else books.totals
    report = (
        BatchReport(options["quiet"], options["verbose"], outputs.places, totals, options["progress"])
        if is_batch
        else Report(options["quiet"], options["verbose"], outputs.places)
    )
    report.loaded(model, is_demo)
    thresholds = _thresholds(model, options)
    stop = Stop()
    limit = FailureLimit(0 if options["fail_fast"] else options["max_failures"], stop)
    listeners = [*([totals] if books is None else books.listeners), limit, report]
    crew = _crew(model, options, None if options["watch"] else len(items))
    source: Iterable[Item | None] = items
    if options["watch"]:
        totals.pictures = None
        source = Watch(
            lambda: _not_kept(list_pictures(sources, search, lists), books, aggregates), lambda: stop.requested
        )
    if books is not None:
        books.open(_head(sources, options, model))
    code = 1
    with Interrupts(stop) as interrupts, ExitStack() as stack:
        stack.callback(report.end)
        try:
            together = [] if aggregates is None else [aggregates]
            outcome = run(crew, source, [*sinks, *together, *outputs.streams], thresholds, listeners, stop)
            code = InputError.exit_code if outcome.failed else 0
            if interrupts.received is not None:
                code = 128 + interrupts.received if interrupts.received == signal.SIGTERM else INTERRUPTED_EXIT_CODE
        finally:
            if books is not None:
                books.close(code)
    if limit.is_reached:
        say("mrcnn-cv: error: too many pictures failed, so the run was ended (--max-failures or --fail-fast)")
    if interrupts.received is not None:
        more = "; the same command with --resume goes on" if books is not None else ""
        say(f"mrcnn-cv: interrupted; what was written so far is complete{more}")
    return code


def _search(options: dict[str, Any]) -> Search:
    """How folders are searched: not where this run writes to, nor for files that mrcnn-cv wrote."""

    def outputs(folder: Path) -> Any:
        record = OutputRecord(folder)
        return record.wrote if record.exists() else None

    output = Path(options["output"])
    skip: frozenset[tuple[int, int]] = frozenset()
    # The output folder may be that of the pictures, whose outputs are then told one by one.
    given = {os.path.abspath(source) for source in options["sources"]}
    if output.is_dir() and os.path.abspath(output) not in given:
        status = output.stat()
        skip = frozenset({(status.st_dev, status.st_ino)})
    chosen = Chosen(options["include_files"], options["exclude_files"])
    return Search(chosen, recursive=not options["no_recursive"], skip=skip, outputs=outputs)


def _load(options: dict[str, Any]) -> MaskRCNN:
    return MaskRCNN.load(
        options["model"], options["backend"], options["labels"], options["pipeline_config"], options["threads"]
    )


def _thresholds(model: MaskRCNN, options: dict[str, Any]) -> Thresholds:
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


def _crew(model: MaskRCNN, options: dict[str, Any], pictures: int | None) -> Crew:
    """The workers: as many as were asked for, or as turn out to be the fastest."""
    wanted = None if options["workers"] == "auto" else int(options["workers"])
    plans = plans_for(wanted, options["threads"], model.chosen_backend, pictures)
    return Crew(Models(model, lambda: _load({**options, "threads": None})), plans)


def _not_kept(listing: Listing, books: Books | None, aggregates: Any) -> list[Item]:
    """The pictures of a folder that is watched, without those that an earlier run did."""
    if books is None or books.past is None:
        return list(listing.items)
    return [item for item in listing.items if not books.is_done(item, aggregates)]


def _head(sources: Sequence[str], options: dict[str, Any], model: MaskRCNN) -> dict[str, Any]:
    """What the manifest says about a run before its first picture."""
    digest = hashlib.sha256()
    with model.path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return {
        "sources": [*sources, *(f"--list {name}" for name in options["list"])],
        "options": {name: options[name] for name in OF_THE_RESULT},
        "model": {"file": model.path.name, "sha256": digest.hexdigest()},
        "versions": versions(),
        "backend": options["backend"],
    }


def _tell(listing: Listing, books: Books | None, outputs: Outputs) -> int:
    """--dry-run: what would be done."""
    items = listing.items
    left = items if books is None else books.to_do(items, None)
    say(f"{len(items):,} picture{'' if len(items) == 1 else 's'}, {len(left):,} to do")
    if listing.left_out:
        say(f"{listing.left_out:,} other files are left out")
    for item in left[:10]:
        say(f"  {item.name} -> {item.place}")
    if len(left) > 10:
        say("  ...")
    say(f"results would go to {' and '.join(outputs.places) or 'nowhere'}; nothing was done (--dry-run)")
    return 0
