"""`mrcnn-cv predict`: find instances in images and videos."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.config_file import read_config
from mrcnn_cv.cli.console.messages import counted, echo_error, echo_message
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import (
    FILTER,
    FORMATS,
    IMAGES,
    MANY,
    MESSAGES,
    NO_FORMAT,
    OUTPUT,
    RUN,
    flag,
    from_params,
    option,
)
from mrcnn_cv.cli.param_types import FRACTION, CommaList, PathText, PluginChoice, is_format
from mrcnn_cv.cli.resolve_model import is_unset, resolve_model
from mrcnn_cv.errors import UsageError

if TYPE_CHECKING:
    from mrcnn_cv.jobs.images import ImagesPlan, ImagesResult
    from mrcnn_cv.jobs.options import ModelOptions
    from mrcnn_cv.jobs.stream.watch import StreamResult
    from mrcnn_cv.jobs.video.annotate import VideosPlan, VideosResult

JobKind: TypeAlias = Literal["images", "video", "stream"]

_NOT_LIVE = {"resume": "resume", "watch": "watch", "dry_run": "dry-run", "lists": "list"}
"""Parameters, and their options, that make no sense for a stream."""

_LIST_HELP = "Also the images that this file lists: a path on each line, or a CSV with a column `path`."
_INCLUDE_HELP = "Of folders and archives take only files like these: *.png, street/*, comma-separated."
_SCORE_HELP = "Keep instances with a score above this, 0 to 1; `model`: the model's own threshold."
_MASK_HELP = "A pixel belongs to an instance above this probability, 0 to 1."
_NMS_HELP = "Of two boxes of a class with a larger overlap (IoU, 0 to 1) keep one."
_SAVE_HELP = f"What goes into that folder, comma-separated: {', '.join(FORMATS)}; or none."
_FORMATS = CommaList(PluginChoice((*FORMATS, NO_FORMAT), is_format), alone=NO_FORMAT)
_AREA_HELP = "Leave parts of a mask with fewer pixels than this out of outlines."
_RECORDS_HELP = "Also write one JSON record per image, each on a line, to this file; - is stdout."
_PARAMETERS = [
    click.Argument(["sources"], nargs=-1, metavar="SOURCE...", type=PathText()),
    *options.MODEL_OPTIONS,
    option(IMAGES, "--list lists", PathText(), _LIST_HELP, "none", multiple=True),
    flag(IMAGES, "--no-recursive", "Skip the subfolders of a folder."),
    option(
        IMAGES,
        "--include-files",
        CommaList(),
        _INCLUDE_HELP,
        "all that are named like images",
        multiple=True,
        metavar="PATTERNS",
    ),
    option(
        IMAGES,
        "--exclude-files",
        CommaList(),
        "Skip files like these, comma-separated.",
        "none",
        multiple=True,
        metavar="PATTERNS",
    ),
    flag(IMAGES, "--watch", "Go on with what arrives in the folders, until Ctrl-C."),
    *options.VIDEO_OPTIONS,
    options.score(FILTER, "0.5", _SCORE_HELP),
    option(FILTER, "--mask-threshold", FRACTION, _MASK_HELP, default="0.5"),
    option(FILTER, "--nms", FRACTION, _NMS_HELP, "the model's own"),
    option(
        FILTER,
        "--max-instances",
        click.IntRange(1, 1_000_000),
        "Keep at most this many, the best ones.",
        "the model's own",
    ),
    option(
        FILTER, "--classes", CommaList(), "Look for these only: names or ids, comma-separated.", "all", multiple=True
    ),
    option(FILTER, "--exclude", CommaList(), "Skip these: names or ids, comma-separated.", "none", multiple=True),
    options.directory("mrcnn-out", "Folder for the results; made where it is missing."),
    option(OUTPUT, "--save formats", _FORMATS, _SAVE_HELP, default="overlay", metavar="FORMATS"),
    flag(OUTPUT, "--polygons", "Write outlines, not run lengths, into formats that hold either (coco)."),
    option(OUTPUT, "--min-area", click.IntRange(0, MANY), _AREA_HELP, default="0", metavar="PIXELS"),
    flag(OUTPUT, "--soft-edges", "Let cutouts fade out over the border of their mask."),
    options.json_file("--json records", _RECORDS_HELP),
    options.overwrite("Replace files other than outputs of an earlier run; start a batch run anew."),
    options.DURABLE,
    flag(OUTPUT, "--show", "Show each overlay in a window; any key goes on, q ends."),
    *options.RUN_OPTIONS,
    option(RUN, "--max-failures", click.IntRange(0, MANY), "End the run when more images than this failed.", "never"),
    flag(RUN, "--fail-fast", "End the run at the first image that fails."),
    flag(RUN, "--dry-run", "Say what would be done, and do nothing."),
    option(
        RUN,
        "--config",
        PathText(),
        "Defaults for any option, as TOML: score = 0.7.",
        "mrcnn-cv.toml in the current folder, if any",
        is_eager=True,
        callback=read_config,
    ),
    *options.STYLE_OPTIONS,
    options.quiet(),
    flag(MESSAGES, "-v --verbose", "Also where the time went."),
]


@click.command(
    cls=GroupedCommand, params=_PARAMETERS, short_help="Find instances in images and videos (the default command)."
)
@click.pass_context
def predict(context: click.Context, /, sources: tuple[str, ...], **_: Any) -> int:
    """Find instances in images and videos and draw their masks.

    SOURCE is an image file, a folder, a pattern ('photos/**/*.jpg'), a .zip or .tar of images, an http(s) address, or -
    for an image on standard input; several at once are fine. Or it is a video file, or several; or one camera (0) or
    stream (rtsp://...). Every option can be set in the environment as
    MRCNN_CV_<NAME>, for example MRCNN_CV_MODEL, and in a file mrcnn-cv.toml.
    """
    _check(sources, context.params)
    is_demo = context.params["model"] is None
    return _run(context, sources, resolve_model(context), is_demo)


def _check(sources: tuple[str, ...], params: Mapping[str, Any]) -> None:
    if not sources and not params["lists"]:
        raise click.UsageError("SOURCE is missing: name an image file or a folder, or give --list FILE")
    if "predict" in sources and not os.path.exists(Path("predict")):
        raise click.UsageError("the word 'predict' comes first: mrcnn-cv predict SOURCE... [OPTIONS]")
    if not all(map(os.path.isabs, (*sources, params["directory"]))):
        try:
            os.getcwd()
        except FileNotFoundError as error:
            raise click.UsageError("the current folder does not exist any more: change to another one") from error
    if params["watch"] and params["show"]:
        raise click.UsageError("--watch waits for images and --show for a key: give one of them")
    if params["end"] is not None and params["end"] <= (params["start"] or 0):
        raise click.UsageError("--end must come after --start")
    if params["formats"] == (NO_FORMAT,) and (params["resume"] or params["watch"]) and params["records"] is None:
        raise click.UsageError("--save none keeps nothing, so there is nothing to resume or to watch for")


def _run(context: click.Context, sources: tuple[str, ...], model: ModelOptions, is_demo: bool) -> int:
    """Turn the options into those of a job, and do it; the exit code."""
    # These import OpenCV, so they wait until the command line is known to be sound.
    from mrcnn_cv.cli.console.reporter import ConsoleReporter
    from mrcnn_cv.jobs import Style, annotate_images, annotate_video, plan_images, plan_videos, watch_stream
    from mrcnn_cv.jobs import options as jobs

    params = context.params
    kind = _job_for(sources, images_only=bool(params["lists"] or params["watch"]))
    _check_kind(kind, sources, params)
    formats = () if params["formats"] == (NO_FORMAT,) else params["formats"]
    if kind == "stream" and (params["show"] or params["serve"]) and is_unset(context, "formats"):
        # What somebody watches is not recorded unless that is asked for.
        formats = ()
    selection = from_params(jobs.ImageSelection, params, recursive=not params["no_recursive"])
    output = from_params(jobs.OutputOptions, params, formats=formats)
    run = from_params(jobs.RunOptions, params, max_failures=0 if params["fail_fast"] else params["max_failures"])
    video = from_params(jobs.VideoOptions, params)
    if params["dry_run"] and kind == "images":
        return _show_images_plan(plan_images(sources, model, selection=selection, output=output, run=run))
    if params["dry_run"]:
        return _show_videos_plan(plan_videos(sources, model, video=video, output=output, run=run))
    reporter = ConsoleReporter(
        quiet=params["quiet"], verbose=params["verbose"], progress=params["progress"], is_demo=is_demo
    )
    common: dict[str, Any] = {
        "detection": from_params(jobs.DetectionOptions, params),
        "output": output,
        "run": run,
        "style": from_params(Style, params, hide=frozenset(params["hide"])),
        "observer": reporter,
        "cancellation": reporter.cancellation,
    }
    result: ImagesResult | VideosResult | StreamResult
    if kind == "stream":
        stream = from_params(jobs.StreamOptions, params)
        result = watch_stream(sources[0], model, stream=stream, video=video, **common)
    elif kind == "video":
        result = annotate_video(sources, model, video=video, **common)
    else:
        result = annotate_images(sources, model, selection=selection, **common)
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


def _end(result: ImagesResult | VideosResult | StreamResult, unit: str) -> int:
    """Say how a run ended that did not come to its end; the exit code."""
    if getattr(result, "failure_limit_reached", False):
        echo_error(f"too many {unit} failed, so the run was ended (--max-failures or --fail-fast)")
    if result.is_cancelled:
        more = "; the same command with --resume goes on" if getattr(result, "can_resume", False) else ""
        echo_message(f"mrcnn-cv: interrupted; what was written so far is complete{more}")
    return result.exit_code


def _show_images_plan(plan: ImagesPlan) -> int:
    lines = [f"{counted(plan.images, 'image')}, {len(plan.remaining):,} to do"]
    lines += [f"{plan.skipped:,} other files are skipped"] if plan.skipped else []
    lines += [f"  {name} -> {output}" for name, output in plan.remaining[:10]]
    return _show_plan(lines + (["  ..."] if len(plan.remaining) > 10 else []), plan.outputs)


def _show_videos_plan(plan: VideosPlan) -> int:
    rows = [f"  {name} -> {output or 'nowhere'}" for name, output in plan.videos]
    return _show_plan([counted(len(rows), "video"), *rows], plan.outputs)


def _show_plan(lines: list[str], outputs: tuple[str, ...]) -> int:
    where = " and ".join(outputs) or "nowhere"
    for line in (*lines, f"results would go to {where}; nothing was done (--dry-run)"):
        echo_message(line)
    return 0
