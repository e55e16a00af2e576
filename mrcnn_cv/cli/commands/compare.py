"""`mrcnn-cv compare`: whether two models, or two backends, find the same."""

from __future__ import annotations

from typing import Any

import click

from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import BACKENDS, model_options, option
from mrcnn_cv.cli.param_types import CommaList, Fraction, IntRange, PathText, is_engine
from mrcnn_cv.cli.setup import check_stdout, limit_blas_threads, take_model

FIGURES, OUTPUT, MESSAGES = "What is compared", "Output", "Messages"


@click.command(cls=GroupedCommand, short_help="Compare what two models, or two backends, find.")
@click.argument("words", nargs=-1, metavar="[MODEL_A MODEL_B] SOURCE...", type=PathText())
@model_options
@option(
    FIGURES,
    "--backends",
    type=CommaList(BACKENDS, plugin=is_engine),
    environment=False,
    metavar="A,B",
    help="Compare these two backends, with one model: --model, or the demo model.",
    default_note="none, two models are compared",
)
@option(
    FIGURES,
    "--score",
    type=Fraction("model"),
    default="0.5",
    metavar="FRACTION",
    help="Compare instances with a score above this, 0 to 1; `model`: each model's own threshold.",
)
@option(
    FIGURES,
    "--iou",
    type=Fraction(),
    default="0.5",
    metavar="FRACTION",
    help="Boxes of one class are the same instance from this overlap on, 0 to 1.",
)
@option(
    FIGURES,
    "--limit",
    type=IntRange(1, 1_000_000_000),
    metavar="N",
    help="Only the first N pictures.",
    default_note="all",
)
@option(
    FIGURES,
    "--min-agreement",
    type=Fraction(),
    metavar="FRACTION",
    help="End with exit code 7 where a smaller share of the instances is found by both.",
    default_note="none",
)
@option(
    OUTPUT,
    "-o",
    "--output",
    type=PathText("dir"),
    default="mrcnn-compare",
    metavar="DIR",
    help="Folder for the pictures on which the two differ most, side by side.",
)
@option(
    OUTPUT,
    "--worst",
    type=IntRange(0, 1000),
    default="10",
    metavar="N",
    help="How many of these pictures; those without any difference are left out.",
)
@option(
    OUTPUT,
    "--json",
    "json_file",
    type=PathText(),
    metavar="FILE",
    help="Write all figures, by picture, to this file; - is stdout, in place of the table.",
    default_note="none",
)
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace files other than outputs of an earlier run.")
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="The figures and errors only.")
def compare(words: tuple[str, ...], **options: Any) -> int:
    """Compare what two models, or one model on two backends, find in the same pictures.

    \b
    mrcnn-cv compare model_a.pb model_b.pb photos
    mrcnn-cv compare photos --model model.pb --backends cpu,openvino-bf16

    Instances of one class belong together by the overlap of their boxes. Prints how many both found, and by how much
    boxes, scores and masks differ; the worst pictures go side by side into the output folder. SOURCE is what
    `mrcnn-cv predict` takes: images, folders, patterns, archives, addresses.
    """
    models, sources = _split(words, options)
    check_stdout(options["json_file"])
    sides = _sides(models, options)
    limit_blas_threads()
    from mrcnn_cv.jobs.compare import run_comparison

    return run_comparison(sides, sources, options)


def _split(words: tuple[str, ...], options: dict[str, Any]) -> tuple[list[str | None], tuple[str, ...]]:
    """The two models, and the sources."""
    if options["backends"] is None:
        if options["model"] is not None and _given("model"):
            raise click.UsageError("--model goes with --backends A,B; two models come before the pictures")
        if len(words) < 3:
            raise click.UsageError("give two models and then pictures, or pictures and --backends A,B")
        models: list[str | None] = [words[0], words[1]]
        sources = words[2:]
    else:
        if len(options["backends"]) != 2:
            raise click.UsageError("--backends takes two, such as cpu,openvino-bf16")
        if _given("backend"):
            raise click.UsageError("--backend goes with two models, --backends A,B with one: give one of them")
        models, sources = [options["model"], options["model"]], words
    if not sources:
        raise click.UsageError("SOURCE is missing: name an image file or a folder")
    if "-" in sources:
        raise click.UsageError("the worst pictures are read once more at the end, which - cannot be: name files")
    return models, sources


def _given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _sides(models: list[str | None], options: dict[str, Any]) -> list[dict[str, Any]]:
    """The options with which each side is loaded, its model found."""
    backends = options["backends"] or (options["backend"], options["backend"])
    sides = []
    for model, backend in zip(models, backends, strict=True):
        side = {**options, "model": model, "backend": backend}
        # OpenVINO's devices are for OpenVINO.
        if options["backends"] is not None and not backend.startswith("openvino"):
            side["device"] = None
        take_model(side)
        # Thresholds that were registered with a name would be those of one side alone.
        sides.append({**side, "score": options["score"], "backend": backend})
    return sides
