"""`mrcnn-cv bench`: how fast a model is here, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import MAX_THREADS, ROI, flag, from_params, option
from mrcnn_cv.cli.param_types import SIZE, CommaList, PathText
from mrcnn_cv.cli.resolve_model import find_model

RUNS = "What runs"

MAX_KEPT = 1000

_SIZES_HELP = "Sizes to which the image is resized first, comma-separated: 640x480,4000x3000."
_KEPT_HELP = "Instances to keep, the best ones whatever their score, comma-separated: 5,20."
_ROI_HELP = "How regions are cut from feature maps, comma-separated: align, as models are trained, pool."
_PARAMETERS = [
    click.Argument(["image"], required=False, type=PathText(), metavar="[IMAGE]"),
    options.MODEL_PATH,
    options.YES,
    options.pipeline_config(),
    option(
        RUNS,
        "--backend backends",
        CommaList(options.ENGINE),
        "Backends to time, comma-separated: cpu,openvino.",
        default="auto",
    ),
    options.DEVICE,
    option(
        RUNS,
        "--threads",
        CommaList(click.IntRange(1, MAX_THREADS)),
        "Threads, comma-separated: 1,2.",
        "all processors",
        default=(),
        metavar="NUMBERS",
    ),
    option(RUNS, "--size sizes", CommaList(SIZE), _SIZES_HELP, "its own", default=(), metavar="SIZES"),
    option(RUNS, "--kept", CommaList(click.IntRange(1, MAX_KEPT)), _KEPT_HELP, default="5", metavar="NUMBERS"),
    option(RUNS, "--roi", CommaList(click.Choice(ROI, False)), _ROI_HELP, default="align", metavar="METHODS"),
    flag(RUNS, "--fast", "Time it with a third of the model's proposals, too."),
    option(RUNS, "--rounds", click.IntRange(1, 1000), "Rounds; all take turns.", default="7"),
    options.json_file("--json report", "All numbers as JSON; - is stdout.", environment=False),
    options.plot("The times as a plot.", environment=False),
    options.overwrite(),
    options.DURABLE,
    options.quiet("Do not say on stderr what is going on."),
]


@click.command(cls=GroupedCommand, params=_PARAMETERS, short_help="Time a model here, step by step.")
@click.pass_context
def bench(context: click.Context, /, image: str | None, report: str | None, plot: str | None, **_: Any) -> None:
    """Time a model on this machine.

    Without an IMAGE one is made up. Each step is timed, over several rounds after a warm-up, in which all backends
    run in turn; shown are the median and the quartiles.
    """
    params = context.params
    # Not at the top, so that --help does not import numpy.
    from mrcnn_cv.inputs.images.header_size import max_pixels

    for width, height in params["sizes"]:
        size = f"{width}x{height} has {width * height:,}"
        if width * height > max_pixels():
            raise click.UsageError(f"--size takes at most {max_pixels():,} pixels, and {size}")
    find_model(context)
    from mrcnn_cv.bench.plot import png
    from mrcnn_cv.bench.run import BenchOptions, Variant
    from mrcnn_cv.bench.run import bench as run
    from mrcnn_cv.bench.table import lines
    from mrcnn_cv.cli.console.tables import echo_lines
    from mrcnn_cv.jobs.options import ModelOptions
    from mrcnn_cv.jobs.report_file import ReportFile, check_different

    check_different(report, plot)
    protected = ModelOptions(params["model"], config=params["pipeline_config"]).files
    protected += [] if image is None else [Path(image)]
    # A run takes minutes: what cannot be written at its end is said at its beginning.
    report_file, plot_file = (
        None
        if name is None
        else ReportFile(name, overwrite=params["overwrite"], protected=protected, durable=params["durable"])
        for name in (report, plot)
    )
    bench_options = from_params(
        BenchOptions,
        params,
        model=Path(params["model"]),
        image=None if image is None else Path(image),
        config=params["pipeline_config"],
        variants=tuple(Variant(roi, fast) for fast in (False, True)[: 1 + params["fast"]] for roi in params["roi"]),
    )
    results = run(bench_options, lambda text: None if params["quiet"] else echo_message(f"mrcnn-cv: {text}"))
    if report != "-":
        echo_lines(lines(results))
    if report_file is not None:
        # ASCII alone: names of files may hold bytes that are no UTF-8.
        report_file.write(json.dumps(results.to_dict(), indent=2).encode("ascii") + b"\n")
    if plot_file is not None:
        plot_file.write(png(results))
