"""`mrcnn-cv eval`: how good a model is on a data set in COCO's format."""

from __future__ import annotations

from typing import Any

import click

from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import (
    ROI,
    directory_option,
    from_params,
    limit_option,
    model_options,
    option,
    overwrite_option,
    plot_option,
    quiet_option,
    report_option,
    run_options,
    score_option,
)
from mrcnn_cv.cli.param_types import PathText
from mrcnn_cv.cli.resolve_model import model_options as chosen_model
from mrcnn_cv.cli.resolve_model import resolve_model
from mrcnn_cv.cli.setup import check_stdout, limit_blas_threads

METRICS = "What is measured"


@click.command("eval", cls=GroupedCommand, short_help="Measure a model on a data set in COCO's format: AP, AR.")
@click.argument("annotations", metavar="ANNOTATIONS.json", type=PathText())
@click.argument("images", metavar="IMAGES", type=PathText("dir"))
@model_options
@limit_option(METRICS)
@score_option(
    METRICS,
    "model",
    "Skip instances with a score up to this, 0 to 1; `model`: the model's own threshold.",
    environment=False,
)
@option(
    METRICS,
    "--roi",
    type=click.Choice(ROI, case_sensitive=False),
    default="align",
    metavar="METHOD",
    help="How regions are cut from feature maps: align, as the model was trained, or pool, which rounds them to cells.",
)
@directory_option("mrcnn-eval", "Folder for results.json, and for what --resume needs.")
@report_option("Write all metrics to this file; - is stdout, in place of the table.")
@plot_option("Draw precision-recall curves and a confusion matrix.")
@overwrite_option("Start anew in a folder that holds a run; replace other files.")
@run_options
@quiet_option("The metrics and errors only.")
@click.pass_context
def evaluate(context: click.Context, /, annotations: str, images: str, **_: Any) -> int:
    """Measure a model on the data set of ANNOTATIONS.json, in COCO's format, with its images in the folder IMAGES.

    Prints COCO's metrics of masks and boxes: AP, AP50, AP75, by size and by class, and AR. They are computed by
    pycocotools, which comes with

    \b
    pip install 'mrcnn-cv[eval]'
    """
    params = context.params
    check_stdout(params["report"])
    if params["plot"] is not None and not params["plot"].lower().endswith(".png"):
        raise click.UsageError(f"--plot draws PNG files: name one that ends with .png, not '{params['plot']}'")
    score = params["score"]
    is_demo = resolve_model(context)
    # A threshold that was registered with a name is for looking at images.
    params["score"] = score
    limit_blas_threads()
    from mrcnn_cv.cli.console.eval_table import print_evaluation
    from mrcnn_cv.cli.console.reporter import ConsoleReporter
    from mrcnn_cv.jobs import EvaluationOptions, RunOptions
    from mrcnn_cv.jobs import evaluate as run_evaluation

    reporter = ConsoleReporter(
        quiet=params["quiet"],
        progress=params["progress"],
        is_demo=is_demo,
        show_evaluation=lambda result: None if params["report"] == "-" else print_evaluation(result),
    )
    result = run_evaluation(
        annotations,
        images,
        chosen_model(context),
        options=from_params(EvaluationOptions, params),
        run=from_params(RunOptions, params),
        observer=reporter,
        cancellation=reporter.cancellation,
    )
    if result.can_resume:
        echo_message("mrcnn-cv: interrupted; the same command with --resume goes on")
    return result.exit_code
