"""Find the structure of a Faster or Mask R-CNN in a graph of the Object Detection API.

Parts are found by what they do, not by what an exporter called them: regions are cropped by CropAndResize, proposals
are what the first crop takes, the heads are what the scores and boxes of the suppressions are computed from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.object_detection_api.preprocessing import read_pixel_steps
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.extract import ADD, NET_OPS
from mrcnn_cv.importers.tensorflow.graphdef import NMS_OPS, Graph, node_name
from mrcnn_cv.importers.tensorflow.hyperparameters import with_bias
from mrcnn_cv.model.definition import NormalizationStep

CONTROL_OPS = frozenset({"If", "StatelessIf", "Case", "StatelessCase", "While", "StatelessWhile"})
FUNCTION_OPS = CONTROL_OPS | {"PartitionedCall", "StatefulPartitionedCall"}
"""Ops that call functions, which stand beside the nodes of a graph."""
LOWER_FUNCTIONS = (
    "as TensorFlow 2 writes loops and branches, which mrcnn-cv does not look into: freeze it with TensorFlow's"
    " convert_variables_to_constants_v2, or build and export it again after tf.compat.v1.disable_control_flow_v2()"
)
PLAIN_SUPPRESSION = (
    "export it again without use_static_shapes, and use_partitioned_nms and use_combined_nms of either stage, in its"
    " pipeline.config"
)
PREDICTORS = frozenset({"Conv2D", "MatMul"})
_COMBINING = ADD | {"Sub", "Mul", "RealDiv"}
"""Layers of which any input can be a feature map; of the others it is the first."""


@dataclass(frozen=True)
class ObjectDetectionStructure:
    """The structure of a graph, tensors by name; what belongs to masks is None or empty for a Faster R-CNN."""

    resized: str
    """Batch of resized images, before the pixel preprocessing."""
    pixels: tuple[NormalizationStep, ...]
    image: str
    """What the trunk's first layer takes."""
    features: str
    rpn_encodings: str
    rpn_logits: str
    proposal_nms: pb.NodeDef
    crop: pb.NodeDef
    box_encodings: str
    class_logits: str
    detection_nms: tuple[pb.NodeDef, ...]
    """One per class."""
    mask_crop: pb.NodeDef | None = None
    mask_logits: str | None = None


def is_predictor(node: pb.NodeDef) -> bool:
    """Whether a node is a layer with weights, where a search through the sums between the nets ends."""
    return node.op in PREDICTORS


def find_structure(graph: Graph) -> ObjectDetectionStructure:
    """The structure; raises ModelFileError, saying which is missing, for a graph of another kind."""
    crop, mask_crop = _crop_nodes(graph)
    functions = [node for node in graph.upstream([crop.name]).values() if node.op in FUNCTION_OPS]
    if functions:
        raise ModelFileError(
            f"keeps a part of its work in a function ('{functions[0].name}', {functions[0].op}), {LOWER_FUNCTIONS}"
        )
    crop_sources = graph.upstream([graph.inputs(crop)[1]])
    all_nms = [node for node in graph.nodes.values() if node.op in NMS_OPS]
    proposal_nms = [node for node in all_nms if node.name in crop_sources]
    detection_nms = _first(graph, [node for node in all_nms if node.name not in crop_sources])
    if len(proposal_nms) != 1 or not detection_nms:
        raise ModelFileError(
            f"has {len(proposal_nms)} suppressions before its first crop and {len(detection_nms)} after it, where a"
            f" Faster or Mask R-CNN has one before and one per class after; {PLAIN_SUPPRESSION}"
        )
    features = node_name(graph.inputs(crop)[0])
    resized, pixels, image = _image_input(graph, features)
    rpn_encodings, rpn_logits = _predictors(graph, proposal_nms[0], lambda node: True, "region proposal")
    in_head = graph.downstream(crop, lambda node: node.op in NMS_OPS)
    box_encodings, class_logits = _predictors(graph, detection_nms[0], lambda node: node.name in in_head, "box")
    return ObjectDetectionStructure(
        resized=resized,
        pixels=pixels,
        image=image,
        features=features,
        rpn_encodings=rpn_encodings,
        rpn_logits=rpn_logits,
        proposal_nms=proposal_nms[0],
        crop=crop,
        box_encodings=box_encodings,
        class_logits=class_logits,
        detection_nms=tuple(detection_nms),
        mask_crop=mask_crop,
        mask_logits=_last_layer(graph, mask_crop) if mask_crop is not None else None,
    )


def _crop_nodes(graph: Graph) -> tuple[pb.NodeDef, pb.NodeDef | None]:
    """The crop of the proposals and that of the detections (None without mask branch).

    Others serve outputs that nobody here asks for: the features of each detection, or masks that are pasted into the
    image by a crop of the masks themselves.
    """
    crops = [node for node in graph.nodes.values() if node.op == "CropAndResize"]
    before = {crop.name: graph.upstream([graph.inputs(crop)[1]]) for crop in crops}
    first = [crop for crop in crops if all(crop.name in before[other.name] for other in crops if other is not crop)]
    later = [crop for crop in crops if crop not in first and _leads_to_masks(graph, crop)]
    if len(first) != 1 or len(later) > 1:
        raise ModelFileError(
            f"crops regions in {len(crops)} places, as with a feature pyramid, where a Faster R-CNN has one and a Mask"
            " R-CNN two in a row: take a feature extractor without fpn"
        )
    return first[0], later[0] if later else None


def _leads_to_masks(graph: Graph, crop: pb.NodeDef) -> bool:
    """Whether a crop of the feature map ends in probabilities, not in features."""
    if any(node.op == "CropAndResize" for node in graph.upstream([graph.inputs(crop)[0]]).values()):
        return False
    return any(node.op == "Sigmoid" for node in graph.downstream(crop).values())


def _first(graph: Graph, suppressions: list[pb.NodeDef]) -> list[pb.NodeDef]:
    """Those that no other one comes before: what is found may be sorted out once more, for an output of its own."""
    skip_identity: set[str] = set()

    def known(node: pb.NodeDef) -> bool:
        return node.name in skip_identity

    for node in suppressions:
        for consumer in graph.consumers(node.name):
            skip_identity |= graph.downstream(consumer, known).keys()
    return [node for node in suppressions if node.name not in skip_identity] or suppressions


def _image_input(graph: Graph, features: str) -> tuple[str, tuple[NormalizationStep, ...], str]:
    """(batch of resized images, pixel steps, what the trunk takes): where the net's layers end, going up."""
    values = TensorFlowConstantFolder(graph)
    outside = _beginnings(graph, features, values)
    if len(outside) != 1:
        found = sorted({node.op for node in outside})
        nasnet = "; NASNet and PNASNet slice their feature maps: take another feature extractor"
        raise ModelFileError(
            "has a trunk that does not begin at one image, or with layers that mrcnn-cv does not know: at"
            f" {', '.join(found) or 'nothing'}{nasnet if 'StridedSlice' in found else ''}"
        )
    steps, image = read_pixel_steps(graph, outside[0].name)
    return outside[0].name, steps, image


def _beginnings(graph: Graph, features: str, values: TensorFlowConstantFolder) -> list[pb.NodeDef]:
    """The nodes that the layers of a trunk begin at; constants and the sums of paddings and shapes are none."""
    found: list[pb.NodeDef] = []
    queue, seen = [features], {features}
    for name in queue:
        node = graph.nodes[name]
        if node.op in NET_OPS:
            inputs = graph.inputs(node)
            sources = inputs[:-1] if node.op == "ConcatV2" else inputs if node.op in _COMBINING else inputs[:1]
            new = dict.fromkeys(source for source in map(node_name, sources) if source not in seen)
            queue += new
            seen |= new.keys()
        elif values.find(name) is None:
            found.append(node)
    return found


def _predictors(graph: Graph, nms: pb.NodeDef, belongs: Callable[[pb.NodeDef], bool], what: str) -> tuple[str, str]:
    """(box encodings, class logits): the outputs of the layers from which boxes and scores of a suppression come."""
    found = []
    for index, name in enumerate(("boxes", "scores")):
        # Exporters before 2019 filter the boxes by their scores, and the scores by their boxes, before they suppress.
        stops = graph.upstream_values([graph.inputs(nms)[index]], is_predictor)
        layers = [node for node in stops.values() if is_predictor(node) and belongs(node)]
        if len(layers) != 1:
            raise ModelFileError(
                f"has {len(layers)} layers that predict the {name} of its {what} stage, where there is one"
            )
        found.append(with_bias(graph, layers[0]))
    return found[0], found[1]


def _last_layer(graph: Graph, crop: pb.NodeDef) -> str:
    """The result of the last layer with weights after a crop: the mask logits."""
    layers = [node for node in graph.downstream(crop).values() if is_predictor(node)]
    last = [
        node
        for node in layers
        if not any(is_predictor(other) and other is not node for other in graph.downstream(node).values())
    ]
    if len(last) != 1:
        raise ModelFileError(f"has {len(last)} layers that could predict its masks, where there is one")
    return with_bias(graph, last[0])
