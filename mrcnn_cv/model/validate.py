"""Whether a model can be run at all: every number within bounds, and shapes, memory and arithmetic of its three nets.

No engine gets a net before this has looked at it: what is accepted here has no layer that does not fit, and none that
asks for more memory than a machine has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import prod
from typing import Any

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import CROPS, IMAGE, NetGraph
from mrcnn_cv.graph.shape_inference import LayerShape, Shape, ShapeInference
from mrcnn_cv.model.definition import AnchorSpec, CropSpec, ModelDefinition, NmsSpec, ResizeSpec

MAX_SIDE = 8192
"""Pixels on a side of what a backbone takes."""

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

MAX_LEVELS = 64
"""Of a pyramid."""

MAX_PIXEL_STEPS = 16

USUAL = (480, 640)
"""(height, width) of the image with which a model is tried that takes images as they are."""


def check_model(spec: ModelDefinition) -> None:
    """ModelFileError (without the file's name) for a model that no image could be given to."""
    _check_numbers(spec)
    height, width = usual_input(spec.resize)
    backbone = ShapeInference(spec.trunk)
    inputs = {IMAGE: (1, input_channels(spec), height, width)}
    _check_effort("backbone", backbone, inputs, backbone.layers(inputs))
    features = _check_backbone(spec, backbone.results(inputs))
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
        part = spec.mask.mask_block_size
        channels = (1 if spec.mask.class_agnostic else spec.class_count) * part**2
        if masks != (1, channels, spec.mask.size[0] // part, spec.mask.size[1] // part):
            raise ModelFileError(
                f"has a mask head that puts out {'x'.join(map(str, masks[1:]))} numbers for a region, where"
                f" {spec.mask.size[0]}x{spec.mask.size[1]} pixels for {spec.class_count} classes are expected"
            )


def usual_input(resize: ResizeSpec) -> tuple[int, int]:
    """(height, width) of a backbone's input, padding included, for an image of 4:3; nearly what its rule gives."""
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


def input_channels(spec: ModelDefinition) -> int:
    """Of the backbone's input."""
    return 1 if spec.resize.gray_weights else 3


def head_shape(crop: CropSpec, channels: int, count: int) -> Shape:
    """What a head takes for `count` regions of maps with `channels`."""
    height, width = crop.head_size
    if crop.flat:
        return count, height * width * channels
    return count, channels, height, width


def _head(what: str, net: NetGraph, crop: CropSpec, features: Shape, count: int) -> list[Shape]:
    plan, inputs = ShapeInference(net), {CROPS: head_shape(crop, features[1], count)}
    _check_effort(what, plan, inputs, plan.layers(inputs))
    return plan.results(inputs)


def check_input(backbone: ShapeInference, inputs: Mapping[str, Shape]) -> None:
    """ModelFileError (without the file's name) where a backbone cannot take an input of this size."""
    _check_effort("backbone", backbone, inputs, backbone.layers(inputs))


def feature_channels(spec: ModelDefinition, backbone: ShapeInference) -> int:
    """Of the maps that a backbone hands to the heads."""
    return backbone.results({IMAGE: (1, input_channels(spec), *usual_input(spec.resize))})[0][1]


def regions_at_once(head: ShapeInference, crop: CropSpec, channels: int) -> int:
    """How many regions a head takes at a time without holding more than MAX_PORTION bytes."""
    inputs = {CROPS: head_shape(crop, channels, 1)}
    return max(1, MAX_PORTION // head.peak_bytes(inputs, head.layers(inputs)))


def _check_effort(what: str, plan: ShapeInference, inputs: Mapping[str, Shape], layers: list[LayerShape]) -> None:
    needed = plan.peak_bytes(inputs, layers)
    if needed > MAX_BYTES:
        raise ModelFileError(
            f"has a {what} that needs {needed / 2**30:.3g} GiB for its feature maps, where {MAX_BYTES // 2**30} are"
            " allowed"
        )
    flops = sum(layer.flops for layer in layers)
    if flops > MAX_FLOPS:
        raise ModelFileError(f"has a {what} that takes {flops:.2g} operations, where {MAX_FLOPS:.2g} are allowed")


def _check_backbone(spec: ModelDefinition, outputs: list[Shape]) -> Shape:
    """The shape of the (finest) feature map; ModelFileError where the backbone's outputs do not fit the anchors."""
    levels = len(spec.anchors)
    features, encodings, logits = outputs[: -2 * levels], outputs[-2 * levels : -levels], outputs[-levels:]
    wanted = max(1, *(max(crop.pyramid.levels if crop.pyramid else 1, len(crop.scales)) for crop in _crops(spec)))
    if any(len(size) != 4 for size in outputs) or len({size[1] for size in features}) != 1 or len(features) < wanted:
        raise ModelFileError("has a backbone whose feature maps do not fit together")
    for anchors, boxes, scores in zip(spec.anchors, encodings, logits, strict=True):
        count = len(anchors.sizes)
        each = 2 if spec.objectness == "softmax" else 1
        if boxes[2:] != scores[2:] or boxes[1] != 4 * count or scores[1] != each * count:
            raise ModelFileError(
                f"has a region proposal network that puts out {boxes[1]} and {scores[1]} numbers for each cell, where"
                f" {count} anchors need {4 * count} and {each * count}"
            )
    return features[0]


def _each(size: Shape) -> int:
    return prod(size[1:])


def _check_numbers(spec: ModelDefinition) -> None:
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
    _check_pixels(spec)
    if not 1 <= len(spec.anchors) <= MAX_LEVELS:
        raise ModelFileError(f"has anchors on {len(spec.anchors)} levels, where 1 to {MAX_LEVELS} are possible")
    for anchors in spec.anchors:
        _check_anchors(anchors)
    for crop in _crops(spec):
        _check_crop(crop)
    if spec.mask is not None:
        height, width = spec.mask.size
        if not all(1 <= side <= MAX_CROP for side in spec.mask.size):
            raise ModelFileError(f"has masks of {height}x{width} samples, which is out of range")
        part = spec.mask.mask_block_size
        if not 1 <= part <= MAX_CROP or height % part or width % part:
            raise ModelFileError(f"has masks of {height}x{width} samples in {part}x{part} blocks, which do not fit")


def _check_pixels(spec: ModelDefinition) -> None:
    if any(step.op == "div" and 0 in step.operand for step in spec.pixels):
        raise ModelFileError("divides pixels by zero")
    if len(spec.pixels) > MAX_PIXEL_STEPS:
        raise ModelFileError(f"has {len(spec.pixels)} steps for its pixels, where {MAX_PIXEL_STEPS} are possible")
    for step in spec.pixels:
        if len(step.operand) not in (1, input_channels(spec)):
            raise ModelFileError(f"has {len(step.operand)} numbers for the channels of a pixel, which do not fit")
    if len(spec.resize.pad_value) not in (1, 3) or len(spec.resize.gray_weights) not in (0, 3):
        raise ModelFileError("pads images, or makes them gray, with numbers that are not one for each channel")


def _crops(spec: ModelDefinition) -> list[CropSpec]:
    return [spec.crop] if spec.mask is None else [spec.crop, spec.mask.crop]


def _check_crop(crop: CropSpec) -> None:
    height, width = crop.size
    if not all(1 <= side <= MAX_CROP for side in crop.size) or not 0 <= crop.sampling_ratio <= 64:
        raise ModelFileError(f"crops regions of {height}x{width} samples, which is out of range")
    if not all(0 < scale <= 64 for scale in crop.scales):
        raise ModelFileError("crops regions from maps of a scale that is out of range")
    if not 1 <= crop.pooled <= MAX_CROP or height % crop.pooled or width % crop.pooled:
        raise ModelFileError(f"pools crops of {height}x{width} samples by {crop.pooled}, which does not fit")
    pyramid = crop.pyramid
    levels = 1 if pyramid is None else pyramid.levels
    if (crop.method == "roi_align" or crop.scales) and len(crop.scales) < levels:
        raise ModelFileError(f"crops regions from {levels} maps but has the scales of {len(crop.scales)}")
    if pyramid is not None:
        in_range = 0 < pyramid.canonical_size <= 1e6 and abs(pyramid.canonical_level) <= 64
        if not 1 <= levels <= MAX_LEVELS or not in_range or abs(pyramid.epsilon) > 64:
            raise ModelFileError("gives regions to the levels of its pyramid by numbers that are out of range")


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """Every number of a spec with the name of its field."""
    if is_dataclass(value) and not isinstance(value, type | NetGraph):
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
    if resize.kind == "fixed" and (resize.height is None or resize.width is None):
        raise ModelFileError("resizes images to a fixed size without saying which")
    if resize.pad_to_max and not _fits_into_square(resize):
        raise ModelFileError("pads images to a square that they may not fit into")
    if resize.min_scale is not None and not 0 <= resize.min_scale <= 64:
        raise ModelFileError(f"enlarges images {resize.min_scale:g} times, which is out of range")


def _fits_into_square(resize: ResizeSpec) -> bool:
    """Whether no image is larger than the square that it is padded to."""
    most = resize.max_dimension
    if most is None:
        return False
    if resize.kind == "fixed":
        return max(resize.height or 0, resize.width or 0) <= most
    if not resize.shrinks or resize.kind == "at_most":
        return True
    return resize.kind == "keep_aspect" and resize.min_dimension is not None


def _check_suppression(what: str, nms: NmsSpec) -> None:
    limits = (nms.max_per_class, nms.max_total, nms.pre_nms_top_n)
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
