"""Find the structure of a Faster or Mask R-CNN in an ONNX graph, as PyTorch's detectors are traced.

Parts are found by what they do, never by names: regions are cut by RoiAlign, proposals are what the first RoiAligns
take, the heads are what the scores and boxes of the suppressions are computed from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import CROPS, NetGraph
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import beginnings
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.onnx.ops import is_layer
from mrcnn_cv.model.definition import CropSpec

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul", "ConvTranspose"})


@dataclass(frozen=True)
class RoiAlignGroup:
    """Where regions are cut: one RoiAlign per level, the finest first; `tensor`: all crops, as a head takes them."""

    aligns: tuple[Node, ...]
    tensor: str


@dataclass(frozen=True)
class PyTorchStructure:
    """The structure of a graph, tensors by name; what belongs to masks is None for a Faster R-CNN.

    image: what the trunk's first layer takes. rpn_encodings, rpn_logits: one for each level of anchors.
    """

    image: str
    features: tuple[str, ...]
    rpn_encodings: tuple[str, ...]
    rpn_logits: tuple[str, ...]
    proposal_nms: Node
    crops: RoiAlignGroup
    box_encodings: str
    class_logits: str
    detection_nms: Node
    mask_crops: RoiAlignGroup | None
    mask_logits: str | None


def find_structure(graph: OnnxGraph, values: OnnxConstantFolder) -> PyTorchStructure:
    """The structure; raises ModelFileError, saying which is missing, for a graph of another kind."""
    first, second = _stages(graph)
    proposal_nms, detection_nms = _suppressions(graph, first)
    rpn_logits = _predictors(graph, proposal_nms.inputs[1], [])
    rpn_encodings = _by_source(graph, _predictors(graph, proposal_nms.inputs[0], []), rpn_logits)
    in_head = graph.downstream([align.outputs[0] for align in first])
    box_encodings = _one(_predictors(graph, detection_nms.inputs[0], in_head), "boxes")
    class_logits = _one(_predictors(graph, detection_nms.inputs[1], in_head), "classes")
    crops = RoiAlignGroup(first, _beginning(graph, values, [box_encodings, class_logits], first))
    features = tuple(graph.input(align, 0) for align in first)
    mask_logits = _mask_logits(graph, second) if second else None
    mask_crops = RoiAlignGroup(second, _beginning(graph, values, [mask_logits], second)) if mask_logits else None
    if mask_crops is not None and tuple(graph.input(align, 0) for align in mask_crops.aligns) != features:
        raise ModelFileError("cuts masks from other feature maps than boxes, which is not supported")
    images = beginnings(graph, values, [*features, *rpn_encodings, *rpn_logits])
    if len(images) != 1:
        raise ModelFileError(
            f"has a trunk that begins at {len(images)} places ({', '.join(_op(graph, each) for each in images[:4])}),"
            " or with layers that mrcnn-cv does not know"
        )
    _nothing_skipped(graph, images[0], ())
    return PyTorchStructure(
        image=images[0],
        features=features,
        rpn_encodings=rpn_encodings,
        rpn_logits=rpn_logits,
        proposal_nms=proposal_nms,
        crops=crops,
        box_encodings=box_encodings,
        class_logits=class_logits,
        detection_nms=detection_nms,
        mask_crops=mask_crops,
        mask_logits=mask_logits,
    )


def _op(graph: OnnxGraph, tensor: str) -> str:
    node = graph.producer(tensor)
    return "an input" if node is None else node.op


def _stages(graph: OnnxGraph) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The RoiAligns that cut proposals, and those that cut detections (none without masks), the finest level first."""
    aligns = [node for node in graph.nodes if node.op == "RoiAlign" and len(node.inputs) == 3]
    before = {align.name: {node.name for node in graph.upstream(align.inputs, values=False)} for align in aligns}
    names = {align.name for align in aligns}
    first = [align for align in aligns if not before[align.name] & names]
    second = [align for align in aligns if before[align.name] & names]
    if any(before[align.name] & {other.name for other in second} for align in second):
        raise ModelFileError("cuts regions in more than two steps: it is a Cascade R-CNN, which is not supported")
    if not first or len({align.whole("output_height", 1) for align in second}) > 1:
        raise ModelFileError(f"cuts regions in {len(aligns)} places, which are not those of a Faster or Mask R-CNN")
    return _by_level(graph, first), _by_level(graph, second)


def _by_level(graph: OnnxGraph, aligns: list[Node]) -> tuple[Node, ...]:
    """The aligns in the order of their levels: each takes the regions whose level equals a number."""
    numbers: dict[str, int] = {}
    for align in aligns:
        tests = (node for node in graph.upstream(align.inputs[1:2], values=False) if node.op == "Equal")
        constants = (name for node in tests for name in node.inputs if graph.is_constant(name))
        value = next((graph.constant(name) for name in constants), None)
        if value is not None and value.size == 1:
            numbers[align.name] = int(value.item())
    if sorted(numbers.values()) == list(range(len(aligns))):
        return tuple(sorted(aligns, key=lambda align: numbers[align.name]))
    return tuple(sorted(aligns, key=lambda align: -align.real("spatial_scale", 1)))


def _suppressions(graph: OnnxGraph, first: Sequence[Node]) -> tuple[Node, Node]:
    """(that of the proposals, that of the detections)."""
    nodes = [node for node in graph.nodes if node.op == "NonMaxSuppression" and len(node.inputs) >= 2]
    before = {node.name for node in graph.upstream(first[0].inputs, values=False)}
    proposals = [node for node in nodes if node.name in before]
    detections = [node for node in nodes if node.name not in before]
    if len(proposals) != 1 or len(detections) != 1:
        raise ModelFileError(
            f"suppresses boxes in {len(proposals)} places before its first crops and in {len(detections)} after them,"
            " where a Faster or Mask R-CNN traced by PyTorch's legacy exporter does in one and one"
        )
    return proposals[0], detections[0]


def _predictors(graph: OnnxGraph, tensor: str, among: Sequence[Node]) -> tuple[str, ...]:
    """The results of the layers with weights that a tensor's values come from, in the order of its parts.

    among: the nodes that count; empty: all do.
    """
    allowed = {node.name for node in among}
    found = graph.upstream([tensor], lambda node: node.op in WEIGHTED)
    return tuple(
        with_bias(graph, node) for node in found if node.op in WEIGHTED and (not among or node.name in allowed)
    )


def with_bias(graph: OnnxGraph, layer: Node) -> str:
    """The result of a layer with weights after a bias of its own, as a MatMul has one."""
    following = graph.consumers(layer.outputs[0])
    if len(following) == 1 and following[0].op == "Add":
        others = [name for name in following[0].inputs if graph.skip_identity(name) != layer.outputs[0]]
        if len(others) == 1 and graph.is_constant(others[0]):
            return following[0].outputs[0]
    return layer.outputs[0]


def _by_source(graph: OnnxGraph, encodings: Sequence[str], logits: Sequence[str]) -> tuple[str, ...]:
    """The encodings in the order of the logits: those of a level look at the same map."""

    def source(tensor: str) -> str:
        node = graph.producer(tensor)
        return "" if node is None else graph.input(node, 0)

    by_map = {source(tensor): tensor for tensor in encodings}
    found = [by_map.get(source(tensor)) for tensor in logits]
    if not logits or None in found or len(encodings) != len(logits) != len(by_map):
        raise ModelFileError(
            f"has {len(encodings)} layers that predict the boxes of its proposals and {len(logits)} that score them,"
            " which do not fit"
        )
    return tuple(tensor for tensor in found if tensor is not None)


def _one(tensors: Sequence[str], what: str) -> str:
    if len(tensors) != 1:
        raise ModelFileError(f"has {len(tensors)} layers that predict the {what} of its regions, where there is one")
    return tensors[0]


def _beginning(graph: OnnxGraph, values: OnnxConstantFolder, tensors: Sequence[str], aligns: Sequence[Node]) -> str:
    """Where a head begins: the one tensor that holds all crops."""
    found = beginnings(graph, values, tensors)
    before = {node.name for node in graph.upstream(found)}
    if len(found) != 1 or not {align.name for align in aligns} <= before:
        raise ModelFileError(
            f"has a head that begins at {', '.join(_op(graph, each) for each in found[:4]) or 'nothing'}, not at crops"
            " of its feature maps"
        )
    _nothing_skipped(graph, found[0], aligns)
    # An exporter may write crops as float32 that are float32.
    return found[0]


def _nothing_skipped(graph: OnnxGraph, start: str, aligns: Sequence[Node]) -> None:
    """ModelFileError where a net would begin behind a layer that is not known, and leave out those before it."""
    names = {align.name for align in aligns}
    before = graph.upstream([start], lambda node: node.name in names)
    if any(node.op in WEIGHTED for node in before if node.name not in names):
        raise ModelFileError(
            f"has a node '{start}' ({_op(graph, start)}) inside of its nets, which is not a layer of a Faster or Mask"
            " R-CNN that mrcnn-cv knows"
        )


def _mask_logits(graph: OnnxGraph, second: Sequence[Node]) -> str:
    """The last layer before the sigmoid of the masks."""
    after = graph.downstream([align.outputs[0] for align in second], lambda node: node.op == "Sigmoid")
    sigmoids = [node for node in after if node.op == "Sigmoid"]
    if len(sigmoids) != 1:
        raise ModelFileError(
            "cuts its detections out again, but not for masks (as Keypoint R-CNN does), which is not supported:"
            " mrcnn-cv runs Faster and Mask R-CNN"
        )
    return _one(_predictors(graph, sigmoids[0].inputs[0], after), "masks")


def channel_count(graph: OnnxGraph, values: OnnxConstantFolder, tensor: str) -> int:
    """How many channels a map has, from the weights of the layer that makes it."""
    node = graph.producer(tensor)
    while node is not None and node.op not in WEIGHTED:
        graph.budget.step()
        if not is_layer(graph, values, node) or node.op == "Concat":
            node = None
            break
        sources = [name for name in node.inputs if name and values.find(name) is None]
        node = graph.producer(sources[0]) if sources else None
    weights = values.find(graph.input(node, 1)) if node is not None else None
    if node is None or weights is None or weights.ndim < 2:
        raise ModelFileError(f"has a map '{tensor}' with channels that no weights tell")
    if node.op == "Conv" or (node.op == "Gemm" and node.whole("transB", 0)):
        return int(weights.shape[0])
    return int(weights.shape[1])


def mask_size(head: NetGraph, crop: CropSpec, channels: int) -> tuple[int, int]:
    """(height, width) of the masks that a head makes of crops of maps with `channels`."""
    crops = (1, prod((channels, *crop.size))) if crop.flat else (1, channels, *crop.size)
    (shape,) = ShapeInference(head).results({CROPS: crops})
    if len(shape) != 4:
        raise ModelFileError("has a mask head that puts out rows of numbers, not masks")
    return shape[2], shape[3]
