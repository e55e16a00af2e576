"""What a model file says: every number that the five steps need, and the three nets. Frozen, plain, no behaviour."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.graph.ir import NetGraph, Source


@dataclass(frozen=True)
class ResizeSpec:
    """How an image becomes the backbone's input.

    "keep_aspect": the shorter side becomes `min_dimension`, unless the longer one would pass `max_dimension` (None: no
    limit). "at_least": the shorter side becomes `min_dimension` if it is below. "at_most": the longer one becomes
    `max_dimension` if it is above. "fixed": (height, width) whatever the aspect. "identity": as it is. `pad_to_max`
    adds `pad_value` (one number, or one per channel in RGB order) at the bottom and the right. `half_pixel_centers` is
    TensorFlow 2's rule; the Object Detection API's graphs use TensorFlow 1's.

    align_corners  the corner pixels of the image stay corner pixels
    gray_weights   the backbone takes one channel, the sum of red, green and blue with these weights; empty: all three
    shrinks        False: no image becomes smaller than it is for the sake of its shorter side (matterport)
    min_scale      an image is enlarged at least so much (matterport); None: as its shorter side asks
    rounding       how the sides become whole pixels; "down": torchvision, "half_up": Detectron2
    zero_border    what lies beyond the border counts as black when pixels are interpolated (scikit-image)
    method         "antialiased": Pillow's bilinear, smoothed where an image shrinks (Detectron2)
    truncate_pixels   pixels are cut down to whole numbers after resizing (matterport)
    pad_multiple   both sides are padded to the next multiple of this; None: they are not
    pad_centered   the padding surrounds the image, instead of following it at the bottom and the right
    pad_prepared   the padding is zero after the preprocessing of pixels, whatever `pad_value` (torchvision, Detectron2)
    """

    kind: Literal["keep_aspect", "at_least", "at_most", "fixed", "identity"]
    min_dimension: int | None = None
    max_dimension: int | None = None
    height: int | None = None
    width: int | None = None
    pad_to_max: bool = False
    pad_value: tuple[float, ...] = (0.0,)
    half_pixel_centers: bool = False
    align_corners: bool = False
    method: Literal["bilinear", "nearest", "bicubic", "area", "antialiased"] = "bilinear"
    gray_weights: tuple[float, ...] = ()
    shrinks: bool = True
    min_scale: float | None = None
    rounding: Literal["nearest", "down", "half_up"] = "nearest"
    zero_border: bool = False
    truncate_pixels: bool = False
    pad_multiple: int | None = None
    pad_centered: bool = False
    pad_prepared: bool = False


@dataclass(frozen=True)
class NormalizationStep:
    """One step of the pixel preprocessing, per channel in RGB order, in float32: `value op operand`."""

    op: Literal["mul", "add", "sub", "div"]
    operand: tuple[float, ...]


@dataclass(frozen=True)
class AnchorSpec:
    """A grid of anchors over one feature map: cell (y, x) has its centre at offset + (y, x) * stride pixels.

    Pixels are those of the backbone's input. sizes: (height, width) of each of the A anchors of a cell, in the order of
    the network's channels. stride: None for the input's sides divided by the map's without a rest, as torchvision does.
    """

    sizes: tuple[tuple[float, float], ...]
    stride: tuple[float, float] | None
    offset: tuple[float, float]
    clip_to_image: bool


@dataclass(frozen=True)
class NmsSpec:
    """Non-maximum suppression of one stage.

    clip_first         boxes are clipped before they are compared, not after
    class_agnostic     a region counts for its best class only, and suppresses those of all classes
    argmax_class_only  a region counts for its best class only, the background among them, and suppresses those of its
                       own
    pre_nms_top_n      the best so many are looked at; None: all
    per_level          each level of a feature pyramid has candidates of its own, and its boxes suppress only each other
    min_box_size       boxes with a shorter side go; 0: those without area go; None: none do
    clip_to_input      boxes are clipped to the backbone's whole input, its padding included, not to the image
    round_first        boxes are rounded to pixels of the backbone's input before they are compared (matterport, 2017)
    """

    score_threshold: float
    iou_threshold: float
    max_per_class: int
    max_total: int
    clip_first: bool
    class_agnostic: bool = False
    argmax_class_only: bool = False
    pre_nms_top_n: int | None = None
    per_level: bool = False
    min_box_size: float | None = 0.0
    clip_to_input: bool = False
    round_first: bool = False


BBOX_XFORM_CLIP = math.log(1000 / 16)
"""What torchvision and Detectron2 limit encoded widths and heights to."""


@dataclass(frozen=True)
class BoxCoder:
    """The divisors of a box encoding (ty, tx, th, tw): Faster R-CNN, section 3.1.2.

    bbox_xform_clip: no more than this of th and tw counts (torchvision and Detectron2: the logarithm of 1000 / 16).
    """

    scales: tuple[float, float, float, float]
    bbox_xform_clip: float | None = None


@dataclass(frozen=True)
class PyramidSpec:
    """Which level of a feature pyramid a region is cut from: "Feature Pyramid Networks", section 4.2, equation 1.

    A region with an area of `canonical_size` squared, in pixels of the backbone's input, belongs to `canonical_level`
    (the finest level of the heads is 0), one twice as wide and high to the next. rounding: how the level becomes
    whole; `epsilon` is added before. levels: how many there are; what falls outside goes to the nearest.
    """

    levels: int
    canonical_level: int
    canonical_size: float = 224.0
    rounding: Literal["floor", "nearest"] = "floor"
    epsilon: float = 0.0


@dataclass(frozen=True)
class CropSpec:
    """How the regions of a head are cut out of the feature maps.

    size            (height, width) of a crop in samples
    method          "crop_and_resize": TensorFlow's. "roi_align": Mask R-CNN, section 3: each sample of a crop is the
                    mean of points. "roi_pool": Fast R-CNN, section 2.1; cells lie as in roi_align where there are
                    scales, else as in crop_and_resize
    sampling_ratio  roi_align: points along each side of a sample; 0: as many as it has pixels of the map, rounded up
    aligned         roi_align: pixel centres lie at half a pixel (Detectron2), not at whole ones (torchvision)
    scales          roi_align, roi_pool: cells of each map per pixel of the backbone's input
    flat            the head takes a crop as one row of numbers, channels last, and not as a map
    relative_to_image  regions are fractions of the image, not of the padded input (the Object Detection API's masks)
    pooled          the head takes the largest of every pooled x pooled samples
    pyramid         None where all regions are cut from one map
    """

    size: tuple[int, int]
    method: Literal["crop_and_resize", "roi_align", "roi_pool"] = "crop_and_resize"
    sampling_ratio: int = 0
    aligned: bool = False
    scales: tuple[float, ...] = ()
    flat: bool = False
    relative_to_image: bool = False
    pooled: int = 1
    pyramid: PyramidSpec | None = None

    @property
    def head_size(self) -> tuple[int, int]:
        """(height, width) of a crop as the head takes it."""
        return self.size[0] // self.pooled, self.size[1] // self.pooled

    @property
    def map_size(self) -> tuple[int, int] | None:
        """The same where the head takes maps; None: it takes rows of numbers."""
        return None if self.flat else self.head_size


@dataclass(frozen=True)
class MaskSpec:
    """The mask branch: (height, width) of a mask in samples, how its regions are cut, where its samples lie in a box.

    sampling: "corners", "centers" or "expanded", see `Instances.mask_sampling`. mask_block_size: more than 1: the head
    puts out its masks so many times smaller on each side, with the samples of each cell, by row and column, as blocks
    of channels (depth to space).
    """

    size: tuple[int, int]
    crop: CropSpec
    class_agnostic: bool
    sampling: Literal["corners", "centers", "expanded"] = "corners"
    mask_block_size: int = 1


@dataclass(frozen=True)
class ModelDefinition:
    """Everything that the five steps need to know about a model.

    Backbone outputs: the F feature maps of the heads, finest first; then for each of the L levels of `anchors` the box
    encodings (1, 4 A, h, w), then for each the objectness logits (1, 2 A, h, w), background first, or (1, A, h, w) for
    "sigmoid" and for "logits", which nothing converts. Box head outputs: encodings (N, 4 C), or (N, 4) when
    `class_agnostic_boxes`; logits (N, C + 1), background first. Mask head output: logits (N, C or 1, mask_h, mask_w).
    Encodings are ty tx th tw. Class i (from 0) has the label id i + 1.

    box_edges: "pixels": a box of the whole input goes from 0 to its side, "centers": to the side less one, from the
    middle of the first pixel to that of the last (matterport). round_boxes: boxes are whole pixels of the image,
    rounded, or cut down where edges are "pixels".
    """

    family: str
    architecture: str
    backbone: str
    exporter: str
    class_count: int
    resize: ResizeSpec
    pixels: tuple[NormalizationStep, ...]
    anchors: tuple[AnchorSpec, ...]
    proposal_coder: BoxCoder
    proposal_nms: NmsSpec
    crop: CropSpec
    box_coder: BoxCoder
    class_agnostic_boxes: bool
    score_activation: Literal["softmax", "sigmoid", "identity"]
    logit_factor: float
    detection_nms: NmsSpec
    mask: MaskSpec | None
    trunk: NetGraph
    box_head: NetGraph
    mask_head: NetGraph | None
    objectness: Literal["softmax", "sigmoid", "logits"] = "softmax"
    box_edges: Literal["pixels", "centers"] = "pixels"
    round_boxes: bool = False
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


def with_source(definition: ModelDefinition, source: Source | None) -> ModelDefinition:
    """The definition, whose nets know the file that their weights are views of."""
    mask_head = definition.mask_head
    return replace(
        definition,
        trunk=replace(definition.trunk, source=source),
        box_head=replace(definition.box_head, source=source),
        mask_head=None if mask_head is None else replace(mask_head, source=source),
    )
