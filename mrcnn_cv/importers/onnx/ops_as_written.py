"""Layers of graphs whose sizes are meant as they stand: what `graph/export/onnx.py` writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import Resize, Upsample
from mrcnn_cv.importers.onnx.model import Node
from mrcnn_cv.importers.onnx.translation import GraphTranslation, Map

_MODES = {"linear": "bilinear", "nearest": "nearest"}
_RULES = ("asymmetric", "half_pixel", "align_corners")


def resize_as_written(translation: GraphTranslation, node: Node) -> Map:
    """A map whose pixels are repeated, by whole scales, or one that is resized to a fixed size."""
    source = translation.map(node)
    mode, rule = node.text("mode", "nearest"), node.text("coordinate_transformation_mode", "half_pixel")
    wanted = "floor" if rule == "asymmetric" else "round_prefer_ceil"
    plain = mode == "linear" or (mode == "nearest" and node.text("nearest_mode", "round_prefer_floor") == wanted)
    stretches = node.text("keep_aspect_ratio_policy", "stretch") == "stretch" and not node.whole("antialias", 0)
    if source.flat or not plain or rule not in _RULES or not stretches or node.op != "Resize":
        raise _not_supported(node)
    scales = translation.values.find(translation.graph.input(node, 2))
    if scales is not None and scales.size:
        if (mode, rule) != ("nearest", "asymmetric"):
            raise _not_supported(node)
        return _repeated(translation, node, source, scales)
    height, width = _size(translation, node)
    return translation.add(Resize, node, [source], size=(height, width), mode=_MODES[mode], coordinates=rule)


def _repeated(translation: GraphTranslation, node: Node, source: Map, scales: NDArray[Any]) -> Map:
    if scales.size != 4 or scales.dtype.kind not in "fiu" or not np.isin(scales.ravel(), np.arange(1, 65)).all():
        raise _not_supported(node)
    count, channels, rows, columns = (int(scale) for scale in scales.ravel())
    if (count, channels) != (1, 1):
        raise _not_supported(node)
    return translation.add(Upsample, node, [source], factors=(rows, columns))


def _size(translation: GraphTranslation, node: Node) -> tuple[int, int]:
    """(height, width): the last of four sizes, the sizes of the axes 2 and 3 alone, or behind N and C of the map."""
    graph, values = translation.graph, translation.values
    tensor = graph.input(node, 3)
    sizes = values.find(tensor)
    joined = graph.producer(tensor)
    if sizes is None and joined is not None and joined.op == "Concat" and len(joined.inputs) == 2:
        if _is_count_and_channels(translation, graph.input(joined, 0), graph.input(node, 0)):
            sizes = values.find(graph.input(joined, 1))
            sizes = None if sizes is None or sizes.size != 2 else sizes
    elif sizes is not None and sizes.size != (2 if node.wholes("axes") == [2, 3] else 4):
        sizes = None
    if sizes is None or sizes.dtype.kind not in "iu":
        raise _not_supported(node)
    height, width = (int(side) for side in sizes.ravel()[-2:])
    return height, width


def _is_count_and_channels(translation: GraphTranslation, tensor: str, source: str) -> bool:
    """Whether a tensor is the first two sides of the map `source`."""
    graph = translation.graph
    cut = graph.producer(tensor)
    shape = None if cut is None or cut.op != "Slice" or len(cut.inputs) != 3 else graph.producer(graph.input(cut, 0))
    if cut is None or shape is None or shape.op != "Shape" or graph.input(shape, 0) != source:
        return False
    return [translation.values.number(graph.input(cut, index)) for index in (1, 2)] == [0, 2]


def turned(translation: GraphTranslation, node: Node) -> Map:
    """(N, C, H, W) to (N, H, W, C), before a row is made of it."""
    source = translation.map(node)
    if node.wholes("perm") != [0, 2, 3, 1] or source.flat or translation.channels(node) is not None:
        raise ModelFileError(f"has a node '{node.name}' (Transpose) inside of its nets, which is not supported")
    return replace(source, turned=True)


def _not_supported(node: Node) -> ModelFileError:
    return ModelFileError(f"has a node '{node.name}' that resizes a map in a way that is not supported")
