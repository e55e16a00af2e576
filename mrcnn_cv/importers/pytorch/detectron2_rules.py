"""What the settings of a Detectron2 config mean, in the terms of a ModelDefinition.

Source: Detectron2's config/defaults.py, modeling/anchor_generator.py, box_regression.py and fast_rcnn.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.importers.config_schema import Values
from mrcnn_cv.model.definition import BBOX_XFORM_CLIP, AnchorSpec, BoxCoder, NmsSpec, NormalizationStep, ResizeSpec


def image_rules(settings: Values, pad_multiple: int | None) -> tuple[ResizeSpec, tuple[NormalizationStep, ...]]:
    """How an image is resized, padded and normalised; in RGB, whatever the model takes."""
    shorter, longer = settings["INPUT.MIN_SIZE_TEST"], settings["INPUT.MAX_SIZE_TEST"]
    resize = replace(
        ResizeSpec("keep_aspect", shorter, longer) if shorter else ResizeSpec("identity"),
        rounding="half_up",
        method="antialiased",
        half_pixel_centers=True,
        pad_multiple=pad_multiple,
        pad_prepared=True,
    )
    mean, deviation = settings["MODEL.PIXEL_MEAN"], settings["MODEL.PIXEL_STD"]
    order = -1 if settings["INPUT.FORMAT"] == "BGR" else 1
    steps = [NormalizationStep("sub", mean[::order])]
    if set(deviation) != {1.0}:
        steps.append(NormalizationStep("div", deviation[::order]))
    return resize, tuple(steps)


def anchors_of(settings: Values, strides: Sequence[float], per_cell: list[int], where: str) -> tuple[AnchorSpec, ...]:
    """The anchors of each level. per_cell: how many the model has; where: what to do if the settings have others.

    Raises ModelFileError (without the file's name) in that case.
    """
    generator = "MODEL.ANCHOR_GENERATOR"
    sizes, ratios = settings[f"{generator}.SIZES"], settings[f"{generator}.ASPECT_RATIOS"]
    fits = all(len(each) in (1, len(strides)) for each in (sizes, ratios))
    cells = cell_sizes(sizes, ratios, len(strides)) if fits else []
    if [len(cell) for cell in cells] != per_cell:
        raise ModelFileError(
            f"has {per_cell} anchors per cell, which {generator}.SIZES and ASPECT_RATIOS do not give: {where}"
        )
    offset = settings[f"{generator}.OFFSET"]
    return tuple(
        AnchorSpec(cell, (stride, stride), (offset * stride, offset * stride), clip_to_image=False)
        for cell, stride in zip(cells, strides, strict=True)
    )


def proposal_nms(settings: Values) -> NmsSpec:
    """How proposals are chosen."""
    minimum = settings["MODEL.PROPOSAL_GENERATOR.MIN_SIZE"]
    return NmsSpec(
        score_threshold=-math.inf,
        iou_threshold=settings["MODEL.RPN.NMS_THRESH"],
        max_per_class=settings["MODEL.RPN.POST_NMS_TOPK_TEST"],
        max_total=settings["MODEL.RPN.POST_NMS_TOPK_TEST"],
        clip_first=True,
        pre_nms_top_n=settings["MODEL.RPN.PRE_NMS_TOPK_TEST"],
        per_level=True,
        # Sides must be larger than this, not only as large.
        min_box_size=float(np.nextafter(np.float32(minimum), np.float32(math.inf))) if minimum else 0.0,
    )


def detection_nms(settings: Values) -> NmsSpec:
    """How detections are chosen."""
    return NmsSpec(
        score_threshold=settings["MODEL.ROI_HEADS.SCORE_THRESH_TEST"],
        iou_threshold=settings["MODEL.ROI_HEADS.NMS_THRESH_TEST"],
        max_per_class=settings["TEST.DETECTIONS_PER_IMAGE"],
        max_total=settings["TEST.DETECTIONS_PER_IMAGE"],
        clip_first=True,
        # Boxes without area count for the limit; what is put out has none (detector_postprocess).
        min_box_size=None,
    )


def coder(weights: Sequence[float], clip: float | None = None) -> BoxCoder:
    """weights: of dx, dy, dw, dh."""
    x, y, width, height = weights
    return BoxCoder((y, x, height, width), BBOX_XFORM_CLIP if clip is None else clip)


def cell_sizes(
    sizes: tuple[tuple[float, ...], ...], ratios: tuple[tuple[float, ...], ...], levels: int
) -> list[tuple[tuple[float, float], ...]]:
    """(height, width) of the anchors of a cell, for each level, from the values of a config.

    Source: Detectron2's DefaultAnchorGenerator: sizes outer, ratios (height by width) inner; one list serves all.
    """
    found = []
    for level in range(levels):
        own_sizes, own_ratios = (each[level if len(each) > 1 else 0] for each in (sizes, ratios))
        widths = [((size**2 / ratio) ** 0.5, ratio) for size in own_sizes for ratio in own_ratios]
        found.append(tuple((ratio * width, width) for width, ratio in widths))
    return found


def swap_rgb(net: ir.NetGraph) -> ir.NetGraph:
    """The net that takes RGB, of one that takes BGR: its first convolutions' channels are turned, without a copy.

    Raises ModelFileError where the image goes into anything but a convolution.
    """
    return replace(
        net, layers=tuple(_with_channels_swapped(layer) if net.inputs[0] in layer.inputs else layer for layer in net)
    )


def _with_channels_swapped(layer: ir.Layer) -> ir.Layer:
    if not isinstance(layer, ir.Conv2d) or layer.groups != 1 or layer.in_channels != 3:
        raise ModelFileError(f"has a trunk that begins with a {layer.op}, where Detectron2's do with a convolution")
    return replace(layer, weight=layer.weight[:, ::-1])
