"""Read the numbers of a matterport graph out of its own constants, by the names of matterport's Config."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.config_schema import Values
from mrcnn_cv.importers.constant_folding import Array, NotConstant
from mrcnn_cv.importers.matterport.anchors import read_grid, side_of
from mrcnn_cv.importers.matterport.config import check
from mrcnn_cv.importers.matterport.structure import (
    MatterportStructure,
    PyramidRoiAlign,
    after,
    is_layer,
    layer_of,
    level_choice,
)
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.graphdef import NMS_OPS, Graph, function_graph
from mrcnn_cv.importers.tensorflow.hyperparameters import TensorFlowHyperparameterReader

LEAST_ANCHORS = 64
"""A constant with fewer boxes than this is no anchor grid."""


@dataclass(frozen=True)
class Layout:
    """What sets the generations of matterport's code apart.

    in_pixels  boxes are counted in pixels of the input, not between pixel centres, and detections are rounded before
               they are suppressed (2017)
    anchors    (N, 4) y1 x1 y2 x2 as the graph holds them; None where they are an input
    """

    in_pixels: bool
    anchors: Array | None


class MatterportHyperparameterReader(TensorFlowHyperparameterReader):
    """Reads the numbers of one graph. A number that the graph does not hold, or not as a constant, is None."""

    def __init__(self, graph: Graph, structure: MatterportStructure) -> None:
        super().__init__(graph)
        self._structure = structure
        self._decoding = graph.upstream_values([graph.inputs(structure.proposal_nms)[0]], is_layer)
        self._detecting = after(graph, structure.class_logits, structure.mask)

    def crop_channels(self, crops: PyramidRoiAlign) -> int:
        """How many channels the crops of a head have."""
        weights = self.find(self._graph.inputs(crops.first_layer)[1])
        if weights is None or weights.ndim != 4:
            raise ModelFileError(f"has no constant weights at '{crops.first_layer.name}': it is not frozen")
        return int(weights.shape[2])

    def canonical(self, crops: PyramidRoiAlign) -> tuple[int, float]:
        """(level, side in pixels) of the region that belongs to the middle of the pyramid, usually 4 and 224."""
        level: int | None = None
        side: float | None = None
        for node in level_choice(self._graph, crops).values():
            for tensor in self._graph.inputs(node):
                value = self.find(tensor) if node.op in ("Add", "AddV2", "RealDiv") else None
                if value is None or value.size != 1:
                    continue
                # Nearest first: what comes later are sums about the boxes themselves.
                if value.dtype.kind == "i" and node.op != "RealDiv" and level is None:
                    level = int(value.item())
                elif value.dtype.kind == "f" and tensor == self._graph.inputs(node)[0] and side is None:
                    side = float(value.item())
        if level is None or side is None or not (0 <= level <= 16 and 1 <= side <= 1e5):
            raise ModelFileError("chooses the level of a region in a way that is not supported")
        return level, side

    def layout(self) -> Layout:
        """The generation of the code that built the graph."""
        scales = [self._box_factor(node) for node in self._decoding.values() if node.op in ("RealDiv", "Mul")]
        in_pixels = any(scale is not None and scale.min() >= 16 for scale in scales)
        return Layout(in_pixels, self._anchors())

    def _anchors(self) -> Array | None:
        for node in self._decoding.values():
            value = self.find(node.name) if node.op == "Const" else None
            if value is None or value.dtype.kind != "f" or value.ndim not in (2, 3) or value.shape[-1] != 4:
                continue
            if value.size >= 4 * LEAST_ANCHORS:
                return value.reshape(-1, 4).astype(np.float64)
        return None

    def _box_factor(self, node: pb.NodeDef) -> Array | None:
        """What a node multiplies or divides boxes (N, 4) with."""
        values = [self.find(tensor) for tensor in self._graph.inputs(node)]
        return next((value.ravel() for value in values if value is not None and value.size == 4), None)

    def read(self, layout: Layout, strides: list[int]) -> Values:
        """Every value that the graph holds, checked; ModelFileError for one that is invalid."""
        nms = self._graph.inputs(self._structure.proposal_nms)
        found = {
            **self._input(layout, strides),
            "RPN_BBOX_STD_DEV": self._deviations(self._decoding.values()),
            "PRE_NMS_LIMIT": self._best_of(self._graph.upstream(nms[:2], is_layer).values()),
            "RPN_NMS_THRESHOLD": self.number(nms[3]) if len(nms) > 3 else None,
            "POST_NMS_ROIS_INFERENCE": self.number(nms[2]),
            "BBOX_STD_DEV": self._deviations(after(self._graph, self._structure.box_encodings, self._structure.mask)),
            "DETECTION_MIN_CONFIDENCE": self._least_score(),
            "DETECTION_MAX_INSTANCES": self._best_of(self._detecting),
            "DETECTION_NMS_THRESHOLD": self._detection_overlap(),
            "NUM_CLASSES": self.layer_channels(self._structure.class_logits),
        }
        try:
            return {name: check(name, value) for name, value in found.items() if value is not None}
        except ValueError as error:
            raise ModelFileError(f"holds a number that is invalid: {error}") from error

    def per_cell(self) -> int:
        """Anchors of a cell, the same on all levels."""
        counts = {self.layer_channels(layer_of(self._graph, tensor)) for tensor in self._structure.rpn_encodings}
        if len(counts) != 1 or (count := counts.pop()) % 4 or count < 4:
            raise ModelFileError("does not predict four numbers for the same anchors on all levels")
        return count // 4

    def _input(self, layout: Layout, strides: list[int]) -> Values:
        """What is known about the input: all of it where anchors are built in, else at most the side of a square."""
        if layout.anchors is not None:
            return read_grid(layout.anchors, strides, self.per_cell(), layout.in_pixels)
        dims = [dim.size for dim in self._graph.nodes[self._structure.image].attr["shape"].shape.dim]
        if len(dims) == 4 and dims[1] == dims[2] > 0:
            return {"IMAGE_RESIZE_MODE": "square", "IMAGE_MAX_DIM": dims[1]}
        for node in self._decoding.values():
            counts = [dim.size for dim in node.attr["shape"].shape.dim] if node.op == "Placeholder" else []
            if len(counts) == 3 and counts[1] > 0 and (side := side_of(counts[1], strides, self.per_cell())):
                return {"IMAGE_MAX_DIM": side}
        return {}

    def _deviations(self, nodes: Iterable[pb.NodeDef]) -> list[float] | None:
        """What the encodings are multiplied with before their exponential is taken."""
        sizes = [node.name for node in nodes if node.op == "Exp"]
        for node in self._graph.upstream_values(sizes, is_layer).values():
            factor = self._box_factor(node) if node.op == "Mul" else None
            if factor is not None:
                return [float(value) for value in factor]
        return None

    def _best_of(self, nodes: Iterable[pb.NodeDef]) -> float | None:
        """The constant limit of the one TopKV2 that has one; less where there is less."""
        limits = set()
        for node in nodes:
            if node.op == "TopKV2":
                count = self._graph.node(self._graph.inputs(node)[1])
                tensors = self._graph.inputs(count) if count.op == "Minimum" else [count.name]
                limits |= {number for tensor in tensors if (number := self.number(tensor)) is not None}
        return limits.pop() if len(limits) == 1 else None

    def _least_score(self) -> float | None:
        """The score that a detection must reach; 0 for a graph that is seen to ask for none."""
        for node in self._detecting:
            if node.op == "GreaterEqual":
                values = [self.number(tensor) for tensor in self._graph.inputs(node)]
                known = [value for value in values if value is not None]
                return known[0] if known else None
        return 0.0 if any(node.op == "ArgMax" for node in self._detecting) else None

    def _detection_overlap(self) -> float | None:
        """The IoU threshold of the suppression per class, which a loop or a function of the graph does."""
        reached = {node.name for node in self._detecting}
        inside = [self._graph.nodes[name] for name in reached if self._graph.nodes[name].op in NMS_OPS]
        places = [(self._graph, node) for node in inside]
        for name in self._graph.functions:
            body = function_graph(self._graph, name)
            places += [(body, node) for node in body.nodes.values() if node.op in NMS_OPS]
        found = set()
        for graph, node in places:
            inputs = graph.inputs(node)
            try:
                found.add(float(TensorFlowConstantFolder(graph).value(inputs[3]).item()) if len(inputs) > 3 else None)
            except (NotConstant, ValueError):
                return None
        return found.pop() if len(found) == 1 else None
