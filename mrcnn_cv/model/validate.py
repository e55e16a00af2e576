"""Whether a model can be run at all: every number within bounds, and shapes, memory and arithmetic of its three nets.

No engine gets a net before this has looked at it: what is accepted here has no layer that does not fit, and none that
asks for more memory than a machine has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import prod
from typing import Any

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.shape_inference import Layer, Plan, Shape
from mrcnn_cv.importers.config_schema import MAX_SIDE
from mrcnn_cv.model.definition import AnchorSpec, CropSpec, ModelSpec, NmsSpec, ResizeSpec, StageGraph

MAX_BYTES = 4 * 2**30
"""Of feature maps at a time: ten times of what the largest models that are around need for their usual images."""

MAX_PORTION = 1 << 30
"""Of feature maps of a head that takes its regions in portions."""

MAX_FLOPS = 5e13
"""Ten times of what the slowest models that are around do for an image."""

MAX_BOXES = 1 << 16
"""Candidates, proposals or detections of an image."""

MAX_CLASSES = 1 << 16

MAX_CROP = 512
"""Samples on a side of a crop."""

USUAL = (480, 640)
"""(height, width) of the image with which a model is tried that takes images as they are."""


def check_model(spec: ModelSpec) -> None:
    """ModelFileError (without the file's name) for a model that no image could be given to."""
    _check_numbers(spec)
    height, width = usual_input(spec.resize)
    trunk = Plan(spec.trunk)
    inputs = {"image": (1, height, width, input_channels(spec))}
    found = trunk.layers(inputs)
    _check_effort("trunk", trunk, inputs, found)
    features = _check_trunk(spec, _results(spec.trunk, inputs, found))
    count = spec.proposal_nms.max_total
    encodings, logits = _head("box head", spec.box_head, spec.crop, features, count)
    boxes = 1 if spec.class_agnostic_boxes else spec.class_count
    if prod(encodings) != count * 4 * boxes or prod(logits) != count * (spec.class_count + 1):
        raise ModelFileError(
            f"has a box head that puts out {_each(encodings)} and {_each(logits)} numbers for a region, where"
            f" {spec.class_count} classes need {4 * boxes} and {spec.class_count + 1}"
        )
    if spec.mask is not None and spec.mask_head is not None:
        (masks,) = _head("mask head", spec.mask_head, spec.mask.crop, features, 1)
        part = spec.mask.interleaved
        channels = (1 if spec.mask.class_agnostic else spec.class_count) * part**2
        if masks != (1, spec.mask.size[0] // part, spec.mask.size[1] // part, channels):
            raise ModelFileError(
                f"has a mask head that puts out {'x'.join(map(str, masks[1:]))} numbers for a region, where"
                f" {spec.mask.size[0]}x{spec.mask.size[1]} pixels for {spec.class_count} classes are expected"
            )


def usual_input(resize: ResizeSpec) -> tuple[int, int]:
    """(height, width) of a trunk's input, padding included, for an image of 4:3; nearly what its rule makes of one."""
    if resize.kind == "fixed" and resize.height and resize.width:
        return resize.height, resize.width
    if resize.pad_to_max and resize.max_dimension is not None:
        return resize.max_dimension, resize.max_dimension
    scale = 1.0
    if resize.min_dimension is not None:
        scale = resize.min_dimension / min(USUAL)
        scale = scale if resize.kind == "keep_aspect" and resize.shrinks else max(scale, 1.0)
    if resize.max_dimension is not None:
        scale = min(scale, resize.max_dimension / max(USUAL))
    multiple = resize.pad_multiple or 1
    height, width = (math.ceil(max(1, round(side * scale)) / multiple) * multiple for side in USUAL)
    return height, width


def input_channels(spec: ModelSpec) -> int:
    """Of the trunk's input."""
    return 1 if spec.resize.gray_weights else 3


def head_shape(crop: CropSpec, channels: int, count: int) -> Shape:
    """What a head takes for `count` regions of maps with `channels`."""
    height, width = crop.head_size
    if crop.flat:
        row = height * width * channels
        return (1, 1, count, row) if crop.as_pixels else (count, row)
    return count, height, width, channels


def _results(stage: StageGraph, inputs: Mapping[str, Shape], layers: Iterable[Layer]) -> list[Shape]:
    """The shapes of what a stage puts out."""
    shapes = {**inputs} | {layer.name: layer.output for layer in layers}
    return [shapes[name] for name in stage.outputs]


def _head(what: str, stage: StageGraph, crop: CropSpec, features: Shape, count: int) -> list[Shape]:
    plan, inputs = Plan(stage), {"crops": head_shape(crop, features[3], count)}
    found = plan.layers(inputs)
    _check_effort(what, plan, inputs, found)
    return _results(stage, inputs, found)


def check_input(trunk: Plan, inputs: Mapping[str, Shape]) -> None:
    """ModelFileError (without the file's name) where a trunk cannot take an input of this size."""
    _check_effort("trunk", trunk, inputs, trunk.layers(inputs))


def feature_channels(spec: ModelSpec, trunk: Plan) -> int:
    """Of the maps that a trunk hands to the heads."""
    inputs = {"image": (1, *usual_input(spec.resize), input_channels(spec))}
    shapes = inputs | {layer.name: layer.output for layer in trunk.layers(inputs)}
    return shapes[trunk.outputs[0]][3]


def regions_at_once(head: Plan, crop: CropSpec, channels: int) -> int:
    """How many regions a head takes at a time without holding more than MAX_PORTION bytes."""
    inputs = {"crops": head_shape(crop, channels, 1)}
    return max(1, MAX_PORTION // head.most_bytes(inputs, head.layers(inputs)))


def _check_effort(what: str, plan: Plan, inputs: Mapping[str, Shape], layers: list[Layer]) -> None:
    needed = plan.most_bytes(inputs, layers)
    if needed > MAX_BYTES:
        raise ModelFileError(
            f"has a {what} that needs {needed / 2**30:.3g} GiB for its feature maps, where {MAX_BYTES // 2**30} are"
            " allowed"
        )
    flops = sum(layer.flops for layer in layers)
    if flops > MAX_FLOPS:
        raise ModelFileError(f"has a {what} that takes {flops:.2g} operations, where {MAX_FLOPS:.2g} are allowed")


def _check_trunk(spec: ModelSpec, outputs: list[Shape]) -> Shape:
    """The shape of the (finest) feature map; ModelFileError where the trunk's outputs do not fit the anchors."""
    levels = len(spec.anchors)
    features, encodings, logits = outputs[: -2 * levels], outputs[-2 * levels : -levels], outputs[-levels:]
    wanted = max(1, spec.crop.pyramid.levels if spec.crop.pyramid else 1, len(spec.crop.scales))
    if any(len(size) != 4 for size in outputs) or len({size[3] for size in features}) != 1 or len(features) < wanted:
        raise ModelFileError("has a trunk whose feature maps do not fit together")
    for anchors, boxes, scores in zip(spec.anchors, encodings, logits, strict=True):
        count = len(anchors.sizes)
        each = 2 if spec.objectness == "softmax" else 1
        if boxes[:3] != scores[:3] or boxes[3] != 4 * count or scores[3] != each * count:
            raise ModelFileError(
                f"has a region proposal network that puts out {boxes[3]} and {scores[3]} numbers for each cell, where"
                f" {count} anchors need {4 * count} and {each * count}"
            )
    return features[0]


def _each(size: Shape) -> int:
    return prod(size[1:]) if len(size) == 2 else prod(size[:2]) * size[3] // max(size[0], size[2])


def _check_numbers(spec: ModelSpec) -> None:
    for name, number in _numbers(spec, ""):
        if not math.isfinite(number) and not (name.endswith("score_threshold") and number == -math.inf):
            raise ModelFileError(f"says {number} for '{name}', which is no number that it could be run with")
    if not 1 <= spec.class_count <= MAX_CLASSES:
        raise ModelFileError(f"has {spec.class_count} classes, where 1 to {MAX_CLASSES} are possible")
    _check_resize(spec.resize)
    for what, nms in (("proposals", spec.proposal_nms), ("detections", spec.detection_nms)):
        _check_suppression(what, nms)
    for coder in (spec.proposal_coder, spec.box_coder):
        if not all(1e-6 <= abs(scale) <= 1e6 for scale in coder.scales):
            raise ModelFileError(f"divides its box encodings by {list(coder.scales)}, which is out of range")
    if any(step.op == "div" and 0 in step.operand for step in spec.pixels):
        raise ModelFileError("divides pixels by zero")
    for anchors in spec.anchors:
        _check_anchors(anchors)
    for crop in (spec.crop, *([] if spec.mask is None else [spec.mask.crop])):
        if not all(1 <= side <= MAX_CROP for side in crop.size) or not 0 <= crop.sampling_ratio <= 64:
            raise ModelFileError(f"crops regions of {crop.size[0]}x{crop.size[1]} samples, which is out of range")
        if not all(0 < scale <= 64 for scale in crop.scales):
            raise ModelFileError("crops regions from maps of a scale that is out of range")
    if spec.mask is not None and not all(1 <= side <= MAX_CROP for side in spec.mask.size):
        raise ModelFileError(f"has masks of {spec.mask.size[0]}x{spec.mask.size[1]} samples, which is out of range")


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """Every number of a spec with the name of its field."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _numbers(getattr(value, field.name), field.name)
    elif isinstance(value, tuple):
        for item in value:
            yield from _numbers(item, name)
    elif isinstance(value, int | float):
        yield name, value


def _check_resize(resize: ResizeSpec) -> None:
    sides = (resize.min_dimension, resize.max_dimension, resize.height, resize.width, resize.pad_multiple)
    for side in sides:
        if side is not None and not 0 <= side <= MAX_SIDE:
            raise ModelFileError(f"resizes images to {side} pixels on a side, where 1 to {MAX_SIDE} are possible")
    if 0 in (resize.max_dimension, resize.pad_multiple) or (resize.kind == "fixed" and 0 in sides):
        raise ModelFileError("resizes images to nothing")
    if resize.shrinks and resize.min_dimension == 0:
        raise ModelFileError("resizes images to nothing")
    if resize.min_scale is not None and not 0 <= resize.min_scale <= 64:
        raise ModelFileError(f"enlarges images {resize.min_scale:g} times, which is out of range")


def _check_suppression(what: str, nms: NmsSpec) -> None:
    limits = (nms.max_per_class, nms.max_total, nms.max_candidates)
    if any(limit is not None and not 1 <= limit <= MAX_BOXES for limit in limits):
        number = next(limit for limit in limits if limit is not None and not 1 <= limit <= MAX_BOXES)
        raise ModelFileError(f"keeps up to {number} {what}, where 1 to {MAX_BOXES} are possible")


def _check_anchors(anchors: AnchorSpec) -> None:
    stride = (1.0, 1.0) if anchors.stride is None else anchors.stride
    sides = [side for size in anchors.sizes for side in size]
    if not sides or not all(0 < side <= 1e6 for side in sides) or not all(0 < step <= 1e5 for step in stride):
        raise ModelFileError("has anchors whose sizes or strides are out of range")
    if max(map(abs, anchors.offset)) > 1e6:
        raise ModelFileError("has anchors that lie outside of every image")
