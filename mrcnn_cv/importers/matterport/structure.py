"""Find the structure of a matterport Mask R-CNN in a graph.

By what they do, not by what Keras called them: regions are cropped from all levels of a pyramid and joined again, what
the first such crop takes are proposals, what the second takes are detections.
"""

from __future__ import annotations

from dataclasses import dataclass

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.standalone import FREEZE_SCRIPT
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.extract import TRANSPOSED, WEIGHTED
from mrcnn_cv.importers.tensorflow.graphdef import NMS_OPS, Graph, node_name
from mrcnn_cv.importers.tensorflow.hyperparameters import with_bias

LAYERS = WEIGHTED | {TRANSPOSED}
LOOPS = frozenset({"While", "StatelessWhile", "Exit", "LoopCond", "TensorArrayGatherV3", "TensorListStack"})
"""What a loop over the regions leaves behind, as TimeDistributed writes it on TensorFlow 1.15 to 2.1."""
FREEZE = f"freeze the weights with {FREEZE_SCRIPT} in the environment where the model runs"


@dataclass(frozen=True)
class PyramidRoiAlign:
    """The crops of one head. levels: a CropAndResize for each feature map, finest first."""

    joined: pb.NodeDef
    levels: tuple[pb.NodeDef, ...]
    level_numbers: tuple[int, ...]
    first_layer: pb.NodeDef
    """The layer with weights that takes the crops of all levels."""


@dataclass(frozen=True)
class MatterportStructure:
    """The structure of a graph, tensors by name; what belongs to masks is None for a graph without them."""

    image: str
    features: tuple[str, ...]
    rpn_encodings: tuple[str, ...]
    """For each level of anchors, in their order."""
    rpn_logits: tuple[str, ...]
    proposal_nms: pb.NodeDef
    box: PyramidRoiAlign
    box_encodings: pb.NodeDef
    """The last layer with weights, before its bias; as the next two."""
    class_logits: pb.NodeDef
    mask: PyramidRoiAlign | None
    mask_logits: pb.NodeDef | None


def is_layer(node: pb.NodeDef) -> bool:
    """Whether a node is a layer with weights."""
    return node.op in LAYERS


def pyramid_crops(graph: Graph) -> list[tuple[pb.NodeDef, tuple[pb.NodeDef, ...]]]:
    """(what joins them, crops) of every place where regions are cropped from several maps."""
    found = []
    for node in graph.nodes.values():
        if node.op == "ConcatV2":
            sources = tuple(graph.node(tensor) for tensor in graph.inputs(node)[:-1])
            if len(sources) > 1 and all(source.op == "CropAndResize" for source in sources):
                found.append((node, sources))
    return found


def find_structure(graph: Graph) -> MatterportStructure:
    """The structure; raises ModelFileError, saying which is missing, for a graph of another kind."""
    box, mask = _heads(graph)
    features = tuple(node_name(graph.inputs(level)[0]) for level in box.levels)
    if mask is not None and {node_name(graph.inputs(level)[0]) for level in mask.levels} != set(features):
        raise ModelFileError("crops the regions of its masks from other feature maps, which is not supported")
    before = graph.upstream([graph.inputs(level)[1] for level in box.levels])
    suppressions = [node for node in before.values() if node.op in NMS_OPS]
    if len(suppressions) != 1:
        raise ModelFileError(
            f"has {len(suppressions)} suppressions before its first crops, where a matterport Mask R-CNN has one:"
            " freeze the model that was built with mode='inference' for one image at a time (GPU_COUNT and"
            " IMAGES_PER_GPU of 1)"
        )
    ends = _last_layers(graph, after(graph, box.first_layer, mask), mask)
    logits = [node for node in ends if any(other.op == "Softmax" for other in after(graph, node, mask))]
    others = [node for node in ends if node not in logits]
    if len(logits) != 1 or len(others) != 1:
        raise ModelFileError(
            f"has a box head that ends in {len(logits)} layers of class logits and {len(others)} others, where a"
            " matterport Mask R-CNN has one of each"
        )
    mask_ends = [] if mask is None else _last_layers(graph, after(graph, mask.first_layer, None), None)
    if len(mask_ends) > 1:
        raise ModelFileError(f"has a mask head that ends in {len(mask_ends)} layers, where there is one")
    return MatterportStructure(
        image=_image(graph, features),
        features=features,
        rpn_encodings=_levels(graph, graph.inputs(suppressions[0])[0], "boxes"),
        rpn_logits=_levels(graph, graph.inputs(suppressions[0])[1], "scores"),
        proposal_nms=suppressions[0],
        box=box,
        box_encodings=others[0],
        class_logits=logits[0],
        mask=mask,
        mask_logits=mask_ends[0] if mask_ends else None,
    )


def _heads(graph: Graph) -> tuple[PyramidRoiAlign, PyramidRoiAlign | None]:
    """The crops of the box head and of the mask head."""
    groups = pyramid_crops(graph)
    if len(groups) == 2:
        after = [
            groups[0][0].name in graph.upstream([graph.inputs(crop)[1] for crop in groups[1][1]]),
            groups[1][0].name in graph.upstream([graph.inputs(crop)[1] for crop in groups[0][1]]),
        ]
        if after.count(True) != 1:
            raise ModelFileError(
                "cuts the regions of its masks from proposals, not from detections: it is a graph for training, so"
                " freeze the model that was built with mode='inference'"
            )
        groups = groups if after[0] else groups[::-1]
    if not 1 <= len(groups) <= 2:
        raise ModelFileError(
            f"crops regions of its feature pyramid in {len(groups)} places, where a matterport Mask R-CNN has two"
        )
    heads = [_crops(graph, *group) for group in groups]
    return heads[0], heads[1] if len(heads) == 2 else None


def _crops(graph: Graph, joined: pb.NodeDef, levels: tuple[pb.NodeDef, ...]) -> PyramidRoiAlign:
    numbers = [_level_number(graph, level) for level in levels]
    if len(set(numbers)) != len(numbers) or None in numbers:
        raise ModelFileError(f"does not say which regions are cropped from which level, at the node '{joined.name}'")
    known = [number for number in numbers if number is not None]
    order = sorted(range(len(known)), key=known.__getitem__)
    first = [node for node in graph.downstream(joined, is_layer).values() if is_layer(node)]
    if not first and any(node.op in LOOPS for node in graph.downstream(joined).values()):
        raise ModelFileError(f"computes its heads in a loop over the regions, which is not supported: {FREEZE}")
    if len(first) != 1:
        raise ModelFileError(f"hands the crops '{joined.name}' to {len(first)} layers, where there is one")
    return PyramidRoiAlign(joined, tuple(levels[i] for i in order), tuple(known[i] for i in order), first[0])


def _level_number(graph: Graph, crop: pb.NodeDef) -> int | None:
    """The number that a region's level must have to be cropped here."""
    values = TensorFlowConstantFolder(graph)
    for node in graph.upstream([graph.inputs(crop)[1]], lambda node: node.op == "Equal").values():
        if node.op == "Equal":
            for tensor in graph.inputs(node):
                number = values.find(tensor)
                if number is not None:
                    return int(number.item()) if number.size == 1 and number.dtype.kind == "i" else None
    return None


def level_choice(graph: Graph, crops: PyramidRoiAlign) -> dict[str, pb.NodeDef]:
    """The nodes that compute the level of a region, nearest first."""
    equals = [
        node
        for node in graph.upstream([graph.inputs(crops.levels[0])[1]], lambda node: node.op == "Equal").values()
        if node.op == "Equal"
    ]
    return graph.upstream([equals[0].name], lambda node: node.op in NMS_OPS or is_layer(node))


def after(graph: Graph, node: pb.NodeDef, mask: PyramidRoiAlign | None) -> list[pb.NodeDef]:
    """What follows a node up to the crops of masks, itself first."""
    later = {} if mask is None else graph.downstream(mask.joined)
    # Where a detection stands in the batch also reaches the masks past their crops.
    found = graph.downstream(node, lambda other: other.name in later or other.op == "CropAndResize")
    return [other for name, other in found.items() if name not in later]


def _last_layers(graph: Graph, head: list[pb.NodeDef], mask: PyramidRoiAlign | None) -> list[pb.NodeDef]:
    """The layers with weights of a head after which there are none."""
    layers = [node for node in head if is_layer(node)]
    return [node for node in layers if not any(map(is_layer, after(graph, node, mask)[1:]))]


def _levels(graph: Graph, tensor: str, what: str) -> tuple[str, ...]:
    """The results of the layers that predict the `what` of proposals, in the order in which the levels are joined."""
    above = graph.upstream_values([tensor], is_layer)
    layers = {name for name, node in above.items() if is_layer(node)}
    if len(layers) == 1:
        return (with_bias(graph, graph.nodes[layers.pop()]),)
    for node in above.values():
        if node.op == "ConcatV2":
            each = [
                [name for name, node in graph.upstream_values([source], is_layer).items() if is_layer(node)]
                for source in graph.inputs(node)[:-1]
            ]
            if all(len(names) == 1 for names in each) and {names[0] for names in each} == layers:
                return tuple(with_bias(graph, graph.nodes[names[0]]) for names in each)
    raise ModelFileError(f"predicts the {what} of its proposals in {len(layers)} layers that are joined nowhere")


def layer_of(graph: Graph, tensor: str) -> pb.NodeDef:
    """The layer with weights behind `with_bias`."""
    node = graph.node(tensor)
    if is_layer(node):
        return node
    return next(source for source in map(graph.node, graph.inputs(node)) if is_layer(source))


def _image(graph: Graph, features: tuple[str, ...]) -> str:
    """The placeholder of the image."""
    found = [node for node in graph.upstream(features).values() if node.op == "Placeholder"]
    if len(found) != 1:
        raise ModelFileError(f"has a trunk that begins at {len(found)} inputs, where there is one image")
    return found[0].name
