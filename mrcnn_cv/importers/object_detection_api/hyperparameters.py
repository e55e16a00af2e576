"""Read the numbers of an Object Detection API graph out of its own constants, given its structure.

Every function returns None for what the graph does not hold, so that a pipeline.config may fill it in.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.constant_folding import Array, NotConstant
from mrcnn_cv.importers.object_detection_api.structure import ObjectDetectionStructure, is_predictor
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.extract import ADD
from mrcnn_cv.importers.tensorflow.graphdef import Graph
from mrcnn_cv.importers.tensorflow.hyperparameters import TensorFlowHyperparameterReader
from mrcnn_cv.model.definition import AnchorSpec, BoxCoder, ResizeSpec

CLIPPING = frozenset({"Minimum", "Maximum"})
_SCORE_OPS = frozenset(
    {
        *("Softmax", "Sigmoid", "Cast", "Reshape", "Squeeze", "ExpandDims", "Transpose", "Tile", "Max"),
        *("Slice", "StridedSlice", "Split", "Unpack", "Pack", "ConcatV2", "Gather", "GatherV2", "GatherNd"),
        *("Select", "SelectV2", "Switch", "Merge", "Exit", "NextIteration"),
    }
)
"""Between logits and scores: what converts them, or moves them about (with the ops of TensorArrays and TensorLists)."""


class HyperparameterReader(TensorFlowHyperparameterReader):
    """Reads the numbers of one graph."""

    def __init__(self, graph: Graph, structure: ObjectDetectionStructure) -> None:
        super().__init__(graph)
        self._structure = structure

    def limit(self, tensor: str) -> int | None:
        """The value of a tensor of one whole number of at least 0, None for any other."""
        value = self.find(tensor)
        if value is None or value.size != 1 or value.dtype.kind != "i" or value.item() < 0:
            return None
        return int(value.item())

    def channels(self, tensor: str) -> int:
        """How many channels a layer with weights predicts; `tensor` is its result, before or after the bias."""
        node = self._graph.node(tensor)
        if node.op in ADD:
            node = next(
                self._graph.node(source)
                for source in self._graph.inputs(node)
                if is_predictor(self._graph.node(source))
            )
        return self.layer_channels(node)

    def mask_size(self) -> tuple[int, int] | None:
        """(height, width) of a mask: of the resize before the mask layers, or of what collects the masks after them."""
        if self._structure.mask_logits is None or self._structure.mask_crop is None:
            return None
        for node in self._graph.upstream(
            [self._structure.mask_logits], lambda node: node is self._structure.mask_crop
        ).values():
            if node.op in ("ResizeBilinear", "ResizeNearestNeighbor"):
                size = self.find(self._graph.inputs(node)[1])
                if size is not None and size.size == 2:
                    return int(size.ravel()[0]), int(size.ravel()[1])
        for node in self._graph.downstream(self._graph.node(self._structure.mask_logits)).values():
            if node.op == "Reshape":
                shape = self.find(self._graph.inputs(node)[1])
                if shape is not None and shape.size >= 3 and shape.ravel()[-1] > 1:
                    return int(shape.ravel()[-2]), int(shape.ravel()[-1])
        return None

    def anchors(self, resize: ResizeSpec | None) -> AnchorSpec | None:
        """The anchor grid, evaluated as the graph itself computes it, on a small feature map.

        An input of fixed size leaves its feature map's size in the graph, or traces of it: then it must be that size.
        """
        nodes = self._graph.upstream([self._graph.inputs(self._structure.proposal_nms)[0]], is_predictor)
        per_cell = self.channels(self._structure.rpn_encodings) // 4
        for node in nodes.values():
            if node.op != "ConcatV2" or not self._is_corner_pair(node):
                continue
            for rows, columns in _feature_sizes(resize):
                try:
                    corners = TensorFlowConstantFolder(self._graph, feature_shape=(1, rows, columns, 1)).value(
                        node.name
                    )
                except (NotConstant, ModelFileError):
                    continue
                grid = _as_grid(corners, per_cell)
                if grid is not None:
                    return _anchor_spec(grid, self._clips_anchors(nodes, node))
        return None

    def _is_corner_pair(self, node: pb.NodeDef) -> bool:
        """Whether a node joins `centre - half size` and `centre + half size`, as the anchor generator does."""
        parts = [self._graph.node(tensor) for tensor in self._graph.inputs(node)[:-1]]
        if len(parts) != 2 or parts[0].op != "Sub" or parts[1].op not in ADD:
            return False
        return self._graph.inputs(parts[0])[0] in self._graph.inputs(parts[1])

    def _clips_anchors(self, nodes: dict[str, pb.NodeDef], anchors: pb.NodeDef) -> bool:
        """Whether the anchors are clipped before boxes are decoded from them (Exp marks the decoding)."""
        before_decoding: set[str] = set()
        for node in nodes.values():
            sources = [self._graph.node(tensor) for tensor in self._graph.inputs(node)]
            if node.op == "Mul" and any(source.op == "Exp" for source in sources):
                sizes = [source.name for source in sources if source.op != "Exp"]
                before_decoding |= set(
                    self._graph.upstream(sizes, lambda other: is_predictor(other) or other is anchors)
                )
        return any(self._graph.nodes[name].op in CLIPPING for name in before_decoding)

    def box_coder(self, nms: pb.NodeDef, exclude: frozenset[str] = frozenset()) -> BoxCoder:
        """The divisors of the encodings, 1 where the graph divides by nothing; `exclude`: nodes of an earlier stage."""
        scales = [1.0, 1.0, 1.0, 1.0]
        for name, node in self._graph.upstream([self._graph.inputs(nms)[0]], is_predictor).items():
            if node.op not in ("RealDiv", "Mul") or name in exclude:
                continue
            source, value = self._factor(node)
            parts = self._graph.node(source)
            # Boxes that are decoded already are taken apart and scaled as well.
            if value is None or parts.op not in ("Unpack", "Split") or self._has_exponent(source):
                continue
            port = source.partition(":")[2] or "0"
            if port in ("0", "1", "2", "3") and 0 < value < np.inf:
                scales[int(port)] = 1 / value
        return BoxCoder((scales[0], scales[1], scales[2], scales[3]))

    def _factor(self, node: pb.NodeDef) -> tuple[str, float | None]:
        """(input, factor) of a node that multiplies with a number or divides by one; the factor is None for another."""
        first, second = self._graph.inputs(node)[:2]
        value = self.number(second)
        if node.op == "RealDiv":
            return first, None if value is None else 1 / (value or np.nan)
        return (second, self.number(first)) if value is None else (first, value)

    def _has_exponent(self, tensor: str) -> bool:
        return any(node.op == "Exp" for node in self._graph.upstream([tensor], is_predictor).values())

    def score_activation(self) -> tuple[Literal["softmax", "sigmoid", "identity"], float]:
        """How logits become scores, and the factor that they are multiplied with first."""
        scores = self._graph.upstream_values([self._graph.inputs(self._structure.detection_nms[0])[1]], is_predictor)
        # The first stage converts its scores too, and how many boxes it found reaches into the second.
        path = [
            node
            for name, node in self._graph.downstream(self._graph.node(self._structure.class_logits)).items()
            if name in scores
        ]
        ops = {node.op for node in path}
        factor = 1.0
        for node in path[1:]:
            operand = self._factor(node)[1] if node.op in ("Mul", "RealDiv") else None
            if operand is not None:
                factor *= operand
            elif node.op not in _SCORE_OPS and not node.op.startswith("Tensor"):
                raise ModelFileError(
                    f"computes its scores in a way that is not supported, at the node '{node.name}' ({node.op}):"
                    " export it again without calibration_config"
                )
        if not np.isfinite(factor):
            raise ModelFileError("multiplies its class logits with what is no number")
        if "Softmax" in ops:
            return "softmax", factor
        return ("sigmoid", factor) if "Sigmoid" in ops else ("identity", factor)


def _feature_sizes(resize: ResizeSpec | None) -> list[tuple[int, int]]:
    """(rows, columns) of feature maps on which an anchor grid may be evaluated: any, or that of the fixed input."""
    sizes = [(3, 4)]
    if resize is not None:
        height = resize.height or (resize.max_dimension if resize.pad_to_max else None)
        width = resize.width or (resize.max_dimension if resize.pad_to_max else None)
        if height and width:
            sizes += [(-(-height // stride), -(-width // stride)) for stride in (16, 8, 32, 4)]
    return sizes


def _as_grid(corners: Array, per_cell: int) -> Array | None:
    """Corners (n, 4) of anchors as (rows, columns, A, 4) float64, if they are a grid, of any size."""
    if corners.ndim != 2 or corners.shape[1] != 4 or corners.size == 0 or len(corners) % per_cell != 0:
        return None
    cells = corners.astype(np.float64).reshape(-1, per_cell, 4)
    y_centres = (cells[:, 0, 0] + cells[:, 0, 2]) / 2
    # Rows are at least a pixel apart.
    columns = int((np.abs(y_centres - y_centres[0]) < 0.5).sum())
    return cells.reshape(-1, columns, per_cell, 4) if columns and len(cells) % columns == 0 else None


def _anchor_spec(grid: Array, clipped: bool) -> AnchorSpec:
    """The AnchorSpec behind corners (rows, columns, A, 4) float64."""
    centres = (grid[..., :2] + grid[..., 2:]) / 2
    if grid.shape[0] < 2 or grid.shape[1] < 2:
        raise ModelFileError("has an anchor grid of less than two rows or columns, from which no stride can be read")
    stride = (centres[1, 0, 0, 0] - centres[0, 0, 0, 0], centres[0, 1, 0, 1] - centres[0, 0, 0, 1])
    offset = centres[0, 0, 0]
    sizes = grid[0, 0, :, 2:] - grid[0, 0, :, :2]
    numbers = np.array([*stride, *offset, *sizes.ravel()])
    if not np.isfinite(numbers).all() or min(stride) < 1 or sizes.min() <= 0 or np.abs(numbers).max() > 1e5:
        raise ModelFileError("has an anchor grid with strides or sizes that are not usable")
    # Strides and offsets are whole numbers in the API's config; the corners carry float32 noise.
    return AnchorSpec(
        sizes=tuple((float(np.float32(height)), float(np.float32(width))) for height, width in sizes),
        stride=(round(float(stride[0]), 3), round(float(stride[1]), 3)),
        offset=(round(float(offset[0]), 3), round(float(offset[1]), 3)),
        clip_to_image=clipped,
    )
