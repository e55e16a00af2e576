"""`mrcnn-cv inspect`: a look inside a model file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby, repeat
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.console.tables import echo_lines
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import MODEL, OUTPUT, flag, option
from mrcnn_cv.cli.param_types import SIZE
from mrcnn_cv.cli.resolve_model import resolve_model

if TYPE_CHECKING:
    from mrcnn_cv.jobs.model_report import ModelReport, NetCheck, NetReport
    from mrcnn_cv.model.definition import AnchorSpec, NmsSpec, ResizeSpec

_SIZE_HELP = "Size of the image for which sizes and operations are counted."
_PARAMETERS = [
    click.Argument(["model"], metavar="MODEL"),
    options.labels("those beside the model"),
    options.pipeline_config(),
    option(MODEL, "--image-size", SIZE, _SIZE_HELP, default="640x480"),
    flag(OUTPUT, "--layers", "Every layer of the nets too."),
    options.json_flag("Everything as JSON.", envvar="MRCNN_CV_INSPECT_JSON"),
]


@click.command(
    cls=GroupedCommand, params=_PARAMETERS, short_help="Look inside a model: numbers, nets, what is unusual."
)
@click.pass_context
def inspect(context: click.Context, /, layers: bool, as_json: bool, image_size: tuple[int, int], **_: Any) -> None:
    """Look inside a model file.

    MODEL is a frozen graph (.pb), the folder that holds it, or a name (`mrcnn-cv models list`). Shown are the classes,
    every number that decides the answers (all read from the graph), the three nets with their operations, whether this
    OpenCV runs them and where, and what is unusual. For a file that cannot run: what it is, and why not.
    """
    model = resolve_model(context)
    from mrcnn_cv.jobs import inspect as look
    from mrcnn_cv.util.json import dumps

    width, height = image_size
    report = look(model, image_size=(height, width))
    if as_json:
        click.echo(dumps(report.to_dict(), indent=2, allow_nan=True))
    else:
        echo_lines(f"{label:<14}{text}".rstrip() for label, text in _rows(report, layers))


def _rows(report: ModelReport, layers: bool) -> Iterator[tuple[str, str]]:
    """A label and a text for each line; layers: with every layer of the nets."""
    definition = report.definition
    yield "file", f"{report.path}  ({report.size / 1e6:.1f} MB)"
    yield "sha256", report.sha256
    millions = f"{report.parameters / 1e6:.2f} million parameters"
    yield "model", f"{definition.architecture}, {definition.backbone}, {millions}"
    exporter = definition.exporter
    yield "from", f"{definition.family}, {exporter if exporter.startswith('weights') else f'exported by {exporter}'}"
    yield "classes", _classes(report)
    yield "", ""
    yield from _number_rows(report)
    yield "", ""
    yield from _net_rows(report.nets)
    yield "", ""
    lists = {"runs on": _checks(report.checks), "unusual": report.unusual, "warnings": report.warnings}
    for label, texts in lists.items():
        yield from zip(chain([label], repeat("")), texts, strict=False)
    for net in report.nets if layers else ():
        yield "", ""
        yield net.name, f"{'output (NHWC)':>18}  {'parameters':>10}  {'MFLOP':>9}  layer"
        for layer in net.layers:
            shape = "x".join(map(str, layer.output))
            yield "", f"{shape:>18}  {layer.parameters:>10,}  {layer.flops / 1e6:>9.1f}  {layer.op} {layer.name}"


def _classes(report: ModelReport) -> str:
    names = [f"{number} {name}" for number, name in sorted(report.labels.items())]
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"{report.definition.class_count}" + (f": {shown}" if names else ", no names known")


def _number_rows(report: ModelReport) -> Iterator[tuple[str, str]]:
    definition = report.definition
    resize = definition.resize
    yield "resize", f"{_resize(resize)} ({_wh(report.image_size)} becomes {_wh(report.network_input)})"
    signs = {"mul": "*", "sub": "-", "add": "+", "div": "/"}
    steps = [f"{signs[step.op]} {', '.join(f'{value:g}' for value in step.operand)}" for step in definition.pixels]
    yield "pixels", ("gray" if resize.gray_weights else "RGB") + "".join(f" {step}" for step in steps)
    yield from _anchor_rows(report.anchors)
    yield "proposals", _limits(definition.proposal_nms)
    scales = ", ".join(f"{value:g}" for value in definition.box_coder.scales)
    crop_size = _wh(definition.crop.size)
    yield "box head", f"crops {crop_size}, {definition.score_activation} scores, box scales {scales}"
    yield "detections", _limits(definition.detection_nms)
    mask = definition.mask
    yield "masks", "none" if mask is None else f"{_wh(mask.size)} samples, from crops of {_wh(mask.crop.size)}"


def _resize(resize: ResizeSpec) -> str:
    def text(value: int | None) -> str:
        return "any" if value is None else str(value)

    minimum, longer = "" if resize.shrinks else "at least ", f"longer at most {text(resize.max_dimension)}"
    sizes = {
        "keep_aspect": f"shorter side {minimum}{text(resize.min_dimension)}, {longer}",
        "fixed": f"to {resize.width}x{resize.height}",
        "at_least": f"shorter side at least {resize.min_dimension}",
        "at_most": f"longer side at most {text(resize.max_dimension)}",
        "identity": "none",
    }[resize.kind]
    return sizes + (", padded" if resize.pad_to_max or resize.pad_multiple is not None else "")


def _anchor_rows(levels: Sequence[AnchorSpec]) -> Iterator[tuple[str, str]]:
    first = levels[0]
    offset = f"offset {_pair(first.offset)}"
    if len(levels) == 1:
        yield "anchors", f"{len(first.sizes)} per cell, stride {_stride(first)}, {offset}"
        yield "", f"sizes (h x w) {_anchor_sizes(first)}"
        return
    yield "anchors", f"{len(first.sizes)} per cell on {len(levels)} levels, {offset}"
    for level in levels:
        yield "", f"stride {_stride(level)}, sizes (h x w) {_anchor_sizes(level)}"


def _stride(level: AnchorSpec) -> str:
    return "as the map's" if level.stride is None else _pair(level.stride)


def _anchor_sizes(level: AnchorSpec) -> str:
    return ", ".join(f"{height:.0f}x{width:.0f}" for height, width in level.sizes)


def _limits(nms: NmsSpec) -> str:
    score = "any score" if nms.score_threshold == float("-inf") else f"score above {round(nms.score_threshold, 6):g}"
    iou = round(nms.iou_threshold, 6)
    return f"{score}, IoU at most {iou:g}, {nms.max_per_class} per class, {nms.max_total} in all"


def _net_rows(nets: Sequence[NetReport]) -> Iterator[tuple[str, str]]:
    yield "net", f"{'regions':>8}  {'layers':>6}  {'parameters':>11}  {'GFLOP':>8}  outputs (NHWC)"
    for net in nets:
        shapes = ", ".join(_output_shapes([shape for _, shape in net.outputs]))
        regions = "" if net.regions is None else str(net.regions)
        yield net.name, f"{regions:>8}  {len(net.layers):>6}  {net.parameters:>11,}  {net.gflops:>8.2f}  {shapes}"


def _output_shapes(shapes: Sequence[tuple[int, ...]]) -> Iterator[str]:
    """Each shape; of the maps of a pyramid the finest and the coarsest."""
    for _, group in groupby(shapes, key=lambda shape: shape[-1]):
        texts = ["x".join(map(str, shape)) for shape in group]
        yield texts[0] if len(texts) == 1 else f"{len(texts)} from {texts[0]} to {texts[-1]}"


def _checks(checks: Sequence[NetCheck]) -> Iterator[str]:
    for backend in dict.fromkeys(check.backend for check in checks):
        problems = [f"{check.net}: {check.problem}" for check in checks if check.backend == backend and check.problem]
        yield f"{backend}: " + ("all nets" if not problems else "; ".join(problems))


def _wh(size: Sequence[int]) -> str:
    return f"{size[1]}x{size[0]}"


def _pair(values: Sequence[float]) -> str:
    return " x ".join(f"{value:g}" for value in dict.fromkeys(values))
