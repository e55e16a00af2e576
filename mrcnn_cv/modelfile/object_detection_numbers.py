"""Read the numbers of an Object Detection API graph out of its own constants, given its landmarks.

Every function returns None for what the graph does not hold, so that a pipeline.config may fill it in.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.modelfile.evaluate import Array, Evaluator, NotConstant
from mrcnn_cv.modelfile.graphdef import Graph, node_name
from mrcnn_cv.modelfile.object_detection_parts import Parts, is_predictor
from mrcnn_cv.modelfile.protos import graph_pb2 as pb
from mrcnn_cv.modelfile.spec import AnchorSpec, BoxCoder, NmsSpec, ResizeSpec
from mrcnn_cv.modelfile.stagegraph import ADD

_CLIPPING = frozenset({"Minimum", "Maximum"})
_RESIZERS = frozenset({"ResizeBilinear", "ResizeBicubic", "ResizeArea", "ResizeNearestNeighbor"})


class NumberReader:
    """Reads the numbers of one graph."""

    def __init__(self, graph: Graph, parts: Parts) -> None:
        self._graph = graph
        self._parts = parts
        self._values = Evaluator(graph)

    def value(self, tensor: str) -> Array | None:
        """The value of a tensor, None if it depends on the image."""
        try:
            return self._values.value(tensor)
        except NotConstant:
            return None

    def number(self, tensor: str) -> float | None:
        """The value of a tensor of one number, None if it is none or depends on the image."""
        value = self.value(tensor)
        return None if value is None or value.size != 1 else float(value.item())

    def limit(self, tensor: str) -> int | None:
        """The same for a whole number of at least 0."""
        value = self.value(tensor)
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
        weights = self.value(self._graph.inputs(node)[1])
        if weights is None or weights.ndim < 2:
            raise ModelFileError(f"has no constant weights at '{node.name}': it is not frozen")
        return int(weights.shape[-2 if node.op == "MatMul" and node.attr["transpose_b"].b else -1])

    def crop_size(self, crop: pb.NodeDef) -> tuple[int, int]:
        """(height, width) of the regions that a CropAndResize node cuts."""
        size = self.value(self._graph.inputs(crop)[3])
        if size is None or size.size != 2 or not 1 <= size.min() <= size.max() <= 512:
            raise ModelFileError(f"does not say a usable crop size at '{crop.name}'")
        if crop.attr["method"].s not in (b"", b"bilinear"):
            raise ModelFileError(
                f"crops with the method {crop.attr['method'].s!r}, which is not supported (bilinear is)"
            )
        return int(size.ravel()[0]), int(size.ravel()[1])

    def mask_size(self) -> tuple[int, int] | None:
        """(height, width) of a mask: of the resize before the mask layers, or of what collects the masks after them."""
        if self._parts.mask_logits is None or self._parts.mask_crop is None:
            return None
        for node in self._graph.upstream(
            [self._parts.mask_logits], lambda node: node is self._parts.mask_crop
        ).values():
            if node.op in ("ResizeBilinear", "ResizeNearestNeighbor"):
                size = self.value(self._graph.inputs(node)[1])
                if size is not None and size.size == 2:
                    return int(size.ravel()[0]), int(size.ravel()[1])
        for node in self._graph.downstream(self._graph.node(self._parts.mask_logits)).values():
            if node.op == "Reshape":
                shape = self.value(self._graph.inputs(node)[1])
                if shape is not None and shape.size >= 3 and shape.ravel()[-1] > 1:
                    return int(shape.ravel()[-2]), int(shape.ravel()[-1])
        return None

    def resize(self) -> ResizeSpec | None:
        """The resizer: what happens between the image and the batch of resized images."""
        nodes = self._graph.upstream([self._parts.resized])
        resizers = [node for node in nodes.values() if node.op in _RESIZERS]
        unsupported = {node.op for node in resizers} - {"ResizeBilinear"}
        if unsupported:
            raise ModelFileError(
                f"resizes images with {', '.join(sorted(unsupported))}, which is not supported (bilinear is)"
            )
        padded = any(node.op in ("Pad", "PadV2") for node in nodes.values())
        if not resizers:
            return ResizeSpec("identity", pad_to_max=padded)
        if any(node.attr["align_corners"].b for node in resizers):
            raise ModelFileError("resizes images with aligned corners, which is not supported")
        half_pixel = resizers[0].attr["half_pixel_centers"].b
        sizes = [self.value(self._graph.inputs(node)[1]) for node in resizers]
        if len(sizes) == 1 and sizes[0] is not None:
            height, width = (int(value) for value in sizes[0].ravel())
            return ResizeSpec("fixed", height=height, width=width, pad_to_max=padded, half_pixel_centers=half_pixel)
        limits = self._size_limits([self._graph.inputs(node)[1] for node in resizers])
        if limits is None:
            return None
        return ResizeSpec("keep_aspect", limits[0], limits[1], pad_to_max=padded, half_pixel_centers=half_pixel)

    def _size_limits(self, sizes: list[str]) -> tuple[int, int | None] | None:
        """(min, max) dimension of a keep-aspect resizer, from the sums that its size comes from.

        Exporters since 2019 slice them from constant pairs (min, max) and (max, min); those of 2018 divide each by a
        side of the image.
        """
        found: list[float] = []
        for node in self._graph.upstream(sizes, lambda node: node.op.startswith("Resize")).values():
            inputs = self._graph.inputs(node)
            if node.op not in ("StridedSlice", "RealDiv", "Unpack"):
                continue
            value = self.value(inputs[0])
            wanted = 1 if node.op == "RealDiv" else 2
            if value is not None and value.size == wanted and value.min() > 1:
                found += [float(number) for number in value.ravel()]
        if not found:
            return None
        return round(min(found)), round(max(found)) if max(found) > min(found) or len(found) > 1 else None

    def anchors(self, resize: ResizeSpec | None) -> AnchorSpec | None:
        """The anchor grid, evaluated as the graph itself computes it, on a small feature map.

        An input of fixed size leaves traces of its feature map's size in the graph, which then must be that size.
        """
        nodes = self._graph.upstream([self._graph.inputs(self._parts.proposal_nms)[0]], is_predictor)
        per_cell = self.channels(self._parts.rpn_encodings) // 4
        for node in nodes.values():
            if node.op != "ConcatV2" or not self._is_corner_pair(node):
                continue
            for rows, columns in _feature_sizes(resize):
                try:
                    corners = Evaluator(self._graph, feature_shape=(1, rows, columns, 1)).value(node.name)
                except (NotConstant, ModelFileError):
                    continue
                if corners.shape == (rows * columns * per_cell, 4):
                    grid = corners.astype(np.float64).reshape(rows, columns, per_cell, 4)
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
        return any(self._graph.nodes[name].op in _CLIPPING for name in before_decoding)

    def box_coder(self, nms: pb.NodeDef, exclude: frozenset[str] = frozenset()) -> BoxCoder:
        """The divisors of the encodings, 1 where the graph divides by nothing; `exclude`: nodes of an earlier stage."""
        scales = [1.0, 1.0, 1.0, 1.0]
        for name, node in self._graph.upstream([self._graph.inputs(nms)[0]], is_predictor).items():
            if node.op != "RealDiv" or name in exclude:
                continue
            source, divisor = self._graph.inputs(node)[:2]
            value = self.number(divisor)
            if self._graph.node(source).op in ("Unpack", "Split") and value is not None:
                port = source.partition(":")[2] or "0"
                if port in ("0", "1", "2", "3") and 0 < value < np.inf:
                    scales[int(port)] = value
        return BoxCoder((scales[0], scales[1], scales[2], scales[3]))

    def nms(self, nodes: tuple[pb.NodeDef, ...]) -> NmsSpec | None:
        """Thresholds and limits of the suppression of one stage; `nodes`: one per class, which must agree."""
        found = {self._nms_thresholds(node) for node in nodes}
        if len(found) != 1:
            raise ModelFileError("suppresses boxes with other thresholds for other classes, which is not supported")
        score, iou, per_class = found.pop()
        total = self._total_limit(nodes)
        if iou is None or per_class is None or total is None:
            return None
        if np.isnan(iou) or (score is not None and np.isnan(score)):
            raise ModelFileError(f"suppresses boxes with a threshold that is no number, at '{nodes[0].name}'")
        boxes = self._graph.inputs(nodes[0])[0]
        scope = _scope(nodes[0])
        before = self._graph.upstream_values([boxes], lambda node: not node.name.startswith(scope))
        clip_first = any(node.op in _CLIPPING and node.name.startswith(scope) for node in before.values())
        return NmsSpec(float("-inf") if score is None else score, iou, per_class, total, clip_first)

    def _nms_thresholds(self, node: pb.NodeDef) -> tuple[float | None, float | None, int | None]:
        inputs = self._graph.inputs(node)
        attribute = node.attr["iou_threshold"].f if "iou_threshold" in node.attr else 0.5
        iou = self.number(inputs[3]) if len(inputs) > 3 else float(attribute)
        score = self.number(inputs[4]) if len(inputs) > 4 else None
        if score is None or not np.isfinite(score):
            score = self._score_filter(node)
        limit = self._constant_minimum(self._graph.node(inputs[2]))
        return score, iou, self.limit(inputs[2]) if limit is None else limit

    def _score_filter(self, node: pb.NodeDef) -> float | None:
        """The score threshold of exporters before 2019, which filter the boxes before they suppress."""
        scope = _scope(node)
        scores = self._graph.upstream_values(
            [self._graph.inputs(node)[1]], lambda node: not node.name.startswith(scope)
        )
        for gather in (other for other in scores.values() if other.op.startswith("Gather")):
            # The first condition that the indices come from; boxes without area are filtered in the same way.
            for other in self._graph.upstream(
                [self._graph.inputs(gather)[1]], lambda node: node.op == "Greater"
            ).values():
                source, *threshold = self._graph.inputs(other) if other.op == "Greater" else [""]
                value = self.number(threshold[0]) if threshold and node_name(source) in scores else None
                if value is not None:
                    return value
        return None

    def _constant_minimum(self, node: pb.NodeDef) -> int | None:
        """The constant in `Minimum(constant, how many there are)`."""
        if node.op != "Minimum":
            return None
        found = [value for value in map(self.limit, self._graph.inputs(node)) if value is not None]
        return found[0] if len(found) == 1 else None

    def _total_limit(self, nodes: tuple[pb.NodeDef, ...]) -> int | None:
        """The limit over all classes: the Minimum of the suppression that no class takes."""
        scope = _scope(nodes[0])
        per_class = {self._graph.node(self._graph.inputs(node)[2]).name for node in nodes}
        limits = [
            self._constant_minimum(node)
            for name, node in self._graph.nodes.items()
            if node.op == "Minimum" and name.startswith(scope) and name not in per_class
        ]
        known = [limit for limit in limits if limit is not None]
        return min(known) if known else None

    def score_conversion(self) -> tuple[Literal["softmax", "sigmoid", "identity"], float]:
        """How logits become scores, and the factor that they are multiplied with first."""
        scores = self._graph.upstream_values([self._graph.inputs(self._parts.detection_nms[0])[1]], is_predictor)
        # The first stage converts its scores too, and how many boxes it found reaches into the second.
        path = [
            node
            for name, node in self._graph.downstream(self._graph.node(self._parts.class_logits)).items()
            if name in scores
        ]
        ops = {node.op for node in path}
        factor = 1.0
        for node in path:
            operand = self.number(self._graph.inputs(node)[1]) if node.op in ("Mul", "RealDiv") else None
            if operand is not None:
                factor *= operand if node.op == "Mul" else 1 / (operand or np.nan)
        if not np.isfinite(factor):
            raise ModelFileError("multiplies its class logits with what is no number")
        if "Softmax" in ops:
            return "softmax", factor
        return ("sigmoid", factor) if "Sigmoid" in ops else ("identity", factor)


def _scope(nms: pb.NodeDef) -> str:
    """The name scope of a whole suppression: up to and with the part that says NonMaxSuppression first."""
    parts = nms.name.split("/")
    for index, part in enumerate(parts[:-1]):
        if "NonMaxSuppression" in part:
            return "/".join(parts[: index + 1]) + "/"
    return "/".join(parts[:-1]) + "/" if len(parts) > 1 else nms.name


def _feature_sizes(resize: ResizeSpec | None) -> list[tuple[int, int]]:
    """(rows, columns) of feature maps on which an anchor grid may be evaluated: any, or that of the fixed input."""
    sizes = [(3, 4)]
    if resize is not None:
        height = resize.height or (resize.max_dimension if resize.pad_to_max else None)
        width = resize.width or (resize.max_dimension if resize.pad_to_max else None)
        if height and width:
            sizes += [(-(-height // stride), -(-width // stride)) for stride in (16, 8, 32, 4)]
    return sizes


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
