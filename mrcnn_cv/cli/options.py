"""Options that are grouped in --help and read from the environment, in groups that commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Protocol, TypeVar

import click

from mrcnn_cv.cli.param_types import CommaList, Fraction, PathText, PluginChoice, Workers, is_engine

Function = TypeVar("Function", bound=Callable[..., Any])
Options = TypeVar("Options")


class Decorator(Protocol):
    """Of a function, which stays what it is."""

    def __call__(self, function: Function, /) -> Function: ...


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

MODEL, IMAGES, FILTER, OUTPUT = "Model", "Images", "Which instances", "Output"
RUN, STYLE, MESSAGES = "Batch runs", "Look of the overlay", "Messages"


class GroupedOption(click.Option):
    """An option with a heading in --help; `MRCNN_CV_<NAME>` sets it in the environment.

    default_note  says in --help what happens without the option, where that is no value
    environment   False: not to be set in the environment
    """

    def __init__(
        self,
        *args: Any,
        heading: str = MESSAGES,
        default_note: str | None = None,
        environment: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("show_default", default_note is None and not kwargs.get("is_flag"))
        super().__init__(*args, **kwargs)
        self.heading = heading
        self.default_note = "off" if self.is_flag else default_note
        if environment and not self.hidden:
            self.envvar = "MRCNN_CV_" + max(self.opts, key=len).lstrip("-").replace("-", "_").upper()

    def get_help_record(self, context: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(context)
        if record is None or self.default_note is None:
            return record
        return record[0], f"{record[1]}  [default: {self.default_note}]"


def option(heading: str, *names: str, **kwargs: Any) -> Decorator:
    """A grouped option."""
    return click.option(*names, cls=GroupedOption, heading=heading, **kwargs)


def flag(heading: str, *names: str, help: str, **kwargs: Any) -> Decorator:
    """A grouped option without a value."""
    return option(heading, *names, is_flag=True, help=help, **kwargs)


def group(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in their order."""

    def decorate(function: Function) -> Function:
        for each in reversed(decorators):
            function = each(function)
        return function

    return decorate


def flatten(context: click.Context, parameter: click.Parameter, value: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """`--classes person --classes dog` is `--classes person,dog`."""
    return tuple(dict.fromkeys(name for names in value for name in names))


def repeated_list(heading: str, *names: str, choices: tuple[str, ...] | None = None, **kwargs: Any) -> Decorator:
    """An option that takes comma-separated words, and may be given several times."""
    return option(heading, *names, type=CommaList(choices), multiple=True, callback=flatten, **kwargs)


def from_params(kind: type[Options], params: Mapping[str, Any], **others: Any) -> Options:
    """A dataclass of options from click's parameters of the same names; others: its fields that have another name."""
    values = {each.name: params[each.name] for each in fields(kind) if each.name in params}  # type: ignore[arg-type]
    return kind(**{**values, **others})


model_file_options = group(
    option(
        MODEL,
        "--model",
        type=PathText(),
        metavar="PATH|NAME",
        help="Frozen graph (.pb), .onnx, the folder or .tar.gz that holds it, or a name from `mrcnn-cv models list`.",
        default_note="the small demo model that comes with mrcnn-cv, which finds shapes",
    ),
    flag(
        MODEL,
        "--yes",
        environment=False,
        envvar="MRCNN_CV_AUTO_PULL",
        help="Pull the named model without asking where it is not on this machine yet.",
    ),
)


def labels_option(
    default: str = "the label file beside the model, COCO's names for 90 classes", **kwargs: Any
) -> Decorator:
    return option(
        MODEL,
        "--labels",
        type=PathText(),
        metavar="FILE",
        help="Names of the classes: .pbtxt, .names, .txt or .json.",
        default_note=default,
        **kwargs,
    )


def config_option(**kwargs: Any) -> Decorator:
    return option(
        MODEL,
        "--pipeline-config",
        type=PathText(),
        metavar="FILE",
        help="The model's pipeline.config, to cross-check it, or the values of a matterport Config (.json, .toml)"
        " or of a Detectron2 config (.yaml).",
        default_note="the one beside the model",
        **kwargs,
    )


device_option = option(
    MODEL,
    "--device",
    metavar="NAME",
    help="What the backend computes on. OpenVINO: CPU, GPU, GPU.1, NPU; ONNX Runtime: CPU, CUDA, TensorRT, CoreML,"
    " DirectML, MIGraphX, OpenVINO and others, as its package has them.",
    default_note="OpenVINO: CPU; ONNX Runtime: the best that works",
)

model_options = group(
    model_file_options,
    labels_option("the label file beside the model, COCO's names for 90 classes"),
    config_option(),
    option(
        MODEL,
        "--backend",
        type=PluginChoice(BACKENDS, is_engine),
        default="auto",
        metavar="NAME",
        help=f"{', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}; `mrcnn-cv backends` says which work here.",
    ),
    device_option,
    option(
        MODEL,
        "--threads",
        type=click.IntRange(1, MAX_THREADS),
        metavar="N",
        help="Threads for the nets and everything around them.",
        default_note="all processors",
    ),
    flag(MODEL, "--fast", help="Use a third of the model's proposals: faster, and may miss instances."),
)


def score_option(heading: str, default: str, help: str, **kwargs: Any) -> Decorator:
    return option(
        heading, "--score", type=Fraction(or_model=True), default=default, metavar="FRACTION", help=help, **kwargs
    )


def limit_option(heading: str) -> Decorator:
    return option(
        heading,
        "--limit",
        type=click.IntRange(1, 1_000_000_000),
        metavar="N",
        help="Only the first N images.",
        default_note="all",
    )


def directory_option(default: str, help: str) -> Decorator:
    return option(
        OUTPUT, "-o", "--output", "directory", type=PathText("dir"), default=default, metavar="DIR", help=help
    )


def report_option(help: str, **kwargs: Any) -> Decorator:
    return option(OUTPUT, "--json", "report", type=PathText(), metavar="FILE", help=help, default_note="none", **kwargs)


def plot_option(help: str, **kwargs: Any) -> Decorator:
    return option(OUTPUT, "--plot", type=PathText(), metavar="FILE.png", help=help, default_note="none", **kwargs)


def json_flag(help: str = "Print JSON instead of a table.", **kwargs: Any) -> Decorator:
    return flag(OUTPUT, "--json", "as_json", help=help, **{"environment": False, **kwargs})


def overwrite_option(
    help: str = "Replace files other than outputs of an earlier run.", heading: str = OUTPUT, **kwargs: Any
) -> Decorator:
    return flag(heading, "--overwrite", help=help, **kwargs)


run_options = group(
    flag(RUN, "--resume", help="Continue the run in the output folder: what is done stays, what failed is retried."),
    option(
        RUN,
        "--workers",
        type=Workers(),
        default="auto",
        metavar="N",
        help="Images in work at the same time, each with its share of the threads; auto: what turns out the fastest.",
    ),
    option(
        RUN,
        "--progress",
        type=click.Choice(PROGRESS, case_sensitive=False),
        default="auto",
        metavar="KIND",
        help="Of a batch run: bar, lines, json or none; auto: a bar on a terminal, else a line now and then.",
    ),
)

style_options = group(
    option(STYLE, "--opacity", type=Fraction(), default="0.45", metavar="FRACTION", help="Of the masks, 0 to 1."),
    option(
        STYLE,
        "--line-width",
        type=click.IntRange(1, 200),
        metavar="PIXELS",
        help="Width of contours and boxes.",
        default_note="grows with the image",
    ),
    repeated_list(
        STYLE,
        "--hide",
        choices=STYLE_PARTS,
        metavar="PARTS",
        help="Leave out labels, boxes, scores, masks or contours, comma-separated.",
        default_note="none",
    ),
    option(
        STYLE,
        "--color-by",
        type=click.Choice(("instance", "class"), case_sensitive=False),
        default="instance",
        metavar="WHAT",
        help="A color for each instance, or for each class.",
    ),
    flag(STYLE, "--stats", help="Show rate, delay and instances in the corner of a video or live view."),
)


def quiet_option(help: str = "Errors only.") -> Decorator:
    return flag(MESSAGES, "-q", "--quiet", help=help)
