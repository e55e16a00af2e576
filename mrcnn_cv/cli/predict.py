"""`mrcnn-cv predict`: find instances in images."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.commands import GroupedCommand
from mrcnn_cv.cli.options import model_options, option
from mrcnn_cv.cli.say import own_stdout
from mrcnn_cv.cli.values import Fraction, Names, OneOf, PathText, Whole
from mrcnn_cv.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from mrcnn_cv.draw import Style
    from mrcnn_cv.rcnn.model import MaskRCNN
    from mrcnn_cv.run import Thresholds
    from mrcnn_cv.sinks import Sink

FOUND, OUTPUT, LOOK, MESSAGES = "What counts as found", "Output", "Look of the overlay", "Messages"

NOTHING = "none"

# Spelled out, so that --help imports neither OpenCV nor numpy; a test compares them with sinks.FORMATS and draw.PARTS.
FORMATS = ("overlay", "json")
PARTS = ("labels", "boxes", "scores", "masks", "contours")


def _flat(context: click.Context, parameter: click.Parameter, value: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """`--classes person --classes dog` is `--classes person,dog`."""
    return tuple(dict.fromkeys(name for names in value for name in names))


@click.command(cls=GroupedCommand, short_help="Find instances in images (the default command).")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", type=PathText())
@model_options
@option(
    FOUND,
    "--score",
    type=Fraction("model"),
    default="0.5",
    metavar="FRACTION",
    help="Keep instances with a score above this, 0 to 1; `model`: the model's own threshold.",
)
@option(
    FOUND,
    "--mask-threshold",
    type=Fraction(),
    default="0.5",
    metavar="FRACTION",
    help="A pixel belongs to an instance above this probability, 0 to 1.",
)
@option(
    FOUND,
    "--nms",
    type=Fraction(),
    metavar="FRACTION",
    help="Of two boxes of a class with a larger overlap (IoU, 0 to 1) keep one.",
    default_note="the model's own",
)
@option(
    FOUND,
    "--max-instances",
    type=Whole(1, 1_000_000),
    metavar="N",
    help="Keep at most this many, the best ones.",
    default_note="the model's own",
)
@option(
    FOUND,
    "--classes",
    type=Names(),
    multiple=True,
    callback=_flat,
    metavar="NAMES",
    help="Look for these only: names or ids, comma-separated.",
    default_note="all",
)
@option(
    FOUND,
    "--exclude",
    type=Names(),
    multiple=True,
    callback=_flat,
    metavar="NAMES",
    help="Leave these classes out: names or ids, comma-separated.",
    default_note="none",
)
@option(
    OUTPUT,
    "-o",
    "--output",
    type=PathText("dir"),
    default="mrcnn-out",
    metavar="DIR",
    help="Folder for the results; made where it is missing.",
)
@option(
    OUTPUT,
    "--save",
    type=Names((*FORMATS, NOTHING), alone=NOTHING),
    default="overlay",
    metavar="FORMATS",
    help="What goes into that folder for each image: overlay, json, both comma-separated, or none.",
)
@option(
    OUTPUT,
    "--json",
    "json_lines",
    type=PathText(),
    metavar="FILE",
    help="Also write one JSON record per image, each on a line, to this file; - is stdout.",
    default_note="none",
)
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace files other than outputs of an earlier run.")
@option(OUTPUT, "--show", is_flag=True, help="Show each overlay in a window; any key goes on, q ends.")
@option(LOOK, "--opacity", type=Fraction(), default="0.45", metavar="FRACTION", help="Opacity of the masks, 0 to 1.")
@option(
    LOOK,
    "--line-width",
    type=Whole(1, 200),
    metavar="PIXELS",
    help="Width of contours and boxes.",
    default_note="grows with the image",
)
@option(
    LOOK,
    "--hide",
    type=Names(PARTS),
    multiple=True,
    callback=_flat,
    metavar="PARTS",
    help="Leave out labels, boxes, scores, masks or contours, comma-separated.",
    default_note="none",
)
@option(
    LOOK,
    "--color-by",
    type=OneOf(("instance", "class")),
    default="instance",
    metavar="WHAT",
    help="A colour for each instance, or for each class.",
)
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="Errors only.")
@option(MESSAGES, "-v", "--verbose", is_flag=True, help="Also where the time went.")
def predict(sources: tuple[str, ...], **options: Any) -> int:
    """Find instances in images and paint their masks.

    SOURCE is an image file; several at once are fine. Every option can be set in the environment as MRCNN_CV_<NAME>,
    for example MRCNN_CV_MODEL.
    """
    _check(sources, options)
    is_demo = options["model"] is None
    if is_demo:
        from mrcnn_cv.zoo import demo_model

        options["model"] = str(demo_model())
    else:
        from mrcnn_cv.cli.named_model import find_model

        find_model(click.get_current_context(), options, yes=options["yes"], quiet=options["quiet"])
    # These import OpenCV, so they wait until the command line is known to be sound.
    from mrcnn_cv.cli.report import Report
    from mrcnn_cv.run import run
    from mrcnn_cv.sources.images import ImageFiles

    sinks = _sinks(sources, options)
    report = Report(options["quiet"], options["verbose"], _places(options))
    model = _load(options)
    report.loaded(model, is_demo)
    thresholds = _thresholds(model, options)
    try:
        outcome = run(model, ImageFiles(sources), sinks, thresholds, report)
    finally:
        report.end()
    return InputError.exit_code if outcome.failed else 0


def _check(sources: tuple[str, ...], options: dict[str, Any]) -> None:
    if "predict" in sources and not Path("predict").exists():
        raise click.UsageError("the word 'predict' comes first: mrcnn-cv predict SOURCE... [OPTIONS]")
    if not all(map(os.path.isabs, (*sources, options["output"]))):
        try:
            os.getcwd()
        except FileNotFoundError as error:
            raise click.UsageError("the current folder does not exist any more: change to another one") from error
    if options["json_lines"] == "-" and sys.__stdout__ is None:
        raise OutputError("--json - cannot write, since standard output is closed: name a file (--json FILE)")


def _load(options: dict[str, Any]) -> MaskRCNN:
    from mrcnn_cv.rcnn.model import MaskRCNN

    return MaskRCNN.load(
        options["model"], options["backend"], options["labels"], options["pipeline_config"], options["threads"]
    )


def _thresholds(model: MaskRCNN, options: dict[str, Any]) -> Thresholds:
    from mrcnn_cv.run import Thresholds

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


def _style(options: dict[str, Any]) -> Style:
    from mrcnn_cv.draw import Style

    return Style(
        opacity=options["opacity"],
        line_width=options["line_width"],
        hide=frozenset(options["hide"]),
        color_by=options["color_by"],
    )


def _sinks(sources: tuple[str, ...], options: dict[str, Any]) -> list[Sink]:
    """The sinks of a run; everything that can be wrong with them is found before the model is loaded."""
    from mrcnn_cv.sinks import FORMATS, Settings
    from mrcnn_cv.sinks.folder import OutputFolder
    from mrcnn_cv.sinks.json_lines import JsonLines, JsonLinesFile

    style = _style(options)
    protected = [*map(Path, sources), *_model_files(options)]
    sinks: list[Sink] = []
    if NOTHING not in options["save"]:
        folder = OutputFolder(options["output"], overwrite=options["overwrite"], protected=protected)
        folder.check()
        settings = Settings({}, "", style)
        sinks += [
            each.make(folder, settings) for name, each in FORMATS.items() if each.make and name in options["save"]
        ]
    if options["json_lines"] == "-":
        sinks.append(JsonLines(own_stdout()))
    elif options["json_lines"] is not None:
        lines = JsonLinesFile(options["json_lines"], overwrite=options["overwrite"], protected=protected)
        lines.check()
        sinks.append(lines)
    if options["show"]:
        from mrcnn_cv.sinks.window import Window, check_display

        check_display()
        sinks.append(Window(style))
    return sinks


def _model_files(options: dict[str, Any]) -> list[Path]:
    """Files that the run reads besides the pictures: not even --overwrite may replace them."""
    model = Path(options["model"])
    given = [Path(options[name]) for name in ("labels", "pipeline_config") if options[name] is not None]
    return [*(sorted(model.glob("*.pb")) if model.is_dir() else [model]), *given]


def _places(options: dict[str, Any]) -> list[str]:
    folder = [] if NOTHING in options["save"] else [options["output"]]
    return folder + ([] if options["json_lines"] in (None, "-") else [options["json_lines"]])
