"""The family of TensorFlow's Object Detection API: a frozen Faster or Mask R-CNN becomes a ModelDefinition."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.object_detection_api.hyperparameters import HyperparameterReader
from mrcnn_cv.importers.object_detection_api.nms import SuppressionReader
from mrcnn_cv.importers.object_detection_api.pipeline_config import PipelineConfig, disagreements
from mrcnn_cv.importers.object_detection_api.provenance import backbone, exporter
from mrcnn_cv.importers.object_detection_api.resize import read_resize
from mrcnn_cv.importers.object_detection_api.structure import ObjectDetectionStructure, find_structure
from mrcnn_cv.importers.tensorflow.extract import extract_net
from mrcnn_cv.importers.tensorflow.graphdef import NMS_OPS, PASS_THROUGH, Graph
from mrcnn_cv.model.definition import CropSpec, MaskSpec, ModelDefinition

Value = TypeVar("Value")


def is_region_cnn(graph: Graph) -> bool:
    """Whether the graph crops regions and suppresses overlapping boxes, as Faster and Mask R-CNN do."""
    ops = {node.op for node in graph.nodes.values()}
    return "CropAndResize" in ops and bool(ops & NMS_OPS)


def read_model(graph: Graph, config: PipelineConfig) -> ModelDefinition:
    """The ModelDefinition of a graph.

    `config` fills in what the graph does not hold; where the two disagree, the graph wins and a warning says so.
    Raises ModelFileError (without the file's name) for another kind of graph, or a number that neither of them holds.
    """
    structure = find_structure(graph)
    read = HyperparameterReader(graph, structure)
    suppressions = SuppressionReader(graph, read)
    class_count = read.channels(structure.class_logits) - 1
    encodings = read.channels(structure.box_encodings)
    if class_count < 1 or encodings not in (4, 4 * class_count):
        raise ModelFileError(
            f"predicts {class_count + 1} scores and {encodings} box numbers per region, which do not fit"
        )
    mask, mask_head = _mask(graph, read, structure, class_count, config)
    conversion, factor = read.score_activation()
    resize = _either(
        read_resize(graph, structure, read, config.resize), None, "its image resizer (min_dimension, max_dimension)"
    )
    first_stage = frozenset(graph.upstream([structure.proposal_nms.name]))
    crop, crops = read_crop(graph, structure.crop, read.crop_size([structure.crop]))
    spec = ModelDefinition(
        family="Object Detection API",
        architecture="Mask R-CNN" if mask else "Faster R-CNN",
        backbone=backbone(graph, structure),
        exporter=exporter(graph),
        class_count=class_count,
        resize=resize,
        pixels=structure.pixels,
        anchors=(_either(read.anchors(resize), config.anchors, "its anchors (scales, aspect ratios, strides)"),),
        proposal_coder=read.box_coder(structure.proposal_nms),
        proposal_nms=_either(
            suppressions.read((structure.proposal_nms,)), config.proposal_nms, "the limits of its proposals"
        ),
        crop=crop,
        box_coder=read.box_coder(structure.detection_nms[0], first_stage),
        class_agnostic_boxes=encodings == 4 and class_count > 1,
        score_activation=conversion,
        logit_factor=factor,
        detection_nms=_either(
            suppressions.read_detections(structure.detection_nms, class_count, config.detection_nms),
            None,
            "the limits of its detections",
        ),
        mask=mask,
        trunk=extract_net(
            graph, {structure.image: ir.IMAGE}, [structure.features, structure.rpn_encodings, structure.rpn_logits]
        ),
        box_head=extract_net(graph, dict.fromkeys(crops, ir.CROPS), [structure.box_encodings, structure.class_logits]),
        mask_head=mask_head,
        warnings=(),
    )
    return disagreements(spec, config)


def _mask(
    graph: Graph,
    read: HyperparameterReader,
    structure: ObjectDetectionStructure,
    class_count: int,
    config: PipelineConfig,
) -> tuple[MaskSpec, ir.NetGraph] | tuple[None, None]:
    """The mask branch and its net; None for both where there is none."""
    if structure.mask_crop is None or structure.mask_logits is None:
        return None, None
    channels = read.channels(structure.mask_logits)
    if channels not in (1, class_count):
        raise ModelFileError(f"predicts {channels} masks per region for {class_count} classes, which do not fit")
    size = _either(read.mask_size(), config.mask_size, "the size of its masks")
    # Its regions are fractions of the image even where the network's input is padded.
    crop, crops = read_crop(graph, structure.mask_crop, read.crop_size([structure.mask_crop]))
    mask = MaskSpec(size, replace(crop, relative_to_image=True), class_agnostic=channels == 1 and class_count > 1)
    return mask, extract_net(graph, dict.fromkeys(crops, ir.CROPS), [structure.mask_logits])


def _either(from_graph: Value | None, from_config: Value | None, what: str) -> Value:
    if from_graph is not None:
        return from_graph
    if from_config is not None:
        return from_config
    raise ModelFileError(f"does not hold {what}: put the pipeline.config that the model was trained with beside it")


def read_crop(graph: Graph, crop: pb.NodeDef, size: tuple[int, int]) -> tuple[CropSpec, tuple[str, ...]]:
    """(how a CropAndResize of `size` (height, width) is to be done, the tensors that are its result for the head).

    The max pool that usually follows (initial_crop_size, maxpool_kernel_size and maxpool_stride in pipeline.config) is
    done along with it.
    """
    names = _aliases(graph, [crop.name])
    others = [node for name in names for node in graph.consumers(name) if node.name not in names]
    pooled = _side(others[0]) if len(others) == 1 and others[0].op == "MaxPool" else 1
    if pooled < 2 or size[0] % pooled or size[1] % pooled:
        return CropSpec(size), tuple(names)
    return CropSpec(size, pooled=pooled), tuple(_aliases(graph, [others[0].name]))


def _aliases(graph: Graph, names: list[str]) -> list[str]:
    """A tensor under all its names: Reshapes that follow a crop only restore its shape."""
    seen = set(names)
    for name in names:
        following = [node.name for node in graph.consumers(name) if node.op in PASS_THROUGH | {"Reshape"}]
        names += [other for other in dict.fromkeys(following) if other not in seen]
        seen.update(following)
    return names


def _side(pool: pb.NodeDef) -> int:
    """The side of the squares that a pool takes, side by side; 1 for any other pool."""
    window, strides = (list(pool.attr[name].list.i) for name in ("ksize", "strides"))
    side = window[1] if len(window) == 4 else 1
    is_plain = window == strides == [1, side, side, 1] and not pool.attr["explicit_paddings"].list.i
    return side if is_plain and pool.attr["data_format"].s in (b"", b"NHWC") else 1
