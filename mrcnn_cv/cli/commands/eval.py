"""`mrcnn-cv eval`: how good a model is on a data set in COCO's format."""

from __future__ import annotations

from typing import Any

import click

from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import ROI, model_options, option
from mrcnn_cv.cli.param_types import Choice, Fraction, IntRange, PathText, Workers
from mrcnn_cv.cli.setup import check_stdout, limit_blas_threads, take_model

FIGURES, OUTPUT, RUN, MESSAGES = "What is measured", "Output", "Runs", "Messages"

PROGRESS = ("auto", "bar", "lines", "json", "none")


@click.command("eval", cls=GroupedCommand, short_help="Measure a model on a data set in COCO's format: AP, AR.")
@click.argument("annotations", metavar="ANNOTATIONS.json", type=PathText())
@click.argument("images", metavar="IMAGES", type=PathText("dir"))
@model_options
@option(
    FIGURES,
    "--limit",
    type=IntRange(1, 1_000_000_000),
    metavar="N",
    help="Only the first N pictures of the file.",
    default_note="all",
)
@option(
    FIGURES,
    "--score",
    type=Fraction("model"),
    default="model",
    environment=False,
    metavar="FRACTION",
    help="Leave out instances with a score up to this, 0 to 1; `model`: the model's own threshold.",
)
@option(
    FIGURES,
    "--roi",
    type=Choice(ROI),
    default="align",
    metavar="METHOD",
    help="How regions are cut from feature maps: align, as the model was trained, or pool, which rounds them to cells.",
)
@option(
    OUTPUT,
    "-o",
    "--output",
    type=PathText("dir"),
    default="mrcnn-eval",
    metavar="DIR",
    help="Folder for results.json, and for what --resume needs.",
)
@option(
    OUTPUT,
    "--json",
    "json_file",
    type=PathText(),
    metavar="FILE",
    help="Write all figures to this file; - is stdout, in place of the table.",
    default_note="none",
)
@option(
    OUTPUT,
    "--plot",
    type=PathText(),
    metavar="FILE.png",
    help="Draw precision-recall curves and a confusion matrix.",
    default_note="none",
)
@option(OUTPUT, "--overwrite", is_flag=True, help="Start anew in a folder that holds a run; replace other files.")
@option(RUN, "--resume", is_flag=True, help="Go on with the run in the folder: pictures that are done stay.")
@option(
    RUN,
    "--workers",
    type=Workers(),
    default="auto",
    metavar="N",
    help="Pictures in work at the same time; auto: what turns out the fastest.",
)
@option(
    RUN,
    "--progress",
    type=Choice(PROGRESS),
    default="auto",
    metavar="KIND",
    help="bar, lines, json or none; auto: a bar on a terminal, else a line now and then.",
)
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="The figures and errors only.")
def evaluate(annotations: str, images: str, **options: Any) -> int:
    """Measure a model on the data set of ANNOTATIONS.json, in COCO's format, with its pictures in the folder IMAGES.

    Prints COCO's figures of masks and boxes: AP, AP50, AP75, by size and by class, and AR. They are computed by
    pycocotools, which comes with

    \b
    pip install 'mrcnn-cv[eval]'
    """
    check_stdout(options["json_file"])
    if options["plot"] is not None and not options["plot"].lower().endswith(".png"):
        raise click.UsageError(f"--plot draws PNG files: name one that ends with .png, not '{options['plot']}'")
    score = options["score"]
    is_demo = take_model(options)
    # A threshold that was registered with a name is for looking at pictures.
    options["score"] = score
    limit_blas_threads()
    from mrcnn_cv.jobs.evaluate import run_evaluation

    return run_evaluation(annotations, images, options, is_demo)
