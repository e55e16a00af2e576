"""The family of matterport's Mask_RCNN (Keras): a graph frozen for inference becomes a ModelDefinition."""

from __future__ import annotations

import re

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.passes.split_transposed_conv import split_transposed_conv
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.config_schema import Config, Values
from mrcnn_cv.importers.matterport.anchors import anchor_specs
from mrcnn_cv.importers.matterport.config import resolve
from mrcnn_cv.importers.matterport.heads import plain_heads
from mrcnn_cv.importers.matterport.hyperparameters import Layout, MatterportHyperparameterReader
from mrcnn_cv.importers.matterport.structure import (
    MatterportStructure,
    PyramidRoiAlign,
    find_structure,
    pyramid_crops,
)
from mrcnn_cv.importers.tensorflow.extract import extract_net
from mrcnn_cv.importers.tensorflow.graphdef import NMS_OPS, Graph
from mrcnn_cv.importers.tensorflow.hyperparameters import with_bias
from mrcnn_cv.model.definition import (
    BoxCoder,
    CropSpec,
    MaskSpec,
    ModelDefinition,
    NmsSpec,
    NormalizationStep,
    PyramidSpec,
    ResizeSpec,
)

COARSEST = 64
"""matterport's inputs are multiples of this; so is an input on which strides can be seen."""


def is_matterport(graph: Graph) -> bool:
    """Whether the graph crops regions from a feature pyramid as matterport's PyramidROIAlign does."""
    return bool(pyramid_crops(graph)) and any(node.op in NMS_OPS for node in graph.nodes.values())


def read_model(graph: Graph, config: Config, name: str) -> ModelDefinition:
    """The ModelDefinition of a graph. config: values that the graph does not hold; name: the file's without its ending.

    Raises ModelFileError (without the file's name) for a graph that is not matterport's.
    """
    structure = find_structure(graph)
    read = MatterportHyperparameterReader(graph, structure)
    layout = read.layout()
    trunk = extract_net(
        graph, {structure.image: ir.IMAGE}, [*structure.features, *structure.rpn_encodings, *structure.rpn_logits]
    )
    strides = _strides(trunk, len(structure.rpn_encodings))
    values, warnings = resolve(read.read(layout, strides), config, name)
    _check_sides(values)
    class_count = values["NUM_CLASSES"] - 1
    crop_size = read.crop_size(structure.box.levels)
    plain = plain_heads(graph, structure, class_count, crop_size)
    box_head = extract_net(
        plain,
        {graph.inputs(structure.box.first_layer)[0]: ir.CROPS},
        [with_bias(plain, plain.nodes[layer.name]) for layer in (structure.box_encodings, structure.class_logits)],
    )
    mask_head, mask_block_size = _mask_head(graph, plain, structure)
    return ModelDefinition(
        family="matterport Mask R-CNN",
        architecture="Mask R-CNN" if mask_head else "Faster R-CNN",
        backbone=_backbone(graph, structure),
        exporter=_exporter(graph, layout),
        class_count=class_count,
        resize=_resize(values),
        pixels=(NormalizationStep("sub", values["MEAN_PIXEL"]),),
        anchors=anchor_specs(values, strides, read.per_cell(), layout.in_pixels),
        proposal_coder=_coder(values["RPN_BBOX_STD_DEV"]),
        proposal_nms=_proposal_nms(values),
        crop=_crop(read, structure.box, flat=True),
        box_coder=_coder(values["BBOX_STD_DEV"]),
        class_agnostic_boxes=False,
        score_activation="softmax",
        logit_factor=1.0,
        detection_nms=_detection_nms(values, layout),
        mask=_mask(read, structure, mask_head, mask_block_size),
        trunk=trunk,
        box_head=box_head,
        mask_head=mask_head,
        box_edges="pixels" if layout.in_pixels else "centers",
        round_boxes=True,
        warnings=tuple(warnings),
    )


def _check_sides(values: Values) -> None:
    """A pyramid's maps fit on each other only where all sides are multiples of the coarsest stride."""
    if values["IMAGE_RESIZE_MODE"] == "square" and values["IMAGE_MAX_DIM"] % COARSEST:
        raise ModelFileError(
            f"cannot have an IMAGE_MAX_DIM of {values['IMAGE_MAX_DIM']}: matterport needs a multiple of {COARSEST}"
        )


def _proposal_nms(values: Values) -> NmsSpec:
    """Source: matterport's ProposalLayer."""
    return NmsSpec(
        score_threshold=float("-inf"),
        iou_threshold=values["RPN_NMS_THRESHOLD"],
        max_per_class=values["POST_NMS_ROIS_INFERENCE"],
        max_total=values["POST_NMS_ROIS_INFERENCE"],
        clip_first=True,
        pre_nms_top_n=values["PRE_NMS_LIMIT"],
        min_box_size=None,
        clip_to_input=True,
    )


def _detection_nms(values: Values, layout: Layout) -> NmsSpec:
    """Source: matterport's refine_detections_graph."""
    return NmsSpec(
        score_threshold=_at_least(values["DETECTION_MIN_CONFIDENCE"]),
        iou_threshold=values["DETECTION_NMS_THRESHOLD"],
        max_per_class=values["DETECTION_MAX_INSTANCES"],
        max_total=values["DETECTION_MAX_INSTANCES"],
        clip_first=True,
        argmax_class_only=True,
        min_box_size=None,
        round_first=layout.in_pixels,
    )


def _coder(deviations: tuple[float, ...]) -> BoxCoder:
    first, second, third, fourth = (1 / value for value in deviations)
    return BoxCoder((first, second, third, fourth))


def _at_least(score: float) -> float:
    """The threshold above which scores lie that are at least `score`; any score does for 0."""
    return float(np.nextafter(np.float32(score), np.float32(-1))) if score else float("-inf")


def _resize(values: Values) -> ResizeSpec:
    """Source: matterport's mrcnn/utils.py (resize_image)."""
    mode = values["IMAGE_RESIZE_MODE"]
    square = mode == "square"
    return ResizeSpec(
        "identity" if mode == "none" else "keep_aspect",
        min_dimension=None if mode == "none" else values["IMAGE_MIN_DIM"] or None,
        max_dimension=values["IMAGE_MAX_DIM"] if square else None,
        min_scale=None if mode == "none" else values["IMAGE_MIN_SCALE"] or None,
        pad_to_max=square,
        half_pixel_centers=True,
        shrinks=False,
        zero_border=True,
        truncate_pixels=True,
        # matterport refuses other sizes in the mode "none"; a black border does no harm.
        pad_multiple=None if square else COARSEST,
        pad_centered=True,
    )


def _crop(read: MatterportHyperparameterReader, crops: PyramidRoiAlign, flat: bool) -> CropSpec:
    level, side = read.canonical(crops)
    pyramid = PyramidSpec(len(crops.levels), level - crops.level_numbers[0], side, rounding="nearest")
    return CropSpec(read.crop_size(crops.levels), "crop_and_resize", flat=flat, pyramid=pyramid)


def _mask_head(graph: Graph, plain: Graph, structure: MatterportStructure) -> tuple[ir.NetGraph | None, int]:
    """(the net, `MaskSpec.mask_block_size`)."""
    if structure.mask is None or structure.mask_logits is None:
        return None, 1
    start = graph.inputs(structure.mask.first_layer)[0]
    return split_transposed_conv(
        extract_net(plain, {start: ir.CROPS}, [with_bias(plain, plain.nodes[structure.mask_logits.name])])
    )


def _mask(
    read: MatterportHyperparameterReader,
    structure: MatterportStructure,
    mask_head: ir.NetGraph | None,
    mask_block_size: int,
) -> MaskSpec | None:
    if structure.mask is None or mask_head is None:
        return None
    crop = _crop(read, structure.mask, flat=False)
    channels = read.crop_channels(structure.mask)
    (output,) = ShapeInference(mask_head).results({ir.CROPS: (1, channels, *crop.size)})
    size = (output[2] * mask_block_size, output[3] * mask_block_size)
    return MaskSpec(size, crop, class_agnostic=False, sampling="centers", mask_block_size=mask_block_size)


def _strides(trunk: ir.NetGraph, levels: int) -> list[int]:
    """Pixels of the input per cell of each level's anchors, as the layers of the trunk make them."""
    side = 16 * COARSEST
    results = ShapeInference(trunk).results({ir.IMAGE: (1, 3, side, side)})
    sides = [shape[2] for shape in results[-levels:]]
    if any(side % cells for cells in sides):
        raise ModelFileError("has a trunk whose feature maps do not divide its input evenly, which is not supported")
    return [side // cells for cells in sides]


def _backbone(graph: Graph, structure: MatterportStructure) -> str:
    """From the names that Keras gave its layers; else how many layers there are. Nothing is decided by this."""
    names = list(graph.upstream(structure.features))
    for pattern, title in ((r"(^|/)res4w_", "ResNet-101"), (r"(^|/)res4f_", "ResNet-50")):
        if any(re.search(pattern, name) for name in names):
            return f"{title} with feature pyramid"
    count = sum(graph.nodes[name].op == "Conv2D" for name in names)
    return f"unknown with feature pyramid, {count} convolutions"


def _exporter(graph: Graph, layout: Layout) -> str:
    ops = {node.op for node in graph.nodes.values()}
    tensorflow = "TensorFlow 1.15 or 2" if ops & {"FusedBatchNormV3", "AddV2"} else "TensorFlow 1"
    return f"Keras on {tensorflow}, code of {'2017' if layout.in_pixels else '2018 or later'}"
