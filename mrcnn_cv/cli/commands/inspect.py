"""`mrcnn-cv inspect`: a look inside a model file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from mrcnn_cv.cli.console.messages import sanitize
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import option
from mrcnn_cv.errors import UsageError
from mrcnn_cv.util.json import dumps

LABEL_WIDTH = 14


@click.command(cls=GroupedCommand, short_help="Look inside a model: numbers, nets, what is unusual.")
@click.argument("model", metavar="MODEL")
@option("Model", "--labels", metavar="FILE", help="Names of the classes.", default_note="those beside the model")
@option(
    "Model",
    "--pipeline-config",
    metavar="FILE",
    help="pipeline.config, or values of a matterport Config.",
    default_note="the one beside the model",
)
@option(
    "Model",
    "--image-size",
    default="640x480",
    metavar="WxH",
    help="Size of the picture for which sizes and operations are counted.",
)
@option("Output", "--layers", is_flag=True, help="Every layer of the nets too.")
@option("Output", "--json", "as_json", is_flag=True, help="Everything as JSON.", envvar="MRCNN_CV_INSPECT_JSON")
def inspect(
    model: str, labels: str | None, pipeline_config: str | None, image_size: str, layers: bool, as_json: bool
) -> None:
    """Look inside a model file.

    MODEL is a frozen graph (.pb), the folder that holds it, or a name (`mrcnn-cv models list`). Shown are the classes,
    every number that decides the answers (all read from the graph), the three nets with their operations, whether this
    OpenCV runs them and where, and what is unusual. For a file that cannot run: what it is, and why not.
    """
    size = _size(image_size)
    from mrcnn_cv.cli.resolve_model import find_model
    from mrcnn_cv.jobs.inspect import inspect as look

    options: dict[str, Any] = {"model": model, "labels": labels}
    find_model(click.get_current_context(), options)
    names, config = (None if each is None else Path(each) for each in (options["labels"], pipeline_config))
    found = look(Path(options["model"]), size, names, config)
    if as_json:
        click.echo(dumps(found, indent=2, allow_nan=True))
        return
    for label, text in _rows(found, layers):
        click.echo(sanitize(f"{label:<{LABEL_WIDTH}}{text}".rstrip()))


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if match is None or "0" in match.groups():
        raise UsageError(f"--image-size must be WIDTHxHEIGHT in pixels, such as 640x480, not '{text}'")
    return int(match[2]), int(match[1])


def _rows(found: dict[str, Any], layers: bool) -> Iterator[tuple[str, str]]:
    """The table, a (label, text) for each line."""
    file = found["file"]
    yield "file", f"{file['path']}  ({file['bytes'] / 1e6:.1f} MB)"
    yield "sha256", file["sha256"]
    yield "model", f"{found['architecture']}, {found['backbone']}, {found['parameters'] / 1e6:.2f} million parameters"
    yield "from", f"{found['family']}, exported by {found['exporter']}"
    yield from _class_rows(found["classes"])
    yield "", ""
    yield from _number_rows(found)
    yield "", ""
    yield from _net_rows(found)
    yield "", ""
    for index, check in enumerate(_checks(found["opencv"])):
        yield ("runs on" if index == 0 else ""), check
    for label in ("unusual", "warnings"):
        for index, text in enumerate(found[label]):
            yield (label if index == 0 else ""), text
    for net in found["nets"] if layers else ():
        yield "", ""
        yield net["name"], f"{'output (NHWC)':>18}  {'parameters':>10}  {'MFLOP':>9}  layer"
        for layer in net["layers"]:
            shape = "x".join(map(str, layer["output"]))
            numbers = f"{shape:>18}  {layer['parameters']:>10,}  {layer['flops'] / 1e6:>9.1f}"
            yield "", f"{numbers}  {layer['op']} {layer['name']}"


def _class_rows(classes: dict[str, Any]) -> Iterator[tuple[str, str]]:
    names = [f"{number} {name}" for number, name in classes["names"].items()]
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    yield "classes", f"{classes['count']}" + (f": {shown}" if names else ", no names known")


def _number_rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    resize, anchors, image = found["resize"], found["anchors"], found["image"]
    longest = resize.get("max_dimension", "any")
    minimum = "" if resize["shrinks"] else "at least "
    sizes = {
        "keep_aspect": f"shorter side {minimum}{resize.get('min_dimension', 'any')}, longer at most {longest}",
        "fixed": f"to {resize.get('width')}x{resize.get('height')}",
        "at_least": f"shorter side at least {resize.get('min_dimension')}",
        "at_most": f"longer side at most {longest}",
        "identity": "none",
    }[resize["kind"]]
    padding = ", padded" if resize["pad_to_max"] or "pad_multiple" in resize else ""
    yield "resize", f"{sizes}{padding} ({_wh(image['size'])} becomes {_wh(image['network_input'])})"
    signs = {"mul": "*", "sub": "-", "add": "+", "div": "/"}
    steps = [f"{signs[step['op']]} {', '.join(f'{value:g}' for value in step['operand'])}" for step in found["pixels"]]
    yield "pixels", ("gray" if resize["gray_weights"] else "RGB") + "".join(f" {step}" for step in steps)
    yield from _anchor_rows(anchors)
    yield "proposals", _limits(found["proposals"])
    head = found["box_head"]
    scales = ", ".join(f"{value:g}" for value in head["box_scales"])
    yield "box head", f"crops {_wh(head['crop_size'])}, {head['scores']} scores, box scales {scales}"
    yield "detections", _limits(found["detections"])
    masks = found["masks"]
    yield "masks", "none" if masks is None else f"{_wh(masks['size'])} samples, from crops of {_wh(masks['crop_size'])}"


def _anchor_rows(anchors: dict[str, Any]) -> Iterator[tuple[str, str]]:
    offset = f"offset {_pair(anchors['offset'])}"
    if "levels" not in anchors:
        yield "anchors", f"{len(anchors['sizes'])} per cell, stride {_stride(anchors)}, {offset}"
        yield "", f"sizes (h x w) {_anchor_sizes(anchors)}"
        return
    yield "anchors", f"{len(anchors['sizes'])} per cell on {len(anchors['levels'])} levels, {offset}"
    for level in anchors["levels"]:
        yield "", f"stride {_stride(level)}, sizes (h x w) {_anchor_sizes(level)}"


def _stride(level: dict[str, Any]) -> str:
    return "as the map's" if level["stride"] is None else _pair(level["stride"])


def _anchor_sizes(level: dict[str, Any]) -> str:
    return ", ".join(f"{height:.0f}x{width:.0f}" for height, width in level["sizes"])


def _limits(nms: dict[str, Any]) -> str:
    score = "any score" if nms["score_threshold"] is None else f"score above {nms['score_threshold']:g}"
    return f"{score}, IoU at most {nms['iou_threshold']:g}, {nms['max_per_class']} per class, {nms['max_total']} in all"


def _net_rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "net", f"{'regions':>8}  {'layers':>6}  {'parameters':>11}  {'GFLOP':>8}  outputs (NHWC)"
    for net in found["nets"]:
        shapes = ", ".join(_output_shapes([output["shape"] for output in net["outputs"]]))
        regions = "" if net["regions"] is None else str(net["regions"])
        row = f"{regions:>8}  {len(net['layers']):>6}  {net['parameters']:>11,}  {net['gflops']:>8.2f}  {shapes}"
        yield net["name"], row


def _output_shapes(shapes: list[list[int]]) -> Iterator[str]:
    """Each shape; of the maps of a pyramid the finest and the coarsest."""
    for _, group in groupby(shapes, key=lambda shape: shape[-1]):
        texts = ["x".join(map(str, shape)) for shape in group]
        yield texts[0] if len(texts) == 1 else f"{len(texts)} from {texts[0]} to {texts[-1]}"


def _checks(checks: list[dict[str, Any]]) -> Iterator[str]:
    for backend in dict.fromkeys(check["backend"] for check in checks):
        problems = [
            f"{check['net']}: {check['problem']}"
            for check in checks
            if check["backend"] == backend and check["problem"]
        ]
        yield f"{backend}: " + ("all nets" if not problems else "; ".join(problems))


def _wh(size: list[int]) -> str:
    return f"{size[1]}x{size[0]}"


def _pair(values: list[float]) -> str:
    return " x ".join(f"{value:g}" for value in dict.fromkeys(values))
