"""`mrcnn-cv bench`: how fast a model is here, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.console.messages import echo_message, sanitize
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import (
    BACKENDS,
    MAX_THREADS,
    ROI,
    config_option,
    device_option,
    flag,
    model_file_options,
    option,
    overwrite_option,
    plot_option,
    quiet_option,
    report_option,
)
from mrcnn_cv.cli.param_types import CommaList, PathText, Size, is_engine
from mrcnn_cv.cli.resolve_model import resolve_model
from mrcnn_cv.cli.setup import check_stdout

if TYPE_CHECKING:
    from mrcnn_cv.bench.results import BenchResults
    from mrcnn_cv.jobs.report_file import ReportFile

RUNS = "What runs"

MAX_KEPT = 1000


@click.command(cls=GroupedCommand, short_help="Time a model here, step by step.")
@click.argument("image", required=False, type=PathText(), metavar="[IMAGE]")
@model_file_options
@config_option()
@option(
    RUNS,
    "--backend",
    "backends",
    type=CommaList(BACKENDS, is_plugin=is_engine),
    default="auto",
    metavar="NAMES",
    help="Backends to time, comma-separated: cpu,openvino.",
)
@device_option
@option(
    RUNS,
    "--threads",
    type=CommaList(item=click.IntRange(1, MAX_THREADS)),
    metavar="NUMBERS",
    help="Threads, comma-separated: 1,2.",
    default_note="all processors",
)
@option(
    RUNS,
    "--size",
    "sizes",
    type=CommaList(item=Size()),
    metavar="SIZES",
    help="Sizes to which the image is resized first, comma-separated: 640x480,4000x3000.",
    default_note="its own",
)
@option(
    RUNS,
    "--kept",
    type=CommaList(item=click.IntRange(1, MAX_KEPT)),
    default="5",
    metavar="NUMBERS",
    help="Instances to keep, the best ones whatever their score, comma-separated: 5,20.",
)
@option(
    RUNS,
    "--roi",
    type=CommaList(ROI),
    default="align",
    metavar="METHODS",
    help="How regions are cut from feature maps, comma-separated: align, as models are trained, pool.",
)
@flag(RUNS, "--fast", help="Time it with a third of the model's proposals, too.")
@option(RUNS, "--rounds", type=click.IntRange(1, 1000), default="7", metavar="N", help="Rounds; all take turns.")
@report_option("All numbers as JSON; - is stdout.", environment=False)
@plot_option("The times as a plot.", environment=False)
@overwrite_option()
@quiet_option("Do not say on stderr what is going on.")
@click.pass_context
def bench(context: click.Context, /, image: str | None, **_: Any) -> None:
    """Time a model on this machine.

    Without an IMAGE one is made up. Each step is timed, over several rounds after a warm-up, in which all backends
    run in turn; shown are the median and the quartiles.
    """
    params = context.params
    for width, height in params["sizes"] or ():
        _check_pixels(width, height)
    check_stdout(params["report"])
    resolve_model(context)
    report, plot = _report_files(context, image)
    from mrcnn_cv.bench.run import BenchOptions, Variant
    from mrcnn_cv.bench.run import bench as run

    options = BenchOptions(
        model=Path(params["model"]),
        image=None if image is None else Path(image),
        config=params["pipeline_config"],
        backends=params["backends"],
        device=params["device"],
        threads=params["threads"] or (),
        sizes=params["sizes"] or (),
        kept=params["kept"],
        variants=tuple(Variant(roi, fast) for fast in (False, True)[: 1 + params["fast"]] for roi in params["roi"]),
        rounds=params["rounds"],
    )
    quiet = params["quiet"]
    _show(run(options, lambda text: None if quiet else echo_message(f"mrcnn-cv: {text}")), report, plot)


def _check_pixels(width: int, height: int) -> None:
    # Not at the top, so that --help does not import numpy.
    from mrcnn_cv.inputs.images.header_size import max_pixels

    if width * height > max_pixels():
        raise click.UsageError(
            f"--size takes at most {max_pixels():,} pixels, and {width}x{height} has {width * height:,}"
        )


def _report_files(context: click.Context, image: str | None) -> tuple[ReportFile | None, ReportFile | None]:
    """What --json and --plot name. A run takes minutes: what cannot be written at its end is said at its beginning."""
    from mrcnn_cv.jobs.options import ModelOptions
    from mrcnn_cv.jobs.report_file import ReportFile, check_different

    params = context.params
    check_different(params["report"], params["plot"])
    protected = ModelOptions(params["model"], config=params["pipeline_config"]).files
    protected += [] if image is None else [Path(image)]
    report, plot = (
        None if name is None else ReportFile(name, overwrite=params["overwrite"], protected=protected)
        for name in (params["report"], params["plot"])
    )
    return report, plot


def _show(results: BenchResults, report: ReportFile | None, plot: ReportFile | None) -> None:
    """The table, unless the JSON takes its place on stdout; then the files."""
    from mrcnn_cv.bench.table import lines

    if report is None or report.name != "-":
        for line in lines(results):
            click.echo(sanitize(line))
    if report is not None:
        # ASCII alone: names of files may hold bytes that are no UTF-8.
        report.write(json.dumps(results.to_dict(), indent=2).encode("ascii") + b"\n")
    if plot is not None:
        from mrcnn_cv.bench.plot import png

        plot.write(png(results))
