"""`mrcnn-cv predict`: find instances in images and videos."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import click

from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import (
    FILTER,
    FORMATS,
    IMAGES,
    MESSAGES,
    NO_FORMAT,
    OUTPUT,
    RUN,
    directory_option,
    flag,
    from_params,
    model_options,
    option,
    overwrite_option,
    quiet_option,
    repeated_list,
    run_options,
    score_option,
    style_options,
)
from mrcnn_cv.cli.param_types import CommaList, Fraction, PathText, is_format
from mrcnn_cv.cli.resolve_model import is_unset, resolve_model
from mrcnn_cv.cli.resolve_model import model_options as chosen_model
from mrcnn_cv.cli.setup import check_stdout, limit_blas_threads
from mrcnn_cv.cli.video_options import video_options
from mrcnn_cv.errors import UsageError

if TYPE_CHECKING:
    from mrcnn_cv.jobs.images import ImagesPlan, ImagesResult
    from mrcnn_cv.jobs.stream.watch import StreamResult
    from mrcnn_cv.jobs.video.annotate import VideosPlan, VideosResult

JobKind: TypeAlias = Literal["images", "video", "stream"]

_NOT_LIVE = {"resume": "resume", "watch": "watch", "dry_run": "dry-run", "lists": "list"}
"""Parameters, and their options, that make no sense for a stream."""


def _read_config(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
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
    "lists",
    type=PathText(),
    multiple=True,
    metavar="FILE",
    help="Also the images that this file lists: a path on each line, or a CSV with a column `path`.",
    default_note="none",
)
@flag(IMAGES, "--no-recursive", help="Skip the subfolders of a folder.")
@repeated_list(
    IMAGES,
    "--include-files",
    metavar="PATTERNS",
    help="Of folders and archives take only files like these: *.png, street/*, comma-separated.",
    default_note="all that are named like images",
)
@repeated_list(
    IMAGES,
    "--exclude-files",
    metavar="PATTERNS",
    help="Skip files like these, comma-separated.",
    default_note="none",
)
@flag(IMAGES, "--watch", help="Go on with what arrives in the folders, until Ctrl-C.")
@video_options
@score_option(FILTER, "0.5", "Keep instances with a score above this, 0 to 1; `model`: the model's own threshold.")
@option(
    FILTER,
    "--mask-threshold",
    type=Fraction(),
    default="0.5",
    metavar="FRACTION",
    help="A pixel belongs to an instance above this probability, 0 to 1.",
)
@option(
    FILTER,
    "--nms",
    type=Fraction(),
    metavar="FRACTION",
    help="Of two boxes of a class with a larger overlap (IoU, 0 to 1) keep one.",
    default_note="the model's own",
)
@option(
    FILTER,
    "--max-instances",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="Keep at most this many, the best ones.",
    default_note="the model's own",
)
@repeated_list(
    FILTER,
    "--classes",
    metavar="NAMES",
    help="Look for these only: names or ids, comma-separated.",
    default_note="all",
)
@repeated_list(
    FILTER,
    "--exclude",
    metavar="NAMES",
    help="Skip these classes: names or ids, comma-separated.",
    default_note="none",
)
@directory_option("mrcnn-out", "Folder for the results; made where it is missing.")
@option(
    OUTPUT,
    "--save",
    "formats",
    type=CommaList((*FORMATS, NO_FORMAT), alone=NO_FORMAT, is_plugin=is_format),
    default="overlay",
    metavar="FORMATS",
    help=f"What goes into that folder, comma-separated: {', '.join(FORMATS)}; or none.",
)
@flag(OUTPUT, "--polygons", help="Write outlines, not run lengths, into formats that hold either (coco).")
@option(
    OUTPUT,
    "--min-area",
    type=click.IntRange(0, 1_000_000_000),
    default="0",
    metavar="PIXELS",
    help="Leave parts of a mask with fewer pixels than this out of outlines.",
)
@flag(OUTPUT, "--soft-edges", help="Let cutouts fade out over the border of their mask.")
@option(
    OUTPUT,
    "--json",
    "records",
    type=PathText(),
    metavar="FILE",
    help="Also write one JSON record per image, each on a line, to this file; - is stdout.",
    default_note="none",
)
@overwrite_option("Replace files other than outputs of an earlier run; start a batch run anew.")
@flag(OUTPUT, "--show", help="Show each overlay in a window; any key goes on, q ends.")
@run_options
@option(
    RUN,
    "--max-failures",
    type=click.IntRange(0, 1_000_000_000),
    metavar="N",
    help="End the run when more images than this failed.",
    default_note="never",
)
@flag(RUN, "--fail-fast", help="End the run at the first image that fails.")
@flag(RUN, "--dry-run", help="Say what would be done, and do nothing.")
@option(
    RUN,
    "--config",
    type=PathText(),
    is_eager=True,
    callback=_read_config,
    metavar="FILE",
    help="Defaults for any option, as TOML: score = 0.7.",
    default_note="mrcnn-cv.toml in the current folder, if any",
)
@style_options
@quiet_option()
@flag(MESSAGES, "-v", "--verbose", help="Also where the time went.")
@click.pass_context
def predict(context: click.Context, /, sources: tuple[str, ...], **_: Any) -> int:
    """Find instances in images and videos and draw their masks.

    SOURCE is an image file, a folder, a pattern ('photos/**/*.jpg'), a .zip or .tar of images, an http(s) address, or -
    for an image on standard input; several at once are fine. Or it is a video file, or several; or one camera (0) or
    stream (rtsp://...). Every option can be set in the environment as
    MRCNN_CV_<NAME>, for example MRCNN_CV_MODEL, and in a file mrcnn-cv.toml.
    """
    _check(sources, context.params)
    is_demo = resolve_model(context)
    limit_blas_threads()
    return _run(context, sources, is_demo)


def _check(sources: tuple[str, ...], params: Mapping[str, Any]) -> None:
    if not sources and not params["lists"]:
        raise click.UsageError("SOURCE is missing: name an image file or a folder, or give --list FILE")
    if "predict" in sources and not Path("predict").exists():
        raise click.UsageError("the word 'predict' comes first: mrcnn-cv predict SOURCE... [OPTIONS]")
    if not all(map(os.path.isabs, (*sources, params["directory"]))):
        try:
            os.getcwd()
        except FileNotFoundError as error:
            raise click.UsageError("the current folder does not exist any more: change to another one") from error
    check_stdout(params["records"])
    if params["watch"] and params["show"]:
        raise click.UsageError("--watch waits for images and --show for a key: give one of them")
    if params["end"] is not None and params["end"] <= (params["start"] or 0):
        raise click.UsageError("--end must come after --start")
    if params["formats"] == (NO_FORMAT,) and (params["resume"] or params["watch"]) and params["records"] is None:
        raise click.UsageError("--save none keeps nothing, so there is nothing to resume or to watch for")


def _run(context: click.Context, sources: tuple[str, ...], is_demo: bool) -> int:
    """Turn the options into those of a job, and do it; the exit code."""
    # These import OpenCV, so they wait until the command line is known to be sound.
    from mrcnn_cv.cli.console.reporter import ConsoleReporter
    from mrcnn_cv.jobs import Style, annotate_images, annotate_video, plan_images, plan_videos, watch_stream
    from mrcnn_cv.jobs import options as jobs

    params = context.params
    kind = _job_for(sources, images_only=bool(params["lists"] or params["watch"]))
    _check_kind(kind, sources, params)
    model = chosen_model(context)
    formats = () if params["formats"] == (NO_FORMAT,) else params["formats"]
    if kind == "stream" and (params["show"] or params["serve"]) and _is_default(context, "formats"):
        # What somebody watches is not recorded unless that is asked for.
        formats = ()
    selection = from_params(jobs.ImageSelection, params, recursive=not params["no_recursive"])
    detection = from_params(jobs.DetectionOptions, params)
    output = from_params(jobs.OutputOptions, params, formats=formats)
    max_failures = 0 if params["fail_fast"] else params["max_failures"]
    run = from_params(jobs.RunOptions, params, max_failures=max_failures)
    style = from_params(Style, params, hide=frozenset(params["hide"]))
    video = from_params(jobs.VideoOptions, params)
    if params["dry_run"] and kind == "images":
        return _show_images_plan(plan_images(sources, model, selection=selection, output=output, run=run))
    if params["dry_run"]:
        return _show_videos_plan(plan_videos(sources, model, video=video, output=output, run=run))
    reporter = ConsoleReporter(
        quiet=params["quiet"], verbose=params["verbose"], progress=params["progress"], is_demo=is_demo
    )
    result: ImagesResult | VideosResult | StreamResult
    cancellation = reporter.cancellation
    if kind == "stream":
        result = watch_stream(
            sources[0],
            model,
            stream=from_params(jobs.StreamOptions, params),
            video=video,
            detection=detection,
            output=output,
            run=run,
            style=style,
            observer=reporter,
            cancellation=cancellation,
        )
    elif kind == "video":
        result = annotate_video(
            sources,
            model,
            video=video,
            detection=detection,
            output=output,
            run=run,
            style=style,
            observer=reporter,
            cancellation=cancellation,
        )
    else:
        result = annotate_images(
            sources,
            model,
            selection=selection,
            detection=detection,
            output=output,
            run=run,
            style=style,
            observer=reporter,
            cancellation=cancellation,
        )
    return _end(result, "images" if kind == "images" else "frames")


def _job_for(sources: tuple[str, ...], *, images_only: bool) -> JobKind:
    """The job for these sources. images_only: other options name images, too.

    UsageError where they are of several kinds.
    """
    from mrcnn_cv.inputs.classify import classify, is_animation
    from mrcnn_cv.inputs.images.sorting import IMAGE_SUFFIXES
    from mrcnn_cv.util.redact import redact_url

    kinds = {source: classify(source) for source in sources}
    every = set(kinds.values()) | ({"images"} if images_only else set())
    if "live" in every and (len(every) > 1 or len(sources) > 1):
        live = next(source for source, kind in kinds.items() if kind == "live")
        raise UsageError(f"{redact_url(live)} is a camera or a stream, and goes alone: leave the other sources out")
    if every == {"live"} or every == {"video"}:
        return "stream" if "live" in every else "video"
    for source in (source for source, kind in kinds.items() if kind == "video"):
        # An animation can be meant as an image, and a file that is named like one then fails.
        if not is_animation(Path(source)) and Path(source).suffix.lower() not in IMAGE_SUFFIXES:
            raise UsageError(f"{source} is a video, and does not go with images: give each a command of its own")
    return "images"


def _check_kind(kind: str, sources: tuple[str, ...], params: Mapping[str, Any]) -> None:
    """click.UsageError for options that do not fit the kind of the sources."""
    from mrcnn_cv.util.redact import redact_url

    if kind == "stream":
        for name, option_name in _NOT_LIVE.items():
            if params[name]:
                raise click.UsageError(
                    f"--{option_name} is for images and files, and {redact_url(sources[0])} is live: leave it out"
                )
    elif params["serve"] is not None:
        what = f"{sources[0]} is a file" if kind == "video" else "these are images"
        raise click.UsageError(f"--serve is for cameras and streams, and {what}: give --show, or leave it out")


def _is_default(context: click.Context, name: str) -> bool:
    return any(each.name == name and is_unset(context, each) for each in context.command.params)


def _end(result: ImagesResult | VideosResult | StreamResult, unit: str) -> int:
    """Say how a run ended that did not come to its end; the exit code."""
    if getattr(result, "failure_limit_reached", False):
        echo_message(f"mrcnn-cv: error: too many {unit} failed, so the run was ended (--max-failures or --fail-fast)")
    if result.is_cancelled:
        more = "; the same command with --resume goes on" if getattr(result, "can_resume", False) else ""
        echo_message(f"mrcnn-cv: interrupted; what was written so far is complete{more}")
    return result.exit_code


def _show_images_plan(plan: ImagesPlan) -> int:
    echo_message(f"{plan.images:,} image{'' if plan.images == 1 else 's'}, {len(plan.remaining):,} to do")
    if plan.skipped:
        echo_message(f"{plan.skipped:,} other files are skipped")
    for name, output in plan.remaining[:10]:
        echo_message(f"  {name} -> {output}")
    if len(plan.remaining) > 10:
        echo_message("  ...")
    return _show_plan_outputs(plan.outputs)


def _show_videos_plan(plan: VideosPlan) -> int:
    echo_message(f"{len(plan.videos):,} video{'' if len(plan.videos) == 1 else 's'}")
    for name, output in plan.videos:
        echo_message(f"  {name} -> {output or 'nowhere'}")
    return _show_plan_outputs(plan.outputs)


def _show_plan_outputs(outputs: tuple[str, ...]) -> int:
    echo_message(f"results would go to {' and '.join(outputs) or 'nowhere'}; nothing was done (--dry-run)")
    return 0
