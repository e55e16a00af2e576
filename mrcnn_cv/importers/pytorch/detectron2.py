"""The family of Detectron2: a Faster or Mask R-CNN with a feature pyramid, traced to ONNX, becomes a ModelDefinition.

Source of the layout and the defaults: Detectron2's documentation of its modeling package, config/defaults.py and
tools/deploy/export_model.py. The background becomes the first class and BGR becomes RGB here, once and for all.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.config_schema import Config, Values
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import Output
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.pytorch.detectron2_config import SETTINGS, resolve
from mrcnn_cv.importers.pytorch.detectron2_rules import (
    anchors_of,
    coder,
    detection_nms,
    image_rules,
    proposal_nms,
    swap_rgb,
)
from mrcnn_cv.importers.pytorch.reader import (
    DetectorReader,
    DetectorStages,
    default_pyramid,
    reorder_deltas,
)
from mrcnn_cv.importers.pytorch.structure import WEIGHTED, PyTorchStructure, RoiAlignGroup, channel_count
from mrcnn_cv.model.definition import (
    AnchorSpec,
    BoxCoder,
    CropSpec,
    ModelDefinition,
    NormalizationStep,
    PyramidSpec,
    ResizeSpec,
)

ANY_SIDE = 4096
"""An input of which every level of a pyramid has a whole number of cells."""

HALF_PIXEL_OPSET = 16
"""Before, ONNX cannot say that regions are aligned: exporters drop it, with a warning to their user."""


def is_detectron2(graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure) -> bool:
    """Whether a detector has Detectron2's predictors: the background among the scores, but not among the boxes."""
    try:
        scores = channel_count(graph, values, structure.class_logits)
        return scores > 1 and channel_count(graph, values, structure.box_encodings) in (4, 4 * (scores - 1))
    except ModelFileError:
        return False


def read_model(
    graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure, config: Config, name: str
) -> ModelDefinition:
    """The ModelDefinition of a graph with this structure.

    config: the values of the YAML beside it. name: of the file without its suffix, for warnings. What neither says is
    Detectron2's default, with a warning. Raises ModelFileError (without the file's name) for another kind of graph.
    """
    return _Detectron2Reader(graph, values, structure, config, name).definition()


class _Detectron2Reader(DetectorReader):
    FAMILY, OBJECTNESS, MASK_SAMPLING = "Detectron2", "logits", "centers"

    def __init__(
        self,
        graph: OnnxGraph,
        values: OnnxConstantFolder,
        structure: PyTorchStructure,
        config: Config,
        name: str,
    ) -> None:
        super().__init__(graph, values, structure)
        if len(structure.crops.aligns) < 2:
            raise ModelFileError(
                "is a Detectron2 model that cuts its regions from one feature map (a C4 or DC5 variant), which is not"
                " supported: mrcnn-cv runs those with a feature pyramid (FPN)"
            )
        self._config = config
        self._name = name

    def _prepare(self, trunk: ir.NetGraph) -> None:
        shapes = ShapeInference(trunk).results({ir.IMAGE: (1, 3, ANY_SIDE, ANY_SIDE)})
        # Pixels from one cell to the next of each level of anchors.
        self._strides = [ANY_SIDE / shape[2] for shape in shapes[-len(self._structure.rpn_logits) :]]
        self._found_anchors = self._anchors_of_graph(self._anchors_per_cell())
        self._resolve_settings()

    def _resolve_settings(self) -> None:
        """Decide over every setting on which the answers depend."""
        found = self._found()
        unused = {"MODEL.ROI_MASK_HEAD.POOLER_TYPE"} if self._structure.mask_crops is None else set()
        if self._found_anchors is not None:
            unused |= {name for name in SETTINGS if name.startswith("MODEL.ANCHOR_GENERATOR.")}
        mean = found.get("MODEL.PIXEL_MEAN", self._config.values.get("MODEL.PIXEL_MEAN"))
        if "INPUT.FORMAT" not in self._config.values and mean is not None and mean[0] > mean[2]:
            found["INPUT.FORMAT"] = "RGB"
            self._warnings.append(
                f"the mean of its pixels begins with red, so INPUT.FORMAT = RGB is assumed; {self._name}.yaml beside"
                " the model may say BGR"
            )
        wanted = [name for name in SETTINGS if name not in unused]
        self._settings: Values
        self._settings, warnings = resolve(found, self._config, wanted, self._name)
        self._warnings += warnings

    def _found(self) -> Values:
        """What the graph says of the settings; anchors and limits of widths and heights are read by themselves."""
        proposals, detections = self._structure.proposal_nms, self._structure.detection_nms
        mean, deviation = self._pixel_statistics()
        values = {
            "MODEL.PIXEL_MEAN": mean,
            "MODEL.PIXEL_STD": deviation,
            "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": self.threshold(proposals, with_sizes=True),
            "MODEL.RPN.BBOX_REG_WEIGHTS": self.box_weights(self._structure.rpn_encodings[0]),
            "MODEL.RPN.PRE_NMS_TOPK_TEST": self.pre_nms_top_n(proposals),
            "MODEL.RPN.POST_NMS_TOPK_TEST": self.post_nms_top_n(proposals),
            "MODEL.RPN.NMS_THRESH": self.iou_threshold(proposals),
            "MODEL.ROI_HEADS.SCORE_THRESH_TEST": self.threshold(detections, with_sizes=False),
            "MODEL.ROI_HEADS.NMS_THRESH_TEST": self.iou_threshold(detections),
            "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": self.box_weights(self._structure.box_encodings),
            "MODEL.ROI_BOX_HEAD.POOLER_TYPE": self._pooler_type(self._structure.crops),
            "TEST.DETECTIONS_PER_IMAGE": self.post_nms_top_n(detections),
        }
        if self._structure.mask_crops is not None:
            values["MODEL.ROI_MASK_HEAD.POOLER_TYPE"] = self._pooler_type(self._structure.mask_crops)
        return {name: value for name, value in values.items() if value is not None}

    def _pooler_type(self, crops: RoiAlignGroup) -> str | None:
        if self._graph.opset < HALF_PIXEL_OPSET:
            return "ROIAlignV2" if all(map(self._is_shifted, crops.aligns)) else None
        return "ROIAlignV2" if self.crop(crops).aligned else "ROIAlign"

    def _is_shifted(self, align: Node) -> bool:
        """Whether regions are moved by half a cell first, as exporters of 2020 and 2021 stated alignment."""
        shift = self._graph.producer(align.inputs[1])
        amount = self.constant_input(shift, 1) if shift is not None and shift.op == "Sub" else None
        return amount is not None and math.isclose(amount, 0.5 / align.real("spatial_scale", 1), rel_tol=1e-3)

    def _pixel_statistics(self) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
        """(mean, deviation) as a config gives them: (pixels - mean) / deviation."""
        path = self.image_path()
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

    def _score_activation(self) -> Literal["softmax", "sigmoid"]:
        """What makes scores of class logits: ROI_BOX_HEAD.USE_SIGMOID_CE asks for a sigmoid."""
        for node in self._graph.downstream([self._structure.class_logits]):
            if node.op == "Softmax":
                return "softmax"
            if node.op == "Sigmoid":
                return "sigmoid"
        raise ModelFileError("converts its class scores by neither softmax nor sigmoid, which is not supported")

    # The nets.

    def _finished(self, trunk: ir.NetGraph) -> ir.NetGraph:
        return swap_rgb(trunk) if self._settings["INPUT.FORMAT"] == "BGR" else trunk

    def _box_outputs(self) -> list[Output]:
        encodings, logits = self._structure.box_encodings, self._structure.class_logits
        background_first = [self._class_count, *range(self._class_count)]
        return [Output(encodings, reorder_deltas(self.channels(encodings))), Output(logits, background_first)]

    def _mask_channels(self, count: int) -> range:
        return range(count) if count in (1, self._class_count) else range(0)

    def _pooler(self, crops: RoiAlignGroup, crop: CropSpec, pyramid: PyramidSpec | None) -> CropSpec:
        head = "BOX" if crops is self._structure.crops else "MASK"
        aligned = self._settings[f"MODEL.ROI_{head}_HEAD.POOLER_TYPE"] == "ROIAlignV2"
        # Detectron2 adds its epsilon to the size, where no float32 notices, not to the level.
        pyramid = replace(pyramid or default_pyramid(crops, crop), epsilon=0.0)
        return replace(crop, pyramid=pyramid, aligned=aligned)

    # The image.

    def _image(self) -> tuple[ResizeSpec, tuple[NormalizationStep, ...]]:
        return image_rules(self._settings, max(self._coarsest_stride(), 32))

    # Anchors.

    def _anchors(self, trunk: ir.NetGraph, per_cell: list[int]) -> tuple[AnchorSpec, ...]:
        return self._found_anchors or self._anchors_of_config(per_cell)

    def _anchors_of_graph(self, per_cell: list[int]) -> tuple[AnchorSpec, ...] | None:
        boxes = self._structure.proposal_nms.inputs[0]
        levels = self.anchors(boxes, per_cell)
        if levels is None:
            return self._folded(per_cell)
        starts = self._starts(boxes)
        if not all(stride in starts for stride in self._strides):
            return None
        return tuple(
            AnchorSpec(level.sizes, (stride, stride), (starts[stride],) * 2, clip_to_image=False)
            for level, stride in zip(levels, self._strides, strict=True)
        )

    def _starts(self, boxes: str) -> dict[float, float]:
        """Where the cells begin, by the pixels from one to the next."""
        found = {}
        for node in self._graph.upstream([boxes], lambda node: node.op in WEIGHTED):
            if node.op == "Range":
                start, step = (self.input_number(node, index) for index in (0, 2))
                if start is not None and step is not None:
                    found[step] = start
        return found

    def _folded(self, per_cell: list[int]) -> tuple[AnchorSpec, ...] | None:
        """The same where sides and centres of all anchors of an image of one size stand in the file."""
        levels = []
        for encodings, stride, count in zip(self._structure.rpn_encodings, self._strides, per_cell, strict=True):
            axes = {start: self.sides_and_centres(node) for start, node in self._coordinates(encodings) if start < 2}
            x, y = axes.get(0), axes.get(1)
            if x is None or y is None or min(len(each) for each in (*x, *y)) < count:
                return None
            sizes = tuple(
                (float(height), float(width)) for height, width in zip(y[0][:count], x[0][:count], strict=True)
            )
            levels.append(AnchorSpec(sizes, (stride, stride), (float(y[1][0]), float(x[1][0])), clip_to_image=False))
        return tuple(levels)

    def _anchors_of_config(self, per_cell: list[int]) -> tuple[AnchorSpec, ...]:
        where = f"put the config that it was exported with beside it, as {self._name}.yaml"
        return anchors_of(self._settings, self._strides, per_cell, where)

    # Proposals and detections.

    def _stages(self) -> DetectorStages:
        return DetectorStages(
            self._coder(self._structure.rpn_encodings[0], "MODEL.RPN.BBOX_REG_WEIGHTS"),
            proposal_nms(self._settings),
            self._coder(self._structure.box_encodings, "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS"),
            detection_nms(self._settings),
        )

    def _coder(self, encodings: str, weights: str) -> BoxCoder:
        return coder(self._settings[weights], self.bbox_xform_clip(encodings))


_IMAGE_OPS = frozenset({"Sub", "Add", "Div", "Mul", "Cast", "Pad", "Unsqueeze", "Squeeze", "Reshape"})
_KINDS = {"sub": "mean", "add": "mean", "div": "deviation", "mul": "deviation"}


def _spread(step: NormalizationStep, turned: bool = False) -> tuple[float, ...]:
    """The operand of a step for each channel."""
    operand = step.operand * (3 // len(step.operand))
    return tuple(-each for each in operand) if turned else operand
