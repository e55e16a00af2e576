"""Options that are grouped in --help and read from the environment; what several commands have stands here, once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import click

from mrcnn_cv.cli.param_types import (
    FRACTION,
    FRACTION_OR_MODEL,
    FRAME_RATE,
    HOST_PORT,
    SIZE,
    TIME,
    WORKERS,
    CommaList,
    PathText,
    PluginChoice,
    is_engine,
)
from mrcnn_cv.errors import OutputError

Options = TypeVar("Options")

# Names that the libraries' registries have as well, spelled out so that --help need not import them; a test compares.
BACKENDS = (
    *("auto", "cpu", "openvino", "openvino-bf16", "openvino-fp16", "onnxruntime"),
    *("opencl", "opencl-fp16", "cuda", "cuda-fp16"),
)
FORMATS = (
    *("overlay", "frames", "json", "jsonl", "coco", "coco-results", "yolo", "labelme", "voc", "cvat"),
    *("masks", "semantic", "binary", "cutouts", "crops", "csv", "parquet"),
)
STYLE_PARTS = ("labels", "boxes", "scores", "masks", "contours")
CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4")
PROGRESS = ("auto", "bar", "lines", "json", "none")
ROI = ("align", "pool")
NO_FORMAT = "none"

MAX_THREADS = 1024
MANY = 1_000_000_000

MODEL, IMAGES, FILTER, OUTPUT = "Model", "Images", "Which instances", "Output"
VIDEO, LIVE, TRACKING = "Video", "Live", "Tracking"
RUN, STYLE, MESSAGES = "Batch runs", "Look of the overlay", "Messages"


class GroupedOption(click.Option):
    """An option with a heading in --help; `MRCNN_CV_<NAME>` sets it in the environment.

    names        as on the command line, and the parameter's where that is another; several commands may share one
    unset        says in --help what happens without the option, where that is no value
    environment  False: not to be set in the environment
    """

    def __init__(self, heading: str, names: str, *, unset: str | None, environment: bool = True, **kwargs: Any) -> None:
        super().__init__(names.split(), show_default=unset is None, **kwargs)
        self.heading, self.unset = heading, unset
        if environment:
            self.envvar = "MRCNN_CV_" + long_name(self).replace("-", "_").upper()

    def get_help_record(self, context: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(context)
        if record is None or self.unset is None:
            return record
        return record[0], f"{record[1]}  [default: {self.unset}]"


def option(heading: str, names: str, type: Any, help: str, unset: str | None = None, **kwargs: Any) -> GroupedOption:
    """An option with a value. A list that may be given several times is one list in the end."""
    kwargs.setdefault("metavar", getattr(type, "metavar", "N"))
    if kwargs.get("multiple") and isinstance(type, CommaList):
        kwargs["callback"] = _flatten
    return GroupedOption(heading, names, type=type, help=help, unset=unset, **kwargs)


def flag(heading: str, names: str, help: str, **kwargs: Any) -> GroupedOption:
    """An option without a value."""
    return GroupedOption(heading, names, is_flag=True, help=help, unset="off", **kwargs)


def long_name(parameter: click.Parameter) -> str:
    """The name of an option in the environment, in a file of options and in a list of defaults."""
    return max(parameter.opts, key=len).lstrip("-")


def from_params(kind: type[Options], params: Mapping[str, Any], **others: Any) -> Options:
    """A dataclass of options from click's parameters of the same names; others: its fields that have another name."""
    values = {each.name: params[each.name] for each in fields(kind) if each.name in params}  # type: ignore[arg-type]
    return kind(**{**values, **others})


def _flatten(context: click.Context, parameter: click.Parameter, value: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """`--classes person --classes dog` is `--classes person,dog`."""
    return tuple(dict.fromkeys(name for names in value for name in names))


MODEL_PATH = option(
    MODEL,
    "--model",
    PathText(),
    "Frozen graph (.pb), .onnx, weights (.pth, .pkl, .safetensors), the folder or .tar.gz that holds it, or a name from"
    " `mrcnn-cv models list`.",
    "the small demo model that comes with mrcnn-cv, which finds shapes",
    metavar="PATH|NAME",
)
_YES_HELP = "Pull the named model without asking where it is not on this machine yet."
YES = flag(MODEL, "--yes", _YES_HELP, environment=False, envvar="MRCNN_CV_AUTO_PULL")


_LABELS_HELP = "Names of the classes: .pbtxt, .names, .txt or .json."


def labels(unset: str, **kwargs: Any) -> GroupedOption:
    return option(MODEL, "--labels", PathText(), _LABELS_HELP, unset, **kwargs)


def pipeline_config(**kwargs: Any) -> GroupedOption:
    help = (
        "The model's pipeline.config, to cross-check it, or the values of a matterport Config (.json, .toml) or of a"
        " Detectron2 config (.yaml)."
    )
    return option(MODEL, "--pipeline-config", PathText(), help, "the one beside the model", **kwargs)


ENGINE = PluginChoice(BACKENDS, is_engine)
DEVICE = option(
    MODEL,
    "--device",
    str,
    "What the backend computes on. OpenVINO: CPU, GPU, GPU.1, NPU; ONNX Runtime: CPU, CUDA, TensorRT, CoreML, DirectML,"
    " MIGraphX, OpenVINO and others, as its package has them.",
    "OpenVINO: CPU; ONNX Runtime: the best that works",
    metavar="NAME",
)
BACKEND = option(
    MODEL,
    "--backend",
    ENGINE,
    f"{', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}; `mrcnn-cv backends` says which work here.",
    default="auto",
    metavar="NAME",
)
_THREADS_HELP = "Threads for the nets and everything around them."
MODEL_OPTIONS = (
    MODEL_PATH,
    YES,
    labels("the label file beside the model, COCO's names for 90 classes"),
    pipeline_config(),
    BACKEND,
    DEVICE,
    option(MODEL, "--threads", click.IntRange(1, MAX_THREADS), _THREADS_HELP, "all processors"),
    flag(MODEL, "--fast", "Use a third of the model's proposals: faster, and may miss instances."),
)

_CODEC_HELP = f"Of the annotated video: {', '.join(CODECS[:-1])} or {CODECS[-1]}; h264 plays everywhere."
_RECONNECT_HELP = "Try so often in a row to get a lost stream or camera back, after longer and longer waits."
_SERVE_HELP = "Show the live view to any browser at this address."
VIDEO_OPTIONS = (
    option(VIDEO, "--start", TIME, "Begin here: seconds or h:mm:ss.", "the beginning"),
    option(VIDEO, "--end", TIME, "End here.", "the end"),
    option(VIDEO, "--stride", click.IntRange(1, 1_000_000), "Take every Nth frame only.", default="1"),
    option(VIDEO, "--max-fps", FRAME_RATE, "Take at most this many frames of each second of the video.", "all"),
    option(VIDEO, "--max-frames", click.IntRange(1, MANY), "End after so many frames.", "never"),
    option(VIDEO, "--codec", click.Choice(CODECS, False), _CODEC_HELP, default=CODECS[0], metavar="NAME"),
    option(
        VIDEO,
        "--crf",
        click.IntRange(0, 63),
        "Quality of the annotated video: less is better and larger.",
        "what suits the codec, 23 for h264",
    ),
    option(LIVE, "--camera-size", SIZE, "Ask the camera for images of this size.", "the camera's own"),
    option(LIVE, "--camera-fps", FRAME_RATE, "Ask the camera for this frame rate.", "the camera's own"),
    flag(LIVE, "--no-drop keep_all", "Take every frame, however far that falls behind."),
    option(LIVE, "--reconnect", click.IntRange(0, 1_000_000), _RECONNECT_HELP, default="5"),
    option(LIVE, "--serve", HOST_PORT, _SERVE_HELP, "off; HOST is 127.0.0.1, this machine alone"),
    flag(TRACKING, "--track", "Follow each instance: the same number and color in all frames."),
    flag(TRACKING, "--trail", "Draw where each instance came from; follows them too."),
    flag(TRACKING, "--counts", "Show how many of each class there were; follows them too."),
)

_WORKERS_HELP = "Images in work at the same time, each with its share of the threads; auto: what turns out the fastest."
_PROGRESS_HELP = "Of a batch run: bar, lines, json or none; auto: a bar on a terminal, else a line now and then."
RUN_OPTIONS = (
    flag(RUN, "--resume", "Continue the run in the output folder: what is done stays, what failed is retried."),
    option(RUN, "--workers", WORKERS, _WORKERS_HELP, default="auto"),
    option(RUN, "--progress", click.Choice(PROGRESS, False), _PROGRESS_HELP, default="auto", metavar="KIND"),
)

_DURABLE_HELP = "Have each result on the disk before it counts as done, should the power fail; slower."
DURABLE = flag(OUTPUT, "--durable", _DURABLE_HELP)

_HIDE_HELP = "Leave out labels, boxes, scores, masks or contours, comma-separated."
_HIDDEN = CommaList(click.Choice(STYLE_PARTS, case_sensitive=False))
STYLE_OPTIONS = (
    option(STYLE, "--opacity", FRACTION, "Of the masks, 0 to 1.", default="0.45"),
    option(
        STYLE,
        "--line-width",
        click.IntRange(1, 200),
        "Width of contours and boxes.",
        "grows with the image",
        metavar="PIXELS",
    ),
    option(
        STYLE, "--hide", CommaList(click.Choice(STYLE_PARTS, False)), _HIDE_HELP, "none", multiple=True, metavar="PARTS"
    ),
    option(
        STYLE,
        "--color-by",
        click.Choice(("instance", "class"), case_sensitive=False),
        "A color for each instance, or for each class.",
        default="instance",
        metavar="WHAT",
    ),
    flag(STYLE, "--stats", "Show rate, delay and instances in the corner of a video or live view."),
)


def score(heading: str, default: str, help: str, **kwargs: Any) -> GroupedOption:
    return option(heading, "--score", FRACTION_OR_MODEL, help, default=default, **kwargs)


def limit(heading: str) -> GroupedOption:
    return option(heading, "--limit", click.IntRange(1, MANY), "Only the first N images.", "all")


def directory(default: str, help: str) -> GroupedOption:
    return option(OUTPUT, "-o --output directory", PathText(is_folder=True), help, default=default)


def json_file(names: str, help: str, **kwargs: Any) -> GroupedOption:
    """--json with the name of a file; - is standard output, which must not be closed."""
    return option(OUTPUT, names, PathText(), help, "none", callback=_check_stdout, **kwargs)


def plot(help: str, **kwargs: Any) -> GroupedOption:
    return option(OUTPUT, "--plot", PathText(), help, "none", metavar="FILE.png", **kwargs)


def json_flag(help: str = "Print JSON instead of a table.", **kwargs: Any) -> GroupedOption:
    return flag(OUTPUT, "--json as_json", help, environment=False, **kwargs)


def overwrite(
    help: str = "Replace files other than outputs of an earlier run.", heading: str = OUTPUT, **kwargs: Any
) -> GroupedOption:
    return flag(heading, "--overwrite", help, **kwargs)


def quiet(help: str = "Errors only.") -> GroupedOption:
    return flag(MESSAGES, "-q --quiet", help)


def _check_stdout(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value == "-" and sys.__stdout__ is None:
        raise OutputError("--json - cannot write, since standard output is closed: name a file (--json FILE)")
    return value
