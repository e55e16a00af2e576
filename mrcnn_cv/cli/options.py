"""Options that are grouped in --help, read from the environment, and shared by commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mrcnn_cv.cli.param_types import Choice, IntRange, PathText, is_engine

Function = TypeVar("Function", bound=Callable[..., Any])

BACKENDS = (
    *("auto", "cpu", "openvino", "openvino-bf16", "openvino-fp16", "onnxruntime"),
    *("opencl", "opencl-fp16", "cuda", "cuda-fp16"),
)
"""The names that `engines.select` knows, spelled out so that --help need not import OpenCV; a test compares them."""

MAX_THREADS = 1024
ROI = ("align", "pool")


class GroupedOption(click.Option):
    """An option with a heading in --help; `MRCNN_CV_<NAME>` sets it in the environment.

    default_note  says in --help what happens without the option, where that is no value
    environment   False: not to be set in the environment
    """

    def __init__(
        self,
        *args: Any,
        heading: str = "Messages",
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


def option(heading: str, *names: str, **kwargs: Any) -> Callable[[Function], Function]:
    """A grouped option."""
    return click.option(*names, cls=GroupedOption, heading=heading, **kwargs)


_MODEL = "Model"

_MODEL_OPTIONS = (
    option(
        _MODEL,
        "--model",
        type=PathText(),
        metavar="PATH|NAME",
        help="Frozen graph (.pb), the folder or .tar.gz that holds it, or a name from `mrcnn-cv models list`.",
        default_note="the small demo model that comes with mrcnn-cv, which finds shapes",
    ),
    option(
        _MODEL,
        "--yes",
        is_flag=True,
        environment=False,
        envvar="MRCNN_CV_AUTO_PULL",
        help="Pull the named model without asking where it is not on this machine yet.",
    ),
    option(
        _MODEL,
        "--labels",
        type=PathText(),
        metavar="FILE",
        help="Names of the classes: .pbtxt, .names, .txt or .json.",
        default_note="the label file beside the model, COCO's names for 90 classes",
    ),
    option(
        _MODEL,
        "--pipeline-config",
        type=PathText(),
        metavar="FILE",
        help="The model's pipeline.config, to cross-check it, or the values of a matterport Config (.json, .toml)"
        " or of a Detectron2 config (.yaml).",
        default_note="the one beside the model",
    ),
    option(
        _MODEL,
        "--backend",
        type=Choice(BACKENDS, is_engine),
        default="auto",
        metavar="NAME",
        help=f"{', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}; `mrcnn-cv backends` says which work here.",
    ),
    option(
        _MODEL,
        "--device",
        metavar="NAME",
        help="What the backend computes on. OpenVINO: CPU, GPU, GPU.1, NPU; ONNX Runtime: CPU, CUDA, TensorRT, CoreML,"
        " DirectML, MIGraphX, OpenVINO and others, as its package has them.",
        default_note="OpenVINO: CPU; ONNX Runtime: the best that works",
    ),
    option(
        _MODEL,
        "--threads",
        type=IntRange(1, MAX_THREADS),
        metavar="N",
        help="Threads for the nets and everything around them.",
        default_note="all processors",
    ),
    option(
        _MODEL,
        "--fast",
        is_flag=True,
        help="Look at a third of the model's proposals: faster, and may miss instances.",
    ),
)


def model_options(function: Function) -> Function:
    """Options of every command that loads a model."""
    for decorate in reversed(_MODEL_OPTIONS):
        function = decorate(function)
    return function
