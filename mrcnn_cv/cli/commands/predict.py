"""`mrcnn-cv predict`: find instances in images and videos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import model_options, option
from mrcnn_cv.cli.param_types import Choice, CommaList, Fraction, IntRange, PathText, Workers, is_format
from mrcnn_cv.cli.setup import check_stdout, limit_blas_threads, take_model
from mrcnn_cv.cli.video_options import video_options

IMAGES, FOUND, OUTPUT = "Images", "What counts as found", "Output"
RUN, LOOK, MESSAGES = "Batch runs", "Look of the overlay", "Messages"

NOTHING = "none"

# Spelled out, so that --help imports neither OpenCV nor numpy; a test compares them with the real ones.
FORMATS = (
    *("overlay", "frames", "json", "jsonl", "coco", "coco-results", "yolo", "labelme", "voc", "cvat"),
    *("masks", "semantic", "binary", "cutouts", "crops", "csv", "parquet"),
)
PROGRESS = ("auto", "bar", "lines", "json", "none")
PARTS = ("labels", "boxes", "scores", "masks", "contours")


def _flat(context: click.Context, parameter: click.Parameter, value: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """`--classes person --classes dog` is `--classes person,dog`."""
    return tuple(dict.fromkeys(name for names in value for name in names))


def _configure(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Take what the file says as defaults, before the other options are looked at."""
    from mrcnn_cv.cli.config_file import defaults

    context.default_map = defaults(context.command, value)
    return value


@click.command(cls=GroupedCommand, short_help="Find instances in images and videos (the default command).")
@click.argument("sources", nargs=-1, metavar="SOURCE...", type=PathText())
@model_options
@option(
    IMAGES,
    "--list",
    type=PathText(),
    multiple=True,
    metavar="FILE",
    help="Also the images that this file lists: a path on each line, or a CSV with a column `path`.",
    default_note="none",
)
@option(IMAGES, "--no-recursive", is_flag=True, help="Leave out what lies in subfolders of a folder.")
@option(
    IMAGES,
    "--include-files",
    type=CommaList(),
    multiple=True,
    callback=_flat,
    metavar="PATTERNS",
    help="Of folders and archives take only files like these: *.png, street/*, comma-separated.",
    default_note="all that are named like images",
)
@option(
    IMAGES,
    "--exclude-files",
    type=CommaList(),
    multiple=True,
    callback=_flat,
    metavar="PATTERNS",
    help="Leave out files like these, comma-separated.",
    default_note="none",
)
@option(IMAGES, "--watch", is_flag=True, help="Go on with what arrives in the folders, until Ctrl-C.")
@video_options
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
    type=IntRange(1, 1_000_000),
    metavar="N",
    help="Keep at most this many, the best ones.",
    default_note="the model's own",
)
@option(
    FOUND,
    "--classes",
    type=CommaList(),
    multiple=True,
    callback=_flat,
    metavar="NAMES",
    help="Look for these only: names or ids, comma-separated.",
    default_note="all",
)
@option(
    FOUND,
    "--exclude",
    type=CommaList(),
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
    type=CommaList((*FORMATS, NOTHING), alone=NOTHING, plugin=is_format),
    default="overlay",
    metavar="FORMATS",
    help=f"What goes into that folder, comma-separated: {', '.join(FORMATS)}; or none.",
)
@option(
    OUTPUT, "--polygons", is_flag=True, help="Write outlines, not run lengths, into formats that hold either (coco)."
)
@option(
    OUTPUT,
    "--min-area",
    type=IntRange(0, 1_000_000_000),
    default="0",
    metavar="PIXELS",
    help="Leave parts of a mask with fewer pixels than this out of outlines.",
)
@option(OUTPUT, "--soft-edges", is_flag=True, help="Let cutouts fade out over the border of their mask.")
@option(
    OUTPUT,
    "--json",
    "json_lines",
    type=PathText(),
    metavar="FILE",
    help="Also write one JSON record per image, each on a line, to this file; - is stdout.",
    default_note="none",
)
@option(
    OUTPUT,
    "--overwrite",
    is_flag=True,
    help="Replace files other than outputs of an earlier run; start a batch run anew.",
)
@option(OUTPUT, "--show", is_flag=True, help="Show each overlay in a window; any key goes on, q ends.")
@option(
    RUN,
    "--resume",
    is_flag=True,
    help="Go on with the batch run in the output folder: what is done stays, what failed is retried.",
)
@option(
    RUN,
    "--workers",
    type=Workers(),
    default="auto",
    metavar="N",
    help="Images in work at the same time, each with its share of the threads; auto: what turns out the fastest.",
)
@option(
    RUN,
    "--max-failures",
    type=IntRange(0, 1_000_000_000),
    metavar="N",
    help="End the run when more images than this failed.",
    default_note="never",
)
@option(RUN, "--fail-fast", is_flag=True, help="End the run at the first image that fails.")
@option(RUN, "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@option(
    RUN,
    "--progress",
    type=Choice(PROGRESS),
    default="auto",
    metavar="KIND",
    help="Of a batch run: bar, lines, json or none; auto: a bar on a terminal, else a line now and then.",
)
@option(
    RUN,
    "--config",
    type=PathText(),
    is_eager=True,
    callback=_configure,
    metavar="FILE",
    help="Defaults for any option, as TOML: score = 0.7.",
    default_note="mrcnn-cv.toml in the current folder, if any",
)
@option(LOOK, "--opacity", type=Fraction(), default="0.45", metavar="FRACTION", help="Opacity of the masks, 0 to 1.")
@option(
    LOOK,
    "--line-width",
    type=IntRange(1, 200),
    metavar="PIXELS",
    help="Width of contours and boxes.",
    default_note="grows with the image",
)
@option(
    LOOK,
    "--hide",
    type=CommaList(PARTS),
    multiple=True,
    callback=_flat,
    metavar="PARTS",
    help="Leave out labels, boxes, scores, masks or contours, comma-separated.",
    default_note="none",
)
@option(
    LOOK,
    "--color-by",
    type=Choice(("instance", "class")),
    default="instance",
    metavar="WHAT",
    help="A colour for each instance, or for each class.",
)
@option(LOOK, "--stats", is_flag=True, help="Show rate, delay and instances in the corner of a video or live view.")
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="Errors only.")
@option(MESSAGES, "-v", "--verbose", is_flag=True, help="Also where the time went.")
def predict(sources: tuple[str, ...], **options: Any) -> int:
    """Find instances in images and videos and paint their masks.

    SOURCE is an image file, a folder, a pattern ('photos/**/*.jpg'), a .zip or .tar of images, an http(s) address, or -
    for an image on standard input; several at once are fine. Or it is a video file, or several; or one camera (0) or
    stream (rtsp://...). Every option can be set in the environment as
    MRCNN_CV_<NAME>, for example MRCNN_CV_MODEL, and in a file mrcnn-cv.toml.
    """
    _check(sources, options)
    is_demo = take_model(options)
    limit_blas_threads()
    # This imports OpenCV, so it waits until the command line is known to be sound.
    from mrcnn_cv.jobs.images import run_images

    return run_images(sources, {**options, "sources": sources}, is_demo)


def _check(sources: tuple[str, ...], options: dict[str, Any]) -> None:
    if not sources and not options["list"]:
        raise click.UsageError("SOURCE is missing: name an image file or a folder, or give --list FILE")
    if "predict" in sources and not Path("predict").exists():
        raise click.UsageError("the word 'predict' comes first: mrcnn-cv predict SOURCE... [OPTIONS]")
    if not all(map(os.path.isabs, (*sources, options["output"]))):
        try:
            os.getcwd()
        except FileNotFoundError as error:
            raise click.UsageError("the current folder does not exist any more: change to another one") from error
    check_stdout(options["json_lines"])
    if options["watch"] and options["show"]:
        raise click.UsageError("--watch waits for pictures and --show for a key: give one of them")
    if options["end"] is not None and options["end"] <= (options["start"] or 0):
        raise click.UsageError("--end must come after --start")
    if options["save"] == (NOTHING,) and (options["resume"] or options["watch"]) and options["json_lines"] is None:
        raise click.UsageError("--save none keeps nothing, so there is nothing to resume or to watch for")
