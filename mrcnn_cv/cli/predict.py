"""`mrcnn-cv predict`: find instances in images."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.options import GroupedCommand, model_options, option
from mrcnn_cv.cli.say import say
from mrcnn_cv.errors import InputError, UsageError

if TYPE_CHECKING:
    from mrcnn_cv.draw import Style
    from mrcnn_cv.frame import Frame
    from mrcnn_cv.instances import Instances
    from mrcnn_cv.rcnn.model import MaskRCNN
    from mrcnn_cv.run import Thresholds
    from mrcnn_cv.sinks import Sink

FOUND, OUTPUT, LOOK, MESSAGES = "What counts as found", "Output", "Look of the overlay", "Messages"

SAVE_NOTHING = "none"


class ScoreType(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A fraction, or `model` for the model's own threshold."""

    name = "fraction"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float | str:
        if value == "model":
            return "model"
        return float(click.FloatRange(0, 1).convert(value, parameter, context))


class Names(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Comma-separated words."""

    name = "names"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        if not words:
            self.fail("names are missing", parameter, context)
        return words


@click.command(cls=GroupedCommand, short_help="Find instances in images (the default command).")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@model_options
@option(
    FOUND,
    "--score",
    type=ScoreType(),
    default="0.5",
    help="Keep instances with a score above this; `model`: the model's own.",
)
@option(
    FOUND,
    "--mask-threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    help="A pixel belongs to an instance above this probability.",
)
@option(
    FOUND,
    "--nms",
    type=click.FloatRange(0, 1),
    help="Of two boxes of a class with a larger overlap (IoU) keep one.  [default: the model's own]",
    show_default=False,
)
@option(
    FOUND,
    "--max-instances",
    type=click.IntRange(min=1),
    help="Keep the best so many.  [default: the model's own]",
    show_default=False,
)
@option(
    FOUND,
    "--classes",
    type=Names(),
    metavar="NAMES",
    help="Look for these only: names or ids, comma-separated.  [default: all]",
    show_default=False,
)
@option(
    FOUND,
    "--exclude",
    type=Names(),
    metavar="NAMES",
    help="Leave these classes out.  [default: none]",
    show_default=False,
)
@option(OUTPUT, "-o", "--output", default="mrcnn-out", metavar="DIR", help="Folder for the results.")
@option(
    OUTPUT,
    "--save",
    type=Names(),
    default="overlay",
    metavar="FORMATS",
    help="overlay, json, both comma-separated, or none.",
)
@option(
    OUTPUT,
    "--json",
    "json_lines",
    metavar="FILE",
    help="One JSON record per image and line; - is stdout.  [default: none]",
    show_default=False,
)
@option(
    OUTPUT, "--overwrite", is_flag=True, help="Replace files that are not our own earlier outputs.", show_default=False
)
@option(
    OUTPUT, "--show", is_flag=True, help="Show each overlay in a window; any key goes on, q ends.", show_default=False
)
@option(LOOK, "--opacity", type=click.FloatRange(0, 1), default=0.45, help="Opacity of the masks.")
@option(
    LOOK,
    "--line-width",
    type=click.IntRange(min=1, max=200),
    help="Pixels.  [default: grows with the image]",
    show_default=False,
)
@option(
    LOOK,
    "--hide",
    type=Names(),
    default=None,
    metavar="PARTS",
    help="labels, boxes, scores, masks, contours.  [default: none]",
    show_default=False,
)
@option(
    LOOK, "--color-by", type=click.Choice(["instance", "class"]), default="instance", help="What a colour stands for."
)
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="Errors only.", show_default=False)
@option(MESSAGES, "-v", "--verbose", is_flag=True, help="Also where the time went.", show_default=False)
def predict(sources: tuple[str, ...], **options: Any) -> int:
    """Find instances in images and paint their masks.

    SOURCE is an image file; several at once are fine. Every option can be set in the environment as MRCNN_CV_<NAME>,
    for example MRCNN_CV_MODEL.
    """
    if options["model"] is None:
        raise click.UsageError("name a model: --model frozen_inference_graph.pb (or set MRCNN_CV_MODEL)")
    from mrcnn_cv.run import run
    from mrcnn_cv.sources.images import ImageFiles

    sinks = _sinks(sources, options)
    model = _load(options)
    outcome = run(model, ImageFiles(sources), sinks, _thresholds(model, options), _listener(options))
    if outcome.failed:
        say(f"mrcnn-cv: {outcome.failed} of {outcome.failed + outcome.done} inputs failed, {outcome.done} done")
        return InputError.exit_code
    return 0


def _load(options: dict[str, Any]) -> MaskRCNN:
    from mrcnn_cv.rcnn.model import MaskRCNN

    model = MaskRCNN.load(
        options["model"], options["backend"], options["labels"], options["pipeline_config"], options["threads"]
    )
    if not options["quiet"]:
        for warning in model.warnings:
            say(f"mrcnn-cv: warning: {warning}")
        if model.spec.mask is None:
            say(f"mrcnn-cv: note: {model.path} is a {model.spec.architecture} without a mask branch: boxes only")
    return model


def _thresholds(model: MaskRCNN, options: dict[str, Any]) -> Thresholds:
    from mrcnn_cv.run import Thresholds

    wanted = None if options["classes"] is None else model.class_ids(options["classes"])
    if options["exclude"] is not None:
        excluded = set(model.class_ids(options["exclude"]))
        wanted = [each for each in wanted or range(1, model.spec.class_count + 1) if each not in excluded]
        if not wanted:
            raise UsageError("--exclude leaves no class to look for")
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
        hide=frozenset(options["hide"] or ()),
        color_by=options["color_by"],
    )


def _sinks(sources: tuple[str, ...], options: dict[str, Any]) -> list[Sink]:
    """The sinks of a run; everything that can be wrong with them is found before the model is loaded."""
    from mrcnn_cv.sinks import FORMATS
    from mrcnn_cv.sinks.folder import OutputFolder
    from mrcnn_cv.sinks.json_lines import JsonLines, JsonLinesFile
    from mrcnn_cv.sinks.window import Window, check_display

    style = _style(options)
    wanted = set(options["save"]) - {SAVE_NOTHING}
    unknown = sorted(wanted - set(FORMATS))
    if unknown:
        raise UsageError(f"--save does not know '{unknown[0]}': choose from {', '.join(FORMATS)} and {SAVE_NOTHING}")
    if options["show"]:
        check_display()
    folder = OutputFolder(options["output"], overwrite=options["overwrite"], protected=sources)
    sinks: list[Sink] = []
    if wanted:
        folder.check()
        sinks += [make(folder, style) for name, make in FORMATS.items() if name in wanted]
    if options["json_lines"] == "-":
        sinks.append(JsonLines(sys.stdout.buffer))
    elif options["json_lines"] is not None:
        sinks.append(JsonLinesFile(options["json_lines"], overwrite=options["overwrite"], protected=sources))
    if options["show"]:
        sinks.append(Window(style))
    return sinks


def _listener(options: dict[str, Any]) -> Any:
    from mrcnn_cv.run import Listener

    class Terminal(Listener):
        def done(self, frame: Frame, found: Instances, milliseconds: float) -> None:
            if not options["quiet"]:
                say(summary(frame, found, milliseconds))
            if options["verbose"]:
                say("  " + ", ".join(f"{step} {value:.0f}" for step, value in found.timings_ms.items()) + " ms")

        def failed(self, name: str, error: InputError) -> None:
            say(f"mrcnn-cv: error: {error}")

    return Terminal()


def summary(frame: Frame, found: Instances, milliseconds: float) -> str:
    """One line about one image: name, size, instances by class, time, and the backend that ran."""
    height, width = found.image_size
    parts = ", ".join(f"{count} {label}" for label, count in found.counts().items())
    instances = f"{len(found)} instance{'' if len(found) == 1 else 's'}" + (f" ({parts})" if parts else "")
    used = "" if found.backend is None else f"  {found.backend.used} ({found.backend.device})"
    return f"{frame.name}  {width}x{height}  {instances}  {milliseconds:.0f} ms{used}"
