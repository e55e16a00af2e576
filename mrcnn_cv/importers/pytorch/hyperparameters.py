"""Read the numbers of a detector that PyTorch traced: limits, thresholds, anchors, coders, levels.

Every reader returns None where the exporter, or a tool after it, has folded its number away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.pytorch.structure import WEIGHTED, PyTorchStructure, RoiAlignGroup, channel_count
from mrcnn_cv.model.definition import AnchorSpec, CropSpec, NormalizationStep, PyramidSpec

MAX_DETECTIONS = 1 << 20


class PyTorchHyperparameterReader:
    """The numbers of `graph`, which has this structure."""

    def __init__(self, graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure) -> None:
        self._graph = graph
        self._values = values
        self._structure = structure

    def channels(self, tensor: str) -> int:
        """How many channels a layer with weights makes."""
        return channel_count(self._graph, self._values, tensor)

    def input_number(self, node: Node, index: int) -> float | None:
        """The value of an input of one number, None for one that depends on the image or is left out."""
        return self._values.number(self._graph.input(node, index))

    def constant_input(self, node: Node, index: int) -> float | None:
        """A number that a node takes and that stands in the file as it is."""
        tensor = self._graph.input(node, index)
        return self._values.number(tensor) if tensor and self._graph.is_constant(tensor) else None

    def constant_operand(self, node: Node) -> float | None:
        """The constant number that a node combines something with."""
        numbers = [
            number for index in range(len(node.inputs)) if (number := self.constant_input(node, index)) is not None
        ]
        return numbers[0] if len(numbers) == 1 else None

    # The image.

    def image_path(self) -> list[Node]:
        """The nodes from the graph's input to what the trunk takes."""
        path: list[Node] = []
        tensor = self._structure.image
        while (node := self._graph.producer(tensor)) is not None:
            path.append(node)
            sources = [name for name in node.inputs if name and self._values.find(name) is None]
            if not sources or len(path) > 100:
                raise ModelFileError(f"makes its image in a way that is not supported, at the node '{node.name}'")
            tensor = sources[0]
        return path[::-1]

    def pixel_steps(self, path: list[Node]) -> tuple[NormalizationStep, ...]:
        """The preprocessing of pixels on the way from the graph's input to the trunk."""
        steps: list[NormalizationStep] = []
        for node in path:
            if node.op not in _PIXEL_OPS:
                continue
            index = 1 if self._values.find(self._graph.input(node, 0)) is None else 0
            value = self._values.find(self._graph.input(node, index))
            if value is None or value.size not in (1, 3) or (index == 0 and node.op in ("Sub", "Div")):
                raise ModelFileError(f"prepares pixels in a way that is not supported, at the node '{node.name}'")
            steps.append(NormalizationStep(_PIXEL_OPS[node.op], tuple(float(each) for each in value.ravel())))  # type: ignore[arg-type]
        return tuple(steps)

    def side_limits(self, resize: Node) -> tuple[int, int] | None:
        """(shorter side, longer side) that an image is resized to: Min(a / shorter side, b / longer side)."""
        sizes = [name for name in resize.inputs[1:] if name]
        for node in self._graph.upstream(sizes, values=False):
            if node.op != "Min" or len(node.inputs) != 2:
                continue
            found: dict[str, float] = {}
            for name in node.inputs:
                product = self._graph.producer(name)
                number = (
                    self.constant_operand(product) if product is not None and product.op in ("Mul", "Div") else None
                )
                sides = self._graph.upstream([name], values=False)
                ends = {side.op for side in sides} & {"ReduceMin", "ReduceMax"}
                if number is not None and len(ends) == 1:
                    found[ends.pop()] = number
            if len(found) == 2:
                return round(found["ReduceMin"]), round(found["ReduceMax"])
        return None

    def pad_multiple(self, pad: Node) -> int | None:
        """The number whose multiples the sides of the input are: Ceil(side / number)."""
        for node in self._graph.upstream([name for name in pad.inputs[1:] if name], values=False):
            division = self._graph.producer(node.inputs[0]) if node.op == "Ceil" else None
            number = self.constant_input(division, 1) if division is not None and division.op == "Div" else None
            if number is not None:
                return round(number)
        return None

    # Proposals and detections.

    def anchors(self, boxes: str, per_cell: list[int], encodings: str | None = None) -> tuple[AnchorSpec, ...] | None:
        """The anchors of each level that the boxes of the proposals are decoded from.

        per_cell: how many each level has for a cell. encodings: those that a layer predicts for one level.
        """
        found = [value for node in self._graph.upstream([boxes]) if (value := self._cell_anchors(node)) is not None]
        if [len(value) for value in found] != per_cell:
            found = self._folded_anchors(boxes, per_cell)
        if not found and encodings is not None:
            found = self._decoded_anchors(encodings, per_cell)
        return tuple(_anchor_spec(value) for value in found) if found else None

    def _cell_anchors(self, node: Node) -> NDArray[Any] | None:
        """(A, 4) where a node adds the anchors of a cell (1, A, 4) to the places of the cells."""
        if node.op != "Add" or any(self._graph.is_constant(name) for name in node.inputs) is False:
            return None
        for name in node.inputs:
            value = self._values.find(name)
            if value is not None and value.ndim == 3 and value.shape[0] == 1 and value.shape[2] == 4:
                return np.asarray(value[0], dtype=np.float32)
        return None

    def _folded_anchors(self, boxes: str, per_cell: list[int]) -> list[NDArray[Any]]:
        """The same where all anchors of an image of one size stand in the file: a level begins at the cell at 0, 0."""
        for node in self._graph.upstream([boxes], lambda node: node.op in WEIGHTED):
            for name in node.inputs:
                value = self._values.find(name) if name else None
                if value is not None and value.ndim == 2 and value.shape[1] == 4 and len(value) >= sum(per_cell):
                    return _levels(value.astype(np.float32), per_cell)
        return []

    def _decoded_anchors(self, encodings: str, per_cell: list[int]) -> list[NDArray[Any]]:
        """The same from centre + encoding * side, where only the sides and the centres are left of the anchors."""
        axes = [self.sides_and_centres(node) for start, node in self._coordinates(encodings) if start < 2]
        known = [axis for axis in axes if axis is not None]
        if len(known) != 2 or len({vector.size for axis in known for vector in axis}) != 1:
            return []
        corners = [centres + sign * sides / 2 for sign in (-1, 1) for sides, centres in known]
        return _levels(np.stack(corners, axis=1), per_cell)

    def sides_and_centres(self, node: Node) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """(sides, centres) of anchors on one axis: what encodings are multiplied with, and what is added.

        node: what takes the encodings of this axis.
        """
        found: list[NDArray[Any]] = []
        for op in ("Div", "Mul", "Add"):
            if node.op != op:
                if op == "Div":
                    continue
                return None
            if op != "Div":
                known = [value for name in node.inputs if (value := self._values.find(name)) is not None]
                if len(known) != 1:
                    return None
                found.append(known[0].astype(np.float32).ravel())
            if op != "Add":
                consumers = self._graph.consumers(node.outputs[0])
                if len(consumers) != 1:
                    return None
                node = consumers[0]
        return found[0], found[1]

    def _coordinates(self, encodings: str) -> list[tuple[int, Node]]:
        """(0 to 3 for x, y, width, height, what alone takes it) of the encodings that a layer predicts, in order."""
        found: dict[int, Node] = {}
        for node in self._graph.downstream([encodings], lambda node: node.op in ("Exp", "NonMaxSuppression")):
            start = self.input_number(node, 1) if node.op == "Slice" else None
            if start is not None and start in (0, 1, 2, 3) and self.input_number(node, 4) == 4:
                consumers = self._graph.consumers(node.outputs[0])
                if len(consumers) == 1:
                    found.setdefault(round(start), consumers[0])
        return sorted(found.items())

    def pre_nms_top_n(self, nms: Node) -> int | None:
        """How many of a level's best boxes are looked at: the K of its TopK, if there are so many."""
        limits = []
        for top in self._graph.upstream(nms.inputs[:2], values=False):
            if top.op != "TopK":
                continue
            fixed = self.constant_input(top, 1)
            walk = self._graph.upstream([top.inputs[1]], lambda node: node.op == "Shape", values=False)
            nearest = (self.constant_operand(node) for node in walk if node.op in ("Concat", "Min", "Clip"))
            limit = fixed if fixed is not None else next((each for each in nearest if each is not None), None)
            if limit is not None:
                limits.append(round(limit))
        return max(limits, default=None)

    def post_nms_top_n(self, nms: Node) -> int | None:
        """How many boxes stay after a suppression: the first that its result is cut down to."""
        for node in self._after(nms):
            if node.op != "Slice":
                continue
            start, end = (
                self.input_number(node, 1),
                self.input_number(node, 2),
            )
            if start == 0 and end is not None and 0 < end < MAX_DETECTIONS:
                return round(end)
        return None

    def _after(self, nms: Node) -> Iterator[Node]:
        """What takes the indices of a suppression, until they choose boxes."""
        consumers: dict[str, list[Node]] = {}
        for node in self._graph.nodes:
            for name in node.inputs:
                consumers.setdefault(self._graph.skip_identity(name), []).append(node)
        queue, seen = list(nms.outputs), set(nms.outputs)
        for tensor in queue:
            for node in consumers.get(tensor, []):
                yield node
                if node.op in ("Gather", "Slice", "Squeeze", "Cast", "Reshape", "Concat", "If", "Unsqueeze"):
                    new = [name for name in node.outputs if name not in seen]
                    seen.update(new)
                    queue += new

    def threshold(self, nms: Node, with_sizes: bool) -> float | None:
        """The number that sizes (a difference of corners) or else scores must reach before a suppression."""
        for node in self._graph.upstream(nms.inputs[:2], lambda node: node.op in WEIGHTED, values=False):
            number = self.constant_operand(node) if node.op in _COMPARISONS else None
            if number is None:
                continue
            others = [self._graph.producer(name) for name in node.inputs if not self._graph.is_constant(name)]
            is_size = any(other is not None and other.op == "Sub" for other in others)
            if is_size == with_sizes:
                return float(np.float32(number))
        return None

    def box_weights(self, encodings: str) -> tuple[float, ...] | None:
        """The divisors of x, y, width and height of the encodings that a layer predicts."""
        divisors = [self._divisor(node) for _, node in self._coordinates(encodings)]
        known = tuple(divisor for divisor in divisors if divisor is not None and divisor > 0)
        return known if len(known) == 4 else None

    def _divisor(self, node: Node) -> float | None:
        """What the node that takes a coordinate divides it by; a division by one is what simplifiers take out."""
        if node.op == "Div":
            return self.input_number(node, 1)
        return 1.0 if node.op in ("Mul", "Clip", "Min", "Exp") else None

    def bbox_xform_clip(self, encodings: str) -> float | None:
        """The most that counts of an encoded width or height."""
        for start, first in self._coordinates(encodings):
            for node in [first, *self._graph.consumers(first.outputs[0])] if start >= 2 else []:
                if node.op in ("Clip", "Min"):
                    return self.input_number(node, 2) if node.op == "Clip" else self.constant_operand(node)
        return None

    def iou_threshold(self, nms: Node) -> float | None:
        """How far boxes may overlap."""
        return self.input_number(nms, 3)

    # Crops.

    def crop(self, crops: RoiAlignGroup) -> CropSpec:
        """How regions are cut; `flat` is not decided here. ModelFileError for aligns that disagree."""
        kinds = {
            (
                align.whole("output_height", 1),
                align.whole("output_width", 1),
                align.whole("sampling_ratio", 0),
                align.text("coordinate_transformation_mode", "half_pixel" if self._graph.opset >= 16 else ""),
                align.text("mode", "avg"),
            )
            for align in crops.aligns
        }
        if len(kinds) > 1:
            raise ModelFileError("cuts regions of its levels in different ways, which is not supported")
        height, width, ratio, rule, mode = kinds.pop()
        if not (1 <= height <= 64 and 1 <= width <= 64 and 0 <= ratio <= 16) or mode != "avg":
            raise ModelFileError(
                f"cuts regions to {height}x{width} with {ratio} points ({mode}), which is not supported"
            )
        scales = tuple(align.real("spatial_scale", 1) for align in crops.aligns)
        if not all(0 < scale <= 1 for scale in scales):
            raise ModelFileError(f"cuts regions from maps with the scales {list(scales)}, which cannot be")
        return CropSpec((height, width), "roi_align", ratio, rule == "half_pixel", scales)

    def pyramid(self, crops: RoiAlignGroup) -> PyramidSpec | None:
        """How regions are given to levels: floor(level + log2(sqrt(area) / size) + epsilon), clipped to the levels."""
        found: dict[str, float] = {}
        rounding = None
        for node in self._graph.upstream([align.inputs[1] for align in crops.aligns], values=False):
            if node.op == "Clip" and "least" not in found:
                least, most = (
                    self.input_number(node, 1),
                    self.input_number(node, 2),
                )
                source = self._graph.producer(node.inputs[0])
                if least is None or most is None or source is None or source.op not in ("Floor", "Round", "Cast"):
                    continue
                found |= {"least": least, "most": most}
                found |= self._level_numbers(node.inputs[0])
                rounding = source.op
        levels = round(found["most"] - found["least"]) + 1 if rounding else 0
        if not {"size", "level"} <= found.keys() or not 1 <= levels <= len(crops.aligns):
            return None
        return PyramidSpec(
            levels=levels,
            canonical_level=round(found["level"] - found["least"]),
            canonical_size=found["size"],
            rounding="nearest" if rounding == "Round" else "floor",
            epsilon=found.get("epsilon", 0.0),
        )

    def _level_numbers(self, tensor: str) -> dict[str, float]:
        """Canonical size and level, and what is added before rounding."""
        found: dict[str, float] = {}
        for node in self._graph.upstream([tensor], lambda node: node.op == "Sqrt"):
            number = self.constant_operand(node) if node.op in ("Add", "Div") else None
            if number is None:
                continue
            if node.op == "Add":
                found["level" if abs(number) >= 1 else "epsilon"] = number
            elif (source := self._graph.producer(node.inputs[0])) is not None and source.op in ("Sqrt", "Add"):
                found["size"] = number
                if source.op == "Add":
                    found.pop("epsilon", None)
        return found


_PIXEL_OPS = {"Mul": "mul", "Add": "add", "Sub": "sub", "Div": "div"}
_COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})


def _anchor_spec(corners: NDArray[Any]) -> AnchorSpec:
    """Of anchors (A, 4) x1 y1 x2 y2 around the place of a cell."""
    x1, y1, x2, y2 = (corners[:, index] for index in range(4))
    centres = np.stack([(y1 + y2) / 2, (x1 + x2) / 2], axis=1)
    if not np.isfinite(corners).all() or np.abs(centres - centres[0]).max() > 1e-3:
        raise ModelFileError("has anchors of a cell with different centres, which is not supported")
    sizes = tuple((float(height), float(width)) for height, width in zip(y2 - y1, x2 - x1, strict=True))
    return AnchorSpec(sizes, None, (float(centres[0, 0]), float(centres[0, 1])), clip_to_image=False)


def _levels(anchors: NDArray[Any], per_cell: list[int]) -> list[NDArray[Any]]:
    """The anchors of the first cell of each level, of all anchors (M, 4) of all levels."""
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    found: list[NDArray[Any]] = []
    position = 0
    for count in per_cell:
        starts = np.flatnonzero((centres[position:] == centres[0]).all(axis=1)) + position
        if len(starts) == 0 or starts[0] + count > len(anchors):
            return []
        found.append(anchors[starts[0] : starts[0] + count])
        position = int(starts[0]) + count
    return found
