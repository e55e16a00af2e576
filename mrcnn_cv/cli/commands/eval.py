"""`mrcnn-cv eval`: how good a model is on a data set in COCO's format."""

from __future__ import annotations

from typing import Any

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import ROI, from_params, option
from mrcnn_cv.cli.param_types import PathText
from mrcnn_cv.cli.resolve_model import resolve_model

METRICS = "What is measured"

_SCORE_HELP = "Skip instances with a score up to this, 0 to 1; `model`: the model's own threshold."
_ROI_HELP = (
    "How regions are cut from feature maps: align, as the model was trained, or pool, which rounds them to cells."
)
_PARAMETERS = [
    click.Argument(["annotations"], metavar="ANNOTATIONS.json", type=PathText()),
    click.Argument(["images"], metavar="IMAGES", type=PathText(is_folder=True)),
    *options.MODEL_OPTIONS,
    options.limit(METRICS),
    options.score(METRICS, "model", _SCORE_HELP, environment=False),
    option(METRICS, "--roi", click.Choice(ROI, False), _ROI_HELP, default="align", metavar="METHOD"),
    options.directory("mrcnn-eval", "Folder for results.json, and for what --resume needs."),
    options.json_file("--json report", "Write all metrics to this file; - is stdout, not the table."),
    options.plot("Draw precision-recall curves and a confusion matrix."),
    options.overwrite("Start anew in a folder that holds a run; replace other files."),
    options.DURABLE,
    *options.RUN_OPTIONS,
    options.quiet("The metrics and errors only."),
]


@click.command(
    "eval", cls=GroupedCommand, params=_PARAMETERS, short_help="Measure a model on a data set in COCO's format: AP, AR."
)
@click.pass_context
def evaluate(context: click.Context, /, annotations: str, images: str, **_: Any) -> int:
    """Measure a model on the data set of ANNOTATIONS.json, in COCO's format, with its images in the folder IMAGES.

    Prints COCO's metrics of masks and boxes: AP, AP50, AP75, by size and by class, and AR. They are computed by
    pycocotools, which comes with

    \b
    pip install 'mrcnn-cv[eval]'
    """
    params = context.params
    if params["plot"] is not None and not params["plot"].lower().endswith(".png"):
        raise click.UsageError(f"--plot draws PNG files: name one that ends with .png, not '{params['plot']}'")
    score, is_demo = params["score"], params["model"] is None
    model = resolve_model(context)
    from mrcnn_cv.cli.console.reporter import ConsoleReporter
    from mrcnn_cv.jobs import EvaluationOptions, RunOptions
    from mrcnn_cv.jobs import evaluate as run_evaluation

    reporter = ConsoleReporter(
        quiet=params["quiet"], progress=params["progress"], is_demo=is_demo, has_table=params["report"] != "-"
    )
    result = run_evaluation(
        annotations,
        images,
        model,
        # A threshold that was registered with a name is for looking at images.
        options=from_params(EvaluationOptions, params, score=score),
        run=from_params(RunOptions, params),
        observer=reporter,
        cancellation=reporter.cancellation,
    )
    if result.can_resume:
        echo_message("mrcnn-cv: interrupted; the same command with --resume goes on")
    return result.exit_code
