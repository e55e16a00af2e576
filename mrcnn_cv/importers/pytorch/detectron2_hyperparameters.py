"""Read the numbers of a Detectron2 model from its ONNX graph, by the names of Detectron2's config.

Each is left out where the exporter, or a tool after it, has folded it away.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.config_schema import Values
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.pytorch.hyperparameters import HyperparameterReader
from mrcnn_cv.importers.pytorch.structure import WEIGHTED, PyTorchStructure, RoiAlignGroup
from mrcnn_cv.model.definition import AnchorSpec, NormalizationStep

HALF_PIXEL_OPSET = 16
"""Before, ONNX cannot say that regions are aligned: exporters drop it, with a warning to their user."""

Float = NDArray[np.float32]


class Detectron2HyperparameterReader(HyperparameterReader):
    """The numbers of `graph`, of this structure."""

    def __init__(self, graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure) -> None:
        super().__init__(graph, values)
        self._structure = structure

    def found(self) -> Values:
        """What the graph says of the settings; anchors and limits of growth are read by themselves."""
        proposals, detections = self._structure.proposal_nms, self._structure.detection_nms
        mean, deviation = self._pixels()
        values = {
            "MODEL.PIXEL_MEAN": mean,
            "MODEL.PIXEL_STD": deviation,
            "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": self.threshold(proposals, with_sizes=True),
            "MODEL.RPN.BBOX_REG_WEIGHTS": self.weights(self._structure.rpn_encodings[0]),
            "MODEL.RPN.PRE_NMS_TOPK_TEST": self.pre_nms_top_n(proposals),
            "MODEL.RPN.POST_NMS_TOPK_TEST": self.post_nms_top_n(proposals),
            "MODEL.RPN.NMS_THRESH": self._overlap(proposals),
            "MODEL.ROI_HEADS.SCORE_THRESH_TEST": self.threshold(detections, with_sizes=False),
            "MODEL.ROI_HEADS.NMS_THRESH_TEST": self._overlap(detections),
            "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": self.weights(self._structure.box_encodings),
            "MODEL.ROI_BOX_HEAD.POOLER_TYPE": self._pooler(self._structure.crops),
            "TEST.DETECTIONS_PER_IMAGE": self.post_nms_top_n(detections),
        }
        if self._structure.mask_crops is not None:
            values["MODEL.ROI_MASK_HEAD.POOLER_TYPE"] = self._pooler(self._structure.mask_crops)
        return {name: value for name, value in values.items() if value is not None}

    def _pooler(self, crops: RoiAlignGroup) -> str | None:
        if self._graph.opset < HALF_PIXEL_OPSET:
            return "ROIAlignV2" if all(map(self._is_shifted, crops.aligns)) else None
        return "ROIAlignV2" if self.crop(crops).aligned else "ROIAlign"

    def _is_shifted(self, align: Node) -> bool:
        """Whether regions are moved by half a cell first, as exporters of 2020 and 2021 stated alignment."""
        shift = self._graph.producer(align.inputs[1])
        amount = self.constant_input(shift, 1) if shift is not None and shift.op == "Sub" else None
        return amount is not None and math.isclose(amount, 0.5 / align.real("spatial_scale", 1), rel_tol=1e-3)

    def _overlap(self, nms: Node) -> float | None:
        return self._values.number(self._graph.input(nms, 3)) if len(nms.inputs) > 3 else None

    # The image.

    def _pixels(self) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
        """(mean, deviation) as a config gives them: (pixels - mean) / deviation."""
        path = self.image_path(self._structure.image)
        stranger = next((node for node in path if node.op not in _IMAGE_OPS), None)
        if stranger is not None:
            raise ModelFileError(
                f"prepares its image with a node '{stranger.name}' ({stranger.op}), which Detectron2's exporter does"
                " not write: export it with tools/deploy/export_model.py alone"
            )
        steps = self.pixel_steps(path)
        kinds = [_KINDS[step.op] for step in steps]
        if kinds not in ([], ["mean"], ["mean", "deviation"]):
            raise ModelFileError(f"prepares pixels in another way than Detectron2 ({', '.join(s.op for s in steps)})")
        mean = None if not steps else _spread(steps[0], turned=steps[0].op == "add")
        if len(steps) < 2:
            # A division by one is what a simplifier takes out.
            return mean, None if mean is None else (1.0, 1.0, 1.0)
        factors = _spread(steps[1])
        if 0 in factors:
            raise ModelFileError("divides its pixels by zero, which cannot be meant")
        return mean, tuple(1 / each for each in factors) if steps[1].op == "mul" else factors

    # Scores and boxes.

    def conversion(self) -> Literal["softmax", "sigmoid"]:
        """What makes scores of class logits: ROI_BOX_HEAD.USE_SIGMOID_CE asks for a sigmoid."""
        for node in self._graph.downstream([self._structure.class_logits]):
            if node.op == "Softmax":
                return "softmax"
            if node.op == "Sigmoid":
                return "sigmoid"
        raise ModelFileError("converts its class scores by neither softmax nor sigmoid, which is not supported")

    def weights(self, encodings: str) -> tuple[float, ...] | None:
        """The divisors of x, y, w, h of the encodings that a layer predicts."""
        divisors: dict[int, float] = {}
        for start, node in self._quarters(encodings):
            divisor = self.constant_input(node, 1) if node.op == "Div" else None
            if node.op in ("Mul", "Clip", "Min", "Exp"):
                # A division by one is what a simplifier takes out.
                divisor = 1.0
            if divisor is not None and divisor > 0:
                divisors.setdefault(start, divisor)
        return tuple(divisors[each] for each in range(4)) if sorted(divisors) == [0, 1, 2, 3] else None

    def bbox_xform_clip(self, encodings: str) -> float | None:
        """The most that counts of an encoded width or height."""
        for start, quarter in self._quarters(encodings):
            for node in [quarter, *self._graph.consumers(quarter.outputs[0])] if start >= 2 else []:
                if node.op in ("Clip", "Min"):
                    return self.constant_input(node, 2) if node.op == "Clip" else self.constant_operand(node)
        return None

    def _quarters(self, encodings: str) -> list[tuple[int, Node]]:
        """(which of x, y, w, h, what takes it) of the encodings that a layer predicts."""
        found = []
        for node in self._graph.downstream([encodings], lambda node: node.op in ("Exp", "NonMaxSuppression")):
            if node.op == "Slice" and self._values.number(self._graph.input(node, 4)) == 4:
                start = self._values.number(self._graph.input(node, 1))
                consumers = self._graph.consumers(node.outputs[0])
                if start in (0, 1, 2, 3) and len(consumers) == 1:
                    found.append((round(start), consumers[0]))
        return found

    # Anchors.

    def anchors_at(self, strides: list[float], per_cell: list[int]) -> tuple[AnchorSpec, ...] | None:
        """The anchors of each level, whose cells are `strides` pixels apart."""
        boxes = self._structure.proposal_nms.inputs[0]
        levels = self.anchors(boxes, per_cell)
        if levels is None:
            return self._folded(strides, per_cell)
        starts = self._starts(boxes)
        if not all(stride in starts for stride in strides):
            return None
        return tuple(
            AnchorSpec(level.sizes, (stride, stride), (starts[stride],) * 2, clip_to_image=False)
            for level, stride in zip(levels, strides, strict=True)
        )

    def _starts(self, boxes: str) -> dict[float, float]:
        """Where the cells begin, by the pixels from one to the next."""
        found = {}
        for node in self._graph.upstream([boxes], lambda node: node.op in WEIGHTED):
            if node.op == "Range":
                start, step = (self._values.number(self._graph.input(node, index)) for index in (0, 2))
                if start is not None and step is not None:
                    found[step] = start
        return found

    def _folded(self, strides: list[float], per_cell: list[int]) -> tuple[AnchorSpec, ...] | None:
        """The same where sides and centres of all anchors of an image of one size stand in the file."""
        levels = []
        for encodings, stride, count in zip(self._structure.rpn_encodings, strides, per_cell, strict=True):
            axes = {start: self._sides_and_centres(node) for start, node in self._quarters(encodings) if start < 2}
            x, y = axes.get(0), axes.get(1)
            if x is None or y is None or min(len(each) for each in (*x, *y)) < count:
                return None
            sizes = tuple(
                (float(height), float(width)) for height, width in zip(y[0][:count], x[0][:count], strict=True)
            )
            levels.append(AnchorSpec(sizes, (stride, stride), (float(y[1][0]), float(x[1][0])), clip_to_image=False))
        return tuple(levels)

    def _sides_and_centres(self, node: Node) -> tuple[Float, Float] | None:
        """(sides, centres) on one axis: what its encodings are multiplied with, and what is added."""
        found: list[Float] = []
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
            consumers = self._graph.consumers(node.outputs[0])
            if op != "Add":
                if len(consumers) != 1:
                    return None
                node = consumers[0]
        return found[0], found[1]


_IMAGE_OPS = frozenset({"Sub", "Add", "Div", "Mul", "Cast", "Pad", "Unsqueeze", "Squeeze", "Reshape"})
_KINDS = {"sub": "mean", "add": "mean", "div": "deviation", "mul": "deviation"}


def _spread(step: NormalizationStep, turned: bool = False) -> tuple[float, ...]:
    """The operand of a step for each channel."""
    operand = step.operand * (3 // len(step.operand))
    return tuple(-each for each in operand) if turned else operand


def cell_sizes(sizes: tuple[Any, ...], ratios: tuple[Any, ...], levels: int) -> list[tuple[tuple[float, float], ...]]:
    """(height, width) of the anchors of a cell, for each level, from the values of a config.

    Source: Detectron2's DefaultAnchorGenerator: sizes outer, ratios (height by width) inner; one list serves all.
    """
    found = []
    for level in range(levels):
        own_sizes, own_ratios = (each[level if len(each) > 1 else 0] for each in (sizes, ratios))
        widths = [((size**2 / ratio) ** 0.5, ratio) for size in own_sizes for ratio in own_ratios]
        found.append(tuple((ratio * width, width) for width, ratio in widths))
    return found
