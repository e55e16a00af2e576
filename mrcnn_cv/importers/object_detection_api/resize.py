"""Read how an Object Detection API graph makes the trunk's input out of an image of any size."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.object_detection_api.hyperparameters import HyperparameterReader
from mrcnn_cv.importers.object_detection_api.structure import ObjectDetectionStructure
from mrcnn_cv.importers.tensorflow.extract import WEIGHTED
from mrcnn_cv.importers.tensorflow.graphdef import Graph
from mrcnn_cv.model.definition import ResizeSpec

_METHODS: dict[str, Literal["bilinear", "nearest", "bicubic", "area"]] = {
    "ResizeBilinear": "bilinear",
    "ResizeNearestNeighbor": "nearest",
    "ResizeBicubic": "bicubic",
    "ResizeArea": "area",
}


def read_resize(
    graph: Graph, structure: ObjectDetectionStructure, read: HyperparameterReader, config: ResizeSpec | None
) -> ResizeSpec | None:
    """The resizer: what happens between the image and the batch of resized images; None if its numbers are missing.

    config: the limits to take where the graph does not hold them.
    """
    nodes = graph.upstream([structure.resized])
    gray_weights = _gray_weights(graph, read, nodes)
    _refuse_other_channels(graph, structure, read, 1 if gray_weights else 3)
    resizers = [node for node in nodes.values() if node.op in _METHODS]
    spec = _resized(graph, read, resizers, nodes, config) if resizers else _not_resized(graph, read, nodes)
    return None if spec is None else replace(spec, gray_weights=gray_weights)


def _not_resized(graph: Graph, read: HyperparameterReader, nodes: dict[str, pb.NodeDef]) -> ResizeSpec:
    """identity_resizer, or pad_to_multiple_resizer, which appends zeros."""
    multiples = set()
    for node in nodes.values():
        division = graph.node(graph.inputs(node)[0]) if node.op == "Ceil" else node
        if division is not node and division.op == "RealDiv":
            multiples.add(read.number(graph.inputs(division)[1]))
    if not multiples and not any(node.op in ("Pad", "PadV2", "ConcatV2") for node in nodes.values()):
        return ResizeSpec("identity")
    multiple = multiples.pop() if len(multiples) == 1 else None
    if multiple is None or not 1 <= multiple <= 4096:
        raise ModelFileError(
            "pads images to a multiple of some size, but of none that it says: export it again without input_shape"
        )
    return ResizeSpec("identity", pad_multiple=round(multiple))


def _resized(
    graph: Graph,
    read: HyperparameterReader,
    resizers: list[pb.NodeDef],
    nodes: dict[str, pb.NodeDef],
    config: ResizeSpec | None,
) -> ResizeSpec | None:
    """fixed_shape_resizer, keep_aspect_ratio_resizer or conditional_shape_resizer."""
    rules = {(node.op, node.attr["align_corners"].b, node.attr["half_pixel_centers"].b) for node in resizers}
    op, align_corners, half_pixel = rules.pop()
    if rules or (half_pixel and (op != "ResizeBilinear" or align_corners)):
        raise ModelFileError(
            f"resizes images by a rule that is not supported, at the node '{resizers[0].name}' ({op}): export it again"
            " with the Object Detection API's exporter for TensorFlow 1"
        )
    spec = _sized(graph, read, resizers, nodes, config)
    return spec and replace(spec, method=_METHODS[op], align_corners=align_corners, half_pixel_centers=half_pixel)


def _sized(
    graph: Graph,
    read: HyperparameterReader,
    resizers: list[pb.NodeDef],
    nodes: dict[str, pb.NodeDef],
    config: ResizeSpec | None,
) -> ResizeSpec | None:
    """The sizes of a resizer that are not of its rule of interpolation."""
    pads = [node for node in nodes.values() if node.op in ("Pad", "PadV2")]
    sizes = [graph.inputs(node)[1] for node in resizers]
    known = [value for value in map(read.find, sizes) if value is not None]
    if known:
        if len(sizes) > 1 or pads:
            raise ModelFileError("resizes images to a fixed size, but not only that, which is not supported")
        height, width = (int(value) for value in known[0].ravel())
        return ResizeSpec("fixed", height=height, width=width)
    # Of the API's resizers only the conditional one aligns corners.
    if resizers[0].attr["align_corners"].b:
        spec = _conditional(graph, read, sizes)
        if spec is None or pads:
            raise ModelFileError("resizes images with aligned corners to a size that is not understood")
        return spec
    limits = _size_limits(graph, read, sizes)
    if limits is None and config is not None and config.min_dimension is not None:
        limits = config.min_dimension, config.max_dimension
    if limits is None:
        return None
    return ResizeSpec("keep_aspect", *limits, pad_to_max=bool(pads), pad_value=_pad_value(graph, read, pads))


def _conditional(graph: Graph, read: HyperparameterReader, sizes: list[str]) -> ResizeSpec | None:
    """Maximum(Minimum(height, width), a number) for the shorter side, or the other way round for the longer one."""
    for node in graph.upstream(sizes, lambda node: node.op in _METHODS).values():
        if node.op not in ("Minimum", "Maximum"):
            continue
        limits = [limit for limit in map(read.limit, graph.inputs(node)) if limit is not None]
        if len(limits) == 1 and limits[0] > 1:
            if node.op == "Maximum":
                return ResizeSpec("at_least", min_dimension=limits[0])
            return ResizeSpec("at_most", max_dimension=limits[0])
    return None


def _gray_weights(graph: Graph, read: HyperparameterReader, nodes: dict[str, pb.NodeDef]) -> tuple[float, ...]:
    """The weights of red, green and blue where a resizer converts images to gray, else none."""
    for node in nodes.values():
        product = graph.node(graph.inputs(node)[0]) if node.op == "Sum" else node
        weights = read.find(graph.inputs(product)[1]) if product is not node and product.op == "Mul" else None
        if weights is not None and weights.size == 3:
            return tuple(float(weight) for weight in weights.ravel())
    return ()


def _size_limits(graph: Graph, read: HyperparameterReader, sizes: list[str]) -> tuple[int, int | None] | None:
    """(min, max) dimension of a keep-aspect resizer, from the sums that its size comes from.

    Exporters since 2019 slice them from constant pairs (min, max) and (max, min); those of 2018 divide each by a side
    of the image.
    """
    found: list[float] = []
    for node in graph.upstream(sizes, lambda node: node.op.startswith("Resize")).values():
        if node.op not in ("StridedSlice", "RealDiv", "Unpack"):
            continue
        value = read.find(graph.inputs(node)[0])
        wanted = 1 if node.op == "RealDiv" else 2
        if value is not None and value.size == wanted and value.min() > 1:
            found += [float(number) for number in value.ravel()]
    if not found:
        return None
    return round(min(found)), round(max(found)) if max(found) > min(found) or len(found) > 1 else None


def _pad_value(graph: Graph, read: HyperparameterReader, pads: list[pb.NodeDef]) -> tuple[float, ...]:
    """What padded pixels are: one number, or one per channel in RGB order."""
    found: dict[str, float] = {}
    for node in pads:
        value = read.number(graph.inputs(node)[2]) if node.op == "PadV2" else 0.0
        if value is None:
            raise ModelFileError(f"pads images with what is not one number, at the node '{node.name}'")
        found[node.name] = value
    if len(set(found.values())) == 1:
        return (next(iter(found.values())),)
    for stack in graph.consumers(pads[0].name) if pads else []:
        channels = [graph.node(tensor).name for tensor in graph.inputs(stack)]
        if stack.op == "Pack" and set(channels) == set(found):
            return tuple(found[name] for name in channels)
    if found:
        raise ModelFileError("pads images in a way that is not supported")
    return (0.0,)


def _refuse_other_channels(
    graph: Graph, structure: ObjectDetectionStructure, read: HyperparameterReader, channels: int
) -> None:
    """A trunk must look at red, green and blue, or at the one channel that its resizer makes of them."""
    for node in graph.downstream(graph.node(structure.image), lambda node: node.op in WEIGHTED).values():
        weights = read.find(graph.inputs(node)[1]) if node.op in WEIGHTED else None
        if weights is not None and weights.ndim == 4 and weights.shape[2] != channels:
            has = "three (RGB)" if channels == 3 else "one (gray)"
            raise ModelFileError(f"takes images of {weights.shape[2]} channels, where mrcnn-cv has {has}")
