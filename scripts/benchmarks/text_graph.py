"""The text graph without which cv2.dnn does not take a whole graph of the Object Detection API, made in memory.

The tutorials have a script write it beside the model. It names the layers to run and leaves the weights to the binary
graph; what TensorFlow does in loops (anchors, decoding, suppression) becomes cv2.dnn's own PriorBox and
DetectionOutput. Layers are taken over one by one, so that the time is that of the user's graph, not of our nets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.constant_folding import NotConstant
from mrcnn_cv.importers.object_detection_api.family import read_crop
from mrcnn_cv.importers.object_detection_api.structure import ObjectDetectionStructure, find_structure
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.dilation import Dilated, read_dilated
from mrcnn_cv.importers.tensorflow.graphdef import Graph, node_name
from mrcnn_cv.model.definition import AnchorSpec, BoxCoder, CropSpec, ModelDefinition

IMAGE, DETECTIONS, MASKS = "image", "detection_out_final", "detection_masks"
"""What the graph takes (the prepared image) and puts out: rows of seven numbers, and the masks of those rows."""

_LAYERS = frozenset(
    {
        *("Conv2D", "DepthwiseConv2dNative", "MatMul", "BiasAdd", "Add", "AddV2"),
        *("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "Relu", "Relu6", "MaxPool", "AvgPool"),
        *("ConcatV2", "Pad", "Mean", "Mul", "Sub", "BatchToSpaceND", "ResizeBilinear"),
    }
)
_FLATTENING = frozenset({"Reshape", "Squeeze"})
_ATTRIBUTES = (
    *("strides", "padding", "explicit_paddings", "ksize", "dilations", "data_format", "epsilon", "keep_dims"),
    *("align_corners", "half_pixel_centers", "transpose_a", "transpose_b"),
)


def text_graph(graph: Graph, spec: ModelDefinition) -> str:
    """The text graph of a Faster or Mask R-CNN of the Object Detection API.

    Raises ModelFileError (without the file's name) for a graph that cv2.dnn has no layers for.
    """
    problem = _problem(spec)
    if problem is not None:
        raise ModelFileError(f"cannot run as a whole in cv2.dnn: {problem}")
    parts = find_structure(graph)
    text = _TextGraph(graph)
    text.add(IMAGE, "Placeholder", [])
    text.layers([parts.features, parts.rpn_encodings, parts.rpn_logits], {node_name(parts.image): IMAGE})
    text.transposed(parts.rpn_encodings)
    _proposals(text, parts, spec)
    crops = _crops(text, "crops", parts.features, "detection_out", spec.crop)
    starts = dict.fromkeys(read_crop(graph, parts.crop, spec.crop.size)[1], crops)
    text.layers([parts.box_encodings, parts.class_logits], starts)
    text.transposed(parts.box_encodings)
    _detections(text, parts, spec)
    if spec.mask is not None and parts.mask_crop is not None and parts.mask_logits is not None:
        crops = _crops(text, "mask_crops", parts.features, DETECTIONS, spec.mask.crop)
        starts = dict.fromkeys(read_crop(graph, parts.mask_crop, spec.mask.crop.size)[1], crops)
        text.layers([parts.mask_logits], starts)
        text.add(MASKS, "Sigmoid", [node_name(parts.mask_logits)])
    return text.written()


def _problem(spec: ModelDefinition) -> str | None:
    """What cv2.dnn's DetectionOutput cannot do; None where it can."""
    checks = (
        (spec.family == "Object Detection API", f"it is a model of {spec.family}"),
        (spec.score_activation == "softmax" and spec.logit_factor == 1, "its scores are not a plain softmax"),
        (not spec.class_agnostic_boxes, "all its classes share one box per region"),
        (not spec.resize.pad_to_max, "its input is padded"),
        (spec.anchors[0].stride is not None and len(set(spec.anchors[0].stride)) == 1, "its cells are not square"),
    )
    return next((text for holds, text in checks if not holds), None)


def _proposals(text: _TextGraph, parts: ObjectDetectionStructure, spec: ModelDefinition) -> None:
    logits, encodings = node_name(parts.rpn_logits), node_name(parts.rpn_encodings)
    rows = text.add("rpn_rows", "Reshape", [logits, text.constant("rpn_rows/shape", [0, -1, 2])])
    scores = text.add("rpn_scores", "Softmax", [rows], axis=-1)
    text.add("rpn_scores_flat", "Flatten", [scores])
    text.add("rpn_boxes_flat", "Flatten", [encodings])
    _prior_boxes(text, encodings, spec.anchors[0], spec.proposal_coder)
    nms = spec.proposal_nms
    text.add(
        *("detection_out", "DetectionOutput", ["rpn_boxes_flat", "rpn_scores_flat", "proposals"]),
        num_classes=2,
        share_location=True,
        background_label_id=0,
        nms_threshold=nms.iou_threshold,
        top_k=6000,
        code_type="CENTER_SIZE",
        keep_top_k=nms.max_total,
        clip=True,
    )


def _prior_boxes(text: _TextGraph, encodings: str, anchors: AnchorSpec, coder: BoxCoder) -> None:
    stride = (anchors.stride or (1.0, 1.0))[0]
    text.add(
        *("proposals", "PriorBox", [encodings, IMAGE]),
        flip=False,
        clip=anchors.clip_to_image,
        step=float(stride),
        offset=float(anchors.offset[0] / stride),
        height=np.array([size[0] for size in anchors.sizes], np.float32),
        width=np.array([size[1] for size in anchors.sizes], np.float32),
        variance=_variance(coder),
    )


def _variance(coder: BoxCoder) -> NDArray[np.float32]:
    return (1 / np.array(coder.scales)).astype(np.float32)


def _crops(text: _TextGraph, name: str, features: str, boxes: str, crop: CropSpec) -> str:
    size = text.constant(f"{name}/size", list(crop.size))
    crops = text.add(name, "CropAndResize", [node_name(features), boxes, size])
    if crop.pooled < 2:
        return crops
    side = [1, crop.pooled, crop.pooled, 1]
    return text.add(f"{name}_pooled", "MaxPool", [crops], ksize=side, strides=side, padding="VALID")


def _detections(text: _TextGraph, parts: ObjectDetectionStructure, spec: ModelDefinition) -> None:
    classes = spec.class_count
    logits = text.constant("logits/shape", [-1, 1, classes + 1])
    scores = text.add("scores", "Softmax", [text.add("logits", "Reshape", [node_name(parts.class_logits), logits])])
    text.set(scores, axis=-1)
    begin, size = text.constant("foreground/begin", [0, 0, 1]), text.constant("foreground/size", [-1, -1, -1])
    foreground = text.add("foreground", "Slice", [scores, begin, size])
    text.add("scores_flat", "Reshape", [foreground, text.constant("scores_flat/shape", [1, -1])])
    rows = text.constant("encodings/shape", [1, -1, 4])
    encodings = text.add("encodings", "Reshape", [node_name(parts.box_encodings), rows])
    variance = text.constant("encodings/variance", _variance(spec.box_coder))
    scaled = text.add("encodings_scaled", "Mul", [encodings, variance], axis=2)
    text.add("encodings_flat", "Flatten", [scaled])
    begin, size = text.constant("regions/begin", [0, 0, 0, 3]), text.constant("regions/size", [-1, -1, -1, 4])
    regions = text.add("regions", "Slice", ["detection_out", begin, size])
    text.add("regions_flat", "Reshape", [regions, text.constant("regions_flat/shape", [1, 1, -1])])
    nms = spec.detection_nms
    text.add(
        *(DETECTIONS, "DetectionOutput", ["encodings_flat", "scores_flat", "regions_flat"]),
        num_classes=classes,
        share_location=False,
        background_label_id=classes + 1,
        nms_threshold=nms.iou_threshold,
        confidence_threshold=max(nms.score_threshold, 0.0),
        code_type="CENTER_SIZE",
        keep_top_k=nms.max_total,
        clip=True,
        variance_encoded_in_target=True,
        group_by_classes=False,
    )


class _TextGraph:
    """A text graph in the making: layers by name, each after those that it takes."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._values = TensorFlowConstantFolder(graph)
        self._nodes: dict[str, pb.NodeDef] = {}

    def written(self) -> str:
        return text_format.MessageToString(pb.GraphDef(node=self._nodes.values()))

    def add(self, name: str, op: str, inputs: Iterable[str], **attributes: Any) -> str:
        if name in self._nodes:
            raise ModelFileError(f"has two layers named '{name}'")
        self._nodes[name] = pb.NodeDef(name=name, op=op, input=inputs)
        return self.set(name, **attributes)

    def set(self, name: str, **attributes: Any) -> str:
        for key, value in attributes.items():
            _set(self._nodes[name].attr[key], value)
        return name

    def constant(self, name: str, value: Sequence[int] | NDArray[Any]) -> str:
        array = np.array(value)
        return self.add(name, "Const", [], value=array.astype(np.float32 if array.dtype.kind == "f" else np.int32))

    def transposed(self, tensor: str) -> None:
        """Mark the layer that predicts boxes: it puts out y before x, and DetectionOutput takes x before y."""
        node = self._graph.node(tensor)
        while node.op in ("BiasAdd", "Add", "AddV2"):
            node = self._graph.node(self._graph.inputs(node)[0])
        self.set(node.name, loc_pred_transposed=True)

    def layers(self, tensors: Sequence[str], starts: dict[str, str]) -> None:
        """Take over the layers from `starts` (name in the graph → name here) to `tensors`."""
        stack = [node_name(tensor) for tensor in reversed(tensors)]
        while stack:
            name = stack[-1]
            if name in self._nodes or name in starts:
                stack.pop()
                continue
            node = self._graph.nodes[name]
            sources = self._sources(node)
            missing = [each for each in sources if each not in self._nodes and each not in starts]
            if missing:
                stack += missing
                continue
            self._take(node, sources, starts)

    def _sources(self, node: pb.NodeDef) -> list[str]:
        """The layers that a layer takes, without its constants."""
        if node.op not in _LAYERS | _FLATTENING:
            raise ModelFileError(f"cannot run as a whole in cv2.dnn: its layer '{node.name}' is a {node.op}")
        dilated = read_dilated(self._graph, self._values, node)
        if dilated is not None:
            return [node_name(dilated.source)]
        inputs = self._graph.inputs(node)
        if node.op in _FLATTENING:
            return [node_name(inputs[0])]
        return [node_name(tensor) for tensor in inputs if not self._is_constant(tensor)]

    def _is_constant(self, tensor: str) -> bool:
        try:
            self._values.value(tensor)
        except NotConstant:
            return False
        return True

    def _take(self, node: pb.NodeDef, sources: list[str], starts: dict[str, str]) -> None:
        if node.op in _FLATTENING:
            self.add(node.name, "Flatten", [starts.get(sources[0], sources[0])])
            return
        dilated = read_dilated(self._graph, self._values, node)
        if dilated is not None:
            self._take_dilated(node, dilated, starts.get(sources[0], sources[0]))
            return
        names = []
        for tensor in self._graph.inputs(node):
            name = node_name(tensor)
            if name not in sources and self._graph.nodes[name].op != "Const":
                # The weights are in the binary graph; what is computed from them there is not.
                name = self._computed(name, tensor)
            names.append(starts.get(name, name))
        added = self._nodes[self.add(node.name, node.op, names)]
        for key in _ATTRIBUTES:
            if key in node.attr:
                added.attr[key].CopyFrom(node.attr[key])

    def _take_dilated(self, node: pb.NodeDef, dilated: Dilated, source: str) -> None:
        """TensorFlow 1's spelling, which is the one that cv2.dnn reads; its paddings made constant."""
        layer, side = dilated.convolution, dilated.dilation
        weights = node_name(self._graph.inputs(layer)[1])
        if self._values.value(weights).shape[:2] == (1, 1):
            # Its dilation moves nothing.
            self.add(node.name, "Conv2D", [source, weights], strides=[1, 1, 1, 1], padding="SAME")
            return
        reach = [[side * (length // 2)] * 2 for length in self._values.value(weights).shape[:2]]
        block = self.constant(f"{node.name}/block", [side, side])
        paddings = self.constant(f"{node.name}/paddings", np.array(reach))
        crops = self.constant(f"{node.name}/crops", np.zeros((2, 2), np.int32))
        space = self.add(f"{node.name}/space", "SpaceToBatchND", [source, block, paddings])
        rows = self.add(f"{node.name}/dense", "Conv2D", [space, weights], strides=[1, 1, 1, 1], padding="VALID")
        self.add(node.name, "BatchToSpaceND", [rows, block, crops])

    def _computed(self, name: str, tensor: str) -> str:
        return name if name in self._nodes else self.constant(name, self._values.value(tensor))


def _set(attribute: pb.AttrValue, value: Any) -> None:
    if isinstance(value, bool):
        attribute.b = value
    elif isinstance(value, int):
        attribute.i = value
    elif isinstance(value, float):
        attribute.f = value
    elif isinstance(value, str):
        attribute.s = value.encode()
    elif isinstance(value, list):
        attribute.list.i.extend(value)
    else:
        attribute.tensor.dtype = pb.DT_FLOAT if value.dtype == np.float32 else pb.DT_INT32
        for side in value.shape:
            attribute.tensor.tensor_shape.dim.add(size=side)
        (attribute.tensor.float_val if value.dtype == np.float32 else attribute.tensor.int_val).extend(value.ravel())
