"""What a model file says: every number that the five steps need, and the three nets. Frozen, plain, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StageGraph:
    """One net: a GraphDef of plain layers for the engine, with the names of what goes in and comes out.

    Inputs and outputs are float32. Images and feature maps are NCHW; regions are (1, 1, N, 7) rows of
    `image, class, score, left, top, right, bottom` in units of the feature map (0 to 1).
    """

    graph_def: bytes = field(repr=False)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ResizeSpec:
    """How an image becomes the trunk's input.

    "keep_aspect": the shorter side becomes `min_dimension`, unless the longer one would pass `max_dimension` (None: no
    limit). "fixed": (height, width) whatever the aspect. "identity": as it is. `pad_to_max` adds `pad_value` (one
    number, or one per channel in RGB order) at the bottom and the right. `half_pixel_centers` is TensorFlow 2's rule;
    the Object Detection API's graphs use TensorFlow 1's.
    """

    kind: Literal["keep_aspect", "fixed", "identity"]
    min_dimension: int | None = None
    max_dimension: int | None = None
    height: int | None = None
    width: int | None = None
    pad_to_max: bool = False
    pad_value: tuple[float, ...] = (0.0,)
    half_pixel_centers: bool = False


@dataclass(frozen=True)
class PixelStep:
    """One step of the pixel preprocessing, per channel in RGB order, in float32: `value op operand`."""

    op: Literal["mul", "add", "sub", "div"]
    operand: tuple[float, ...]


@dataclass(frozen=True)
class AnchorSpec:
    """A grid of anchors: cell (y, x) has its centre at offset + (y, x) * stride pixels of the trunk's input.

    sizes: (height, width) in pixels of each of the A anchors of a cell, in the order of the network's channels.
    """

    sizes: tuple[tuple[float, float], ...]
    stride: tuple[float, float]
    offset: tuple[float, float]
    clip_to_image: bool


@dataclass(frozen=True)
class NmsSpec:
    """Non-maximum suppression of one stage.

    `clip_first`: boxes are clipped before they are compared, not after. `class_agnostic`: a region counts for its best
    class only, and suppresses those of all classes.
    """

    score_threshold: float
    iou_threshold: float
    max_per_class: int
    max_total: int
    clip_first: bool
    class_agnostic: bool = False


@dataclass(frozen=True)
class BoxCoder:
    """The divisors of a box encoding (ty, tx, th, tw): Faster R-CNN, section 3.1.2."""

    scales: tuple[float, float, float, float]


@dataclass(frozen=True)
class MaskSpec:
    """The mask branch: (height, width) of a mask in samples and of the regions that the head crops."""

    size: tuple[int, int]
    crop_size: tuple[int, int]
    class_agnostic: bool


@dataclass(frozen=True)
class ModelSpec:
    """Everything that the five steps need to know about a model.

    Box head outputs: encodings (N, 4 C), or (N, 4) when `class_agnostic_boxes`; logits (N, C + 1), background first.
    Mask head output: logits (N, C or 1, mask_h, mask_w). Class i (0-based) has the label id i + 1.
    """

    family: str
    architecture: str
    backbone: str
    exporter: str
    class_count: int
    resize: ResizeSpec
    pixels: tuple[PixelStep, ...]
    anchors: AnchorSpec
    proposal_coder: BoxCoder
    proposal_nms: NmsSpec
    crop_size: tuple[int, int]
    box_coder: BoxCoder
    class_agnostic_boxes: bool
    score_conversion: Literal["softmax", "sigmoid", "identity"]
    logit_factor: float
    detection_nms: NmsSpec
    mask: MaskSpec | None
    trunk: StageGraph
    box_head: StageGraph
    mask_head: StageGraph | None
    warnings: tuple[str, ...] = ()


def anchor_sizes(
    scales: tuple[float, ...], aspect_ratios: tuple[float, ...], base_size: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """The (height, width) of the anchors of a cell in the Object Detection API's order: ratios outer, scales inner.

    Source: anchor_generators/grid_anchor_generator.py.
    """
    ratio, scale = np.meshgrid(
        np.sqrt(np.array(aspect_ratios, dtype=np.float32)), np.array(scales, dtype=np.float32), indexing="ij"
    )
    heights: NDArray[np.float32] = (scale / ratio * np.float32(base_size[0])).ravel()
    widths: NDArray[np.float32] = (scale * ratio * np.float32(base_size[1])).ravel()
    return tuple((float(height), float(width)) for height, width in zip(heights, widths, strict=True))
