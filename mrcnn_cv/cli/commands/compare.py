"""`mrcnn-cv compare`: whether two models, or two backends, find the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.console.messages import echo_error
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import OUTPUT, from_params, option
from mrcnn_cv.cli.param_types import FRACTION, CommaList, PathText
from mrcnn_cv.cli.resolve_model import resolve_model

if TYPE_CHECKING:
    from mrcnn_cv.jobs.options import ModelOptions

COMPARED = "What is compared"

DISAGREEMENT_EXIT_CODE = 7
"""With --min-agreement: the two agree less."""

_SCORE_HELP = "Compare instances with a score above this, 0 to 1; `model`: each model's own threshold."
_IOU_HELP = "Boxes of one class are the same instance from this overlap on, 0 to 1."
_MINIMUM_HELP = "End with exit code 7 where a smaller share of the instances is found by both."
_WORST_HELP = "How many of these images; those without any difference are skipped."
_PARAMETERS = [
    click.Argument(["words"], nargs=-1, metavar="[MODEL_A MODEL_B] SOURCE...", type=PathText()),
    *options.MODEL_OPTIONS,
    option(
        COMPARED,
        "--backends",
        CommaList(options.ENGINE),
        "Compare these two backends, with one model: --model, or the demo model.",
        "none, two models are compared",
        environment=False,
        metavar="A,B",
    ),
    options.score(COMPARED, "0.5", _SCORE_HELP),
    option(COMPARED, "--iou", FRACTION, _IOU_HELP, default="0.5"),
    options.limit(COMPARED),
    option(COMPARED, "--min-agreement", FRACTION, _MINIMUM_HELP, "none"),
    options.directory("mrcnn-compare", "Folder for the images on which the two differ most, side by side."),
    option(OUTPUT, "--worst", click.IntRange(0, 1000), _WORST_HELP, default="10"),
    options.json_file("--json report", "Write all numbers, by image, to this file; - is stdout, not the table."),
    options.overwrite(),
    options.DURABLE,
    options.quiet("The numbers and errors only."),
]


@click.command(cls=GroupedCommand, params=_PARAMETERS, short_help="Compare what two models, or two backends, find.")
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
    first, second = _sides(context, models)
    from mrcnn_cv.cli.console.reporter import ConsoleReporter
    from mrcnn_cv.jobs import ComparisonOptions
    from mrcnn_cv.jobs import compare as run_comparison

    reporter = ConsoleReporter(quiet=params["quiet"], has_table=params["report"] != "-")
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
        share = f"{result.agreement:.4f} of the instances"
        echo_error(f"{share} are found by both, which is below --min-agreement {minimum:g}")
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
        sides.append(resolve_model(context, backend=backend))
    # Thresholds that were registered with a name would be those of one side alone.
    context.params = given
    return sides
