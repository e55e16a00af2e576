"""`mrcnn-cv compare`: whether two models, or two backends, find the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import (
    BACKENDS,
    OUTPUT,
    directory_option,
    from_params,
    limit_option,
    model_options,
    option,
    overwrite_option,
    quiet_option,
    report_option,
    score_option,
)
from mrcnn_cv.cli.param_types import CommaList, Fraction, PathText, is_engine
from mrcnn_cv.cli.resolve_model import model_options as chosen_model
from mrcnn_cv.cli.resolve_model import resolve_model
from mrcnn_cv.cli.setup import check_stdout, limit_blas_threads

if TYPE_CHECKING:
    from mrcnn_cv.jobs.options import ModelOptions

COMPARED = "What is compared"

DISAGREEMENT_EXIT_CODE = 7
"""With --min-agreement: the two agree less."""


@click.command(cls=GroupedCommand, short_help="Compare what two models, or two backends, find.")
@click.argument("words", nargs=-1, metavar="[MODEL_A MODEL_B] SOURCE...", type=PathText())
@model_options
@option(
    COMPARED,
    "--backends",
    type=CommaList(BACKENDS, is_plugin=is_engine),
    environment=False,
    metavar="A,B",
    help="Compare these two backends, with one model: --model, or the demo model.",
    default_note="none, two models are compared",
)
@score_option(
    COMPARED, "0.5", "Compare instances with a score above this, 0 to 1; `model`: each model's own threshold."
)
@option(
    COMPARED,
    "--iou",
    type=Fraction(),
    default="0.5",
    metavar="FRACTION",
    help="Boxes of one class are the same instance from this overlap on, 0 to 1.",
)
@limit_option(COMPARED)
@option(
    COMPARED,
    "--min-agreement",
    type=Fraction(),
    metavar="FRACTION",
    help="End with exit code 7 where a smaller share of the instances is found by both.",
    default_note="none",
)
@directory_option("mrcnn-compare", "Folder for the images on which the two differ most, side by side.")
@option(
    OUTPUT,
    "--worst",
    type=click.IntRange(0, 1000),
    default="10",
    metavar="N",
    help="How many of these images; those without any difference are skipped.",
)
@report_option("Write all numbers, by image, to this file; - is stdout, in place of the table.")
@overwrite_option()
@quiet_option("The numbers and errors only.")
@click.pass_context
def compare(context: click.Context, /, words: tuple[str, ...], **_: Any) -> int:
    """Compare what two models, or one model on two backends, find in the same images.

    \b
    mrcnn-cv compare model_a.pb model_b.pb photos
    mrcnn-cv compare photos --model model.pb --backends cpu,openvino-bf16

    Instances of one class belong together by the overlap of their boxes. Prints how many both found, and by how much
    boxes, scores and masks differ; the worst images go side by side into the output folder. SOURCE is what
    `mrcnn-cv predict` takes: images, folders, patterns, archives, addresses.
    """
    params = context.params
    models, sources = _split(context, words)
    check_stdout(params["report"])
    limit_blas_threads()
    first, second = _sides(context, models)
    from mrcnn_cv.cli.console.comparison_table import print_comparison
    from mrcnn_cv.cli.console.reporter import ConsoleReporter
    from mrcnn_cv.jobs import ComparisonOptions
    from mrcnn_cv.jobs import compare as run_comparison

    reporter = ConsoleReporter(
        quiet=params["quiet"],
        show_comparison=lambda result: None if params["report"] == "-" else print_comparison(result),
    )
    result = run_comparison(
        first,
        second,
        sources,
        options=from_params(ComparisonOptions, params),
        observer=reporter,
        cancellation=reporter.cancellation,
    )
    minimum = params["min_agreement"]
    if not reporter.cancellation.requested and minimum is not None and result.agreement < minimum:
        echo_message(
            f"mrcnn-cv: error: {result.agreement:.4f} of the instances are found by both, which is below"
            f" --min-agreement {minimum:g}"
        )
        return DISAGREEMENT_EXIT_CODE
    return result.exit_code


def _split(context: click.Context, words: tuple[str, ...]) -> tuple[list[str | None], tuple[str, ...]]:
    """The two models, and the sources."""
    params = context.params
    if params["backends"] is None:
        if params["model"] is not None and _given(context, "model"):
            raise click.UsageError("--model goes with --backends A,B; two models come before the images")
        if len(words) < 3:
            raise click.UsageError("give two models and then images, or images and --backends A,B")
        models: list[str | None] = [words[0], words[1]]
        sources = words[2:]
    else:
        if len(params["backends"]) != 2:
            raise click.UsageError("--backends takes two, such as cpu,openvino-bf16")
        if _given(context, "backend"):
            raise click.UsageError("--backend goes with two models, --backends A,B with one: give one of them")
        models, sources = [params["model"], params["model"]], words
    if not sources:
        raise click.UsageError("SOURCE is missing: name an image file or a folder")
    if "-" in sources:
        raise click.UsageError("the worst images are read once more at the end, which - cannot be: name files")
    return models, sources


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _sides(context: click.Context, models: list[str | None]) -> list[ModelOptions]:
    """What each side is loaded with, its model found."""
    given = dict(context.params)
    backends = given["backends"] or (given["backend"], given["backend"])
    sides = []
    for model, backend in zip(models, backends, strict=True):
        context.params = {**given, "model": model, "backend": backend}
        # OpenVINO's devices are for OpenVINO.
        if given["backends"] is not None and not backend.startswith("openvino"):
            context.params["device"] = None
        resolve_model(context)
        sides.append(chosen_model(context, backend=backend))
    # Thresholds that were registered with a name would be those of one side alone.
    context.params = given
    return sides
