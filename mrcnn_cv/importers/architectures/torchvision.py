"""Weights of torchvision's Mask and Faster R-CNN on residual networks with a pyramid, and what its functions take.

Source of names, defaults and rules: torchvision's models/detection (0.29) and its documentation.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.passes.split_transposed_conv import split_transposed_conv
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.architectures.backbones import (
    ResNetRule,
    coarser,
    feature_pyramid,
    residual_name,
    resnet,
)
from mrcnn_cv.importers.architectures.heads import fully_connected_head, mask_head, region_proposals
from mrcnn_cv.importers.architectures.layers import LayerStack, NormRule
from mrcnn_cv.importers.architectures.torchvision_config import resolve
from mrcnn_cv.importers.architectures.weights import NamedWeights
from mrcnn_cv.importers.checkpoints.base import ModelCheckpoint
from mrcnn_cv.importers.config_schema import Config, Values
from mrcnn_cv.model.definition import (
    BBOX_XFORM_CLIP,
    AnchorSpec,
    BoxCoder,
    CropSpec,
    MaskSpec,
    ModelDefinition,
    NmsSpec,
    NormalizationStep,
    PyramidSpec,
    ResizeSpec,
)

ANY_SIDE = 4096
"""An input of which every level of a pyramid has a whole number of cells."""

_MARKS = ("rpn.head.cls_logits.weight", "roi_heads.box_predictor.cls_score.weight")

_RENAMED = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"backbone\.body\.conv1\.", r"stem.conv1."),
        (r"backbone\.body\.bn1\.", r"stem.conv1.norm."),
        (r"backbone\.body\.layer([1-4])\.(\d+)\.conv([1-3])\.", r"res{stage}.\2.conv\3."),
        (r"backbone\.body\.layer([1-4])\.(\d+)\.bn([1-3])\.", r"res{stage}.\2.conv\3.norm."),
        (r"backbone\.body\.layer([1-4])\.(\d+)\.downsample\.0\.", r"res{stage}.\2.shortcut."),
        (r"backbone\.body\.layer([1-4])\.(\d+)\.downsample\.1\.", r"res{stage}.\2.shortcut.norm."),
        # With norms a layer has a part 0 and a part 1; before torchvision 0.13 it was the convolution itself.
        (r"backbone\.fpn\.inner_blocks\.(\d+)\.(?:0\.)?(?=weight|bias)", r"fpn_lateral\1."),
        (r"backbone\.fpn\.inner_blocks\.(\d+)\.1\.", r"fpn_lateral\1.norm."),
        (r"backbone\.fpn\.layer_blocks\.(\d+)\.(?:0\.)?(?=weight|bias)", r"fpn_output\1."),
        (r"backbone\.fpn\.layer_blocks\.(\d+)\.1\.", r"fpn_output\1.norm."),
        (r"rpn\.head\.conv\.(?=weight|bias)", r"rpn.conv1."),
        (r"rpn\.head\.conv\.(\d+)\.0\.", r"rpn.conv{next}."),
        (r"rpn\.head\.cls_logits\.", r"rpn.logits."),
        (r"rpn\.head\.bbox_pred\.", r"rpn.deltas."),
        (r"roi_heads\.box_head\.fc(\d)\.", r"box.fc{previous}."),
        (r"roi_heads\.box_head\.(\d+)\.0\.", r"box.conv{next}."),
        (r"roi_heads\.box_head\.(\d+)\.1\.", r"box.conv{next}.norm."),
        (r"roi_heads\.box_head\.(\d+)\.(?=weight|bias)", r"box.fc1."),
        (r"roi_heads\.box_predictor\.cls_score\.", r"box.logits."),
        (r"roi_heads\.box_predictor\.bbox_pred\.", r"box.deltas."),
        (r"roi_heads\.mask_head\.mask_fcn(\d)\.", r"mask.conv\1."),
        (r"roi_heads\.mask_head\.(\d)\.0\.", r"mask.conv{next}."),
        (r"roi_heads\.mask_head\.(\d)\.1\.", r"mask.conv{next}.norm."),
        (r"roi_heads\.mask_predictor\.conv5_mask\.", r"mask.deconv."),
        (r"roi_heads\.mask_predictor\.mask_fcn_logits\.", r"mask.logits."),
    )
]
"""torchvision's names → those of `NamedWeights`. {stage}: one more; {next}: one more; {previous}: five less."""


def is_torchvision(checkpoint: ModelCheckpoint) -> bool:
    """Whether weights have the names of one of torchvision's two-stage detectors."""
    return all(mark in checkpoint.arrays for mark in _MARKS)


def renamed(original: str) -> str:
    """What a weight is called here; its own name where nothing here has one for it, so that it counts as unused."""
    for pattern, name in _RENAMED:
        if match := pattern.match(original):
            number = int(match[1]) if match.groups() else 0
            name = name.replace("{stage}", str(number + 1)).replace("{next}", str(number + 1))
            name = name.replace("{previous}", str(number - 5))
            return match.expand(name) + original[match.end() :]
    return original


def read_model(checkpoint: ModelCheckpoint, config: Config, name: str) -> ModelDefinition:
    """The ModelDefinition of weights that `is_torchvision` knows.

    config: the arguments of torchvision's function, as far as they are given. name: of the file without its suffix, for
    warnings. Raises ModelFileError (without the file's name) for weights that do not belong together, and for parts of
    torchvision's that are not built here.
    """
    return _TorchvisionWeights(checkpoint, config, name).definition()


class _TorchvisionWeights:
    def __init__(self, checkpoint: ModelCheckpoint, config: Config, name: str) -> None:
        self._checkpoint = checkpoint
        self._weights = NamedWeights(checkpoint.arrays, renamed)
        if "stem.conv1.weight" not in self._weights:
            raise ModelFileError(
                "is a model of torchvision on another backbone than a residual network, which is not built from weights"
                " yet: export it to ONNX with torch.onnx.export(..., dynamo=False)"
            )
        if any(each.startswith("roi_heads.keypoint") for each in checkpoint.arrays):
            raise ModelFileError("is a Keypoint R-CNN, which is not supported: mrcnn-cv runs Faster and Mask R-CNN")
        self._values, self._warnings = resolve(config, self._likely_epsilon(), name)
        self._norm = NormRule(self._values["norm_eps"])

    def _likely_epsilon(self) -> float:
        """Models of `weights=...COCO_V1` have frozen norms with 0; those that count batches have torch's own."""
        return 1e-5 if any(each.endswith("num_batches_tracked") for each in self._checkpoint.arrays) else 0.0

    def definition(self) -> ModelDefinition:
        values = self._values
        trunk, levels, per_cell = self._trunk()
        crop = self._crop("box_roi_pool", trunk, levels, (7, 7))
        head = fully_connected_head(self._stack(ir.CROPS), self._channels(), crop.size, background_last=False)
        mask, masks = self._mask(trunk, levels, head.class_count)
        unused = self._weights.unused()
        if unused:
            raise ModelFileError(
                f"has {len(unused)} weights that belong to no layer of torchvision's Faster or Mask R-CNN,"
                f" '{unused[0]}' among them: it is another model, which is not supported"
            )
        self._check_class_count(head.class_count)
        return ModelDefinition(
            family="torchvision",
            architecture="Mask R-CNN" if mask else "Faster R-CNN",
            backbone=f"{residual_name(self._stack(ir.IMAGE))} FPN",
            exporter=f"weights, {self._checkpoint.kind}",
            class_count=head.class_count,
            resize=ResizeSpec(
                "keep_aspect",
                values["min_size"],
                values["max_size"],
                rounding="down",
                half_pixel_centers=True,
                pad_multiple=values["size_divisible"],
                pad_prepared=True,
            ),
            pixels=(
                NormalizationStep("div", (255.0,)),
                NormalizationStep("sub", values["image_mean"]),
                NormalizationStep("div", values["image_std"]),
            ),
            anchors=self._anchors(per_cell),
            proposal_coder=BoxCoder((1.0, 1.0, 1.0, 1.0), BBOX_XFORM_CLIP),
            proposal_nms=self._proposal_nms(),
            crop=replace(crop, flat=head.flat),
            box_coder=_coder(values["bbox_reg_weights"]),
            class_agnostic_boxes=head.class_agnostic,
            score_activation="softmax",
            logit_factor=1.0,
            detection_nms=self._detection_nms(),
            mask=mask,
            trunk=trunk,
            box_head=head.net,
            mask_head=masks,
            objectness="sigmoid",
            warnings=tuple(self._warnings),
        )

    def _stack(self, start: str) -> LayerStack:
        return LayerStack(self._weights, start, self._norm)

    def _channels(self) -> int:
        """Of the maps that heads cut their regions from."""
        return int(self._weights.take("fpn_output0.weight", 4).shape[0])

    def _trunk(self) -> tuple[ir.NetGraph, int, list[int]]:
        """(the net, how many levels regions are cut from, anchors of a cell of each level)."""
        net = self._stack(ir.IMAGE)
        maps = [at for at, _ in resnet(net, ResNetRule()).values()]
        count = self._weights.count(r"fpn_lateral(\d+)\.")
        if not 1 <= count <= len(maps):
            raise ModelFileError(f"has a pyramid of {count} levels for {len(maps)} stages of its backbone")
        levels = feature_pyramid(net, maps[-count:])
        encodings, logits, anchors = region_proposals(net, [*levels, coarser(net, levels[-1])])
        return net.finish([*levels, *encodings, *logits]), count, [anchors] * (count + 1)

    def _crop(self, setting: str, trunk: ir.NetGraph, levels: int, default: tuple[int, int]) -> CropSpec:
        shapes = ShapeInference(trunk).results({ir.IMAGE: (1, 3, ANY_SIDE, ANY_SIDE)})[:levels]
        scales = tuple(shape[2] / ANY_SIDE for shape in shapes)
        finest = round(-math.log2(scales[0]))
        pool: dict[str, Any] = self._values[setting]
        return CropSpec(
            tuple(pool.get("output_size", default)),
            "roi_align",
            pool.get("sampling_ratio", 2),
            scales=scales,
            pyramid=PyramidSpec(levels, canonical_level=4 - finest, epsilon=1e-6),
        )

    def _mask(self, trunk: ir.NetGraph, levels: int, classes: int) -> tuple[MaskSpec | None, ir.NetGraph | None]:
        if "mask.logits.weight" not in self._weights:
            return None, None
        crop = self._crop("mask_roi_pool", trunk, levels, (14, 14))
        head, agnostic = mask_head(self._stack(ir.CROPS), classes, background=True)
        (shape,) = ShapeInference(head).results({ir.CROPS: (1, self._channels(), *crop.size)})
        head, side = split_transposed_conv(head)
        return MaskSpec((shape[2], shape[3]), crop, agnostic, sampling="expanded", mask_block_size=side), head

    def _anchors(self, per_cell: list[int]) -> tuple[AnchorSpec, ...]:
        sizes, ratios = self._values["anchor_sizes"], self._values["aspect_ratios"]
        ratios = ratios * len(sizes) if len(ratios) == 1 else ratios
        if len(sizes) != len(ratios) or [len(a) * len(b) for a, b in zip(sizes, ratios, strict=False)] != per_cell:
            raise ModelFileError(
                f"has {per_cell} anchors per cell, which anchor_sizes and aspect_ratios do not give: say them in a"
                " config beside the weights"
            )
        return tuple(
            AnchorSpec(_cell(own, ratio), None, (0.0, 0.0), clip_to_image=False)
            for own, ratio in zip(sizes, ratios, strict=True)
        )

    def _proposal_nms(self) -> NmsSpec:
        values, least = self._values, self._values["rpn_score_thresh"]
        return NmsSpec(
            # What is scored at least so much stays: above the next smaller number.
            score_threshold=-math.inf if not least else float(np.nextafter(np.float32(least), np.float32(-1))),
            iou_threshold=values["rpn_nms_thresh"],
            max_per_class=values["rpn_post_nms_top_n_test"],
            max_total=values["rpn_post_nms_top_n_test"],
            clip_first=True,
            pre_nms_top_n=values["rpn_pre_nms_top_n_test"],
            per_level=True,
            min_box_size=1e-3,
        )

    def _detection_nms(self) -> NmsSpec:
        values = self._values
        return NmsSpec(
            score_threshold=values["box_score_thresh"],
            iou_threshold=values["box_nms_thresh"],
            max_per_class=values["box_detections_per_img"],
            max_total=values["box_detections_per_img"],
            clip_first=True,
            min_box_size=1e-2,
        )

    def _check_class_count(self, count: int) -> None:
        said = self._values.get("num_classes")
        if said not in (None, count + 1):
            self._warnings.append(
                f"the config says num_classes = {said}, the weights have {count + 1} (with the background): the"
                " weights' number is used"
            )


def _coder(weights: Values | tuple[float, ...]) -> BoxCoder:
    x, y, width, height = weights
    return BoxCoder((float(y), float(x), float(height), float(width)), BBOX_XFORM_CLIP)


def _cell(sizes: tuple[float, ...], ratios: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """(height, width) of the anchors of a cell: ratios (height by width) outer, sizes inner, rounded.

    Source: AnchorGenerator.generate_anchors; in float32, halves to even.
    """
    heights = np.sqrt(np.array(ratios, dtype=np.float32))
    widths = np.float32(1) / heights
    found = []
    for height, width in zip(heights, widths, strict=True):
        for size in sizes:
            sides = (2 * np.round(np.float32(each * np.float32(size)) / np.float32(2)) for each in (height, width))
            found.append(tuple(float(side) for side in sides))
    return tuple((height, width) for height, width in found)
