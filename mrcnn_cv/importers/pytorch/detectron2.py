"""The family of Detectron2: a Faster or Mask R-CNN with a feature pyramid, traced to ONNX, becomes a ModelDefinition.

Source of the layout and the defaults: Detectron2's documentation of its modeling package, config/defaults.py and
tools/deploy/export_model.py. The background becomes the first class and BGR becomes RGB here, once and for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import CROPS, IMAGE, NetGraph
from mrcnn_cv.graph.passes.split_transposed_conv import split_transposed_conv
from mrcnn_cv.graph.passes.swap_rgb import swap_rgb
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.config_schema import Values
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import Map, Output, extract_net
from mrcnn_cv.importers.onnx.model import OnnxGraph
from mrcnn_cv.importers.pytorch.detectron2_config import SETTINGS, Detectron2Config, resolve_settings
from mrcnn_cv.importers.pytorch.detectron2_hyperparameters import Detectron2HyperparameterReader, cell_sizes
from mrcnn_cv.importers.pytorch.structure import PyTorchStructure, RoiAlignGroup, channel_count, mask_size
from mrcnn_cv.model.definition import (
    AnchorSpec,
    BoxCoder,
    CropSpec,
    MaskSpec,
    ModelDefinition,
    NmsSpec,
    NormalizationStep,
    PyramidSpec,
    ResizeSpec,
)

BBOX_XFORM_CLIP = math.log(1000 / 16)
"""SCALE_CLAMP of Box2BoxTransform, which no config changes."""

ANY_SIDE = 4096
"""An input of which every level of a pyramid has a whole number of cells."""


def is_detectron2(graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure) -> bool:
    """Whether a detector has Detectron2's predictors: the background among the scores, but not among the boxes."""
    try:
        scores = channel_count(graph, values, structure.class_logits)
        return scores > 1 and channel_count(graph, values, structure.box_encodings) in (4, 4 * (scores - 1))
    except ModelFileError:
        return False


def read_model(
    graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure, config: Detectron2Config, name: str
) -> ModelDefinition:
    """The ModelDefinition of a graph with this structure.

    config: the values of the YAML beside it. name: of the file without its suffix, for warnings. What neither says is
    Detectron2's default, with a warning. Raises ModelFileError (without the file's name) for another kind of graph.
    """
    return _Detectron2Reader(graph, values, structure, config, name).spec()


class _Detectron2Reader:
    def __init__(
        self,
        graph: OnnxGraph,
        values: OnnxConstantFolder,
        structure: PyTorchStructure,
        config: Detectron2Config,
        name: str,
    ) -> None:
        self._graph = graph
        self._evaluator = values
        self._structure = structure
        if len(self._structure.crops.aligns) < 2:
            raise ModelFileError(
                "is a Detectron2 model that cuts its regions from one feature map (a C4 or DC5 variant), which is not"
                " supported: mrcnn-cv runs those with a feature pyramid (FPN)"
            )
        self._read = Detectron2HyperparameterReader(graph, self._evaluator, self._structure)
        self._config = config
        self._name = name
        self._class_count = self._channels(self._structure.class_logits) - 1
        self._warnings: list[str] = []
        self._values: Values = {}

    def spec(self) -> ModelDefinition:
        structure = self._structure
        plain_trunk = self._trunk()
        found_anchors = self._found_anchors(plain_trunk)
        self._resolve_settings(found_anchors is not None)
        crop, box_head = self._head(structure.crops, self._box_outputs(), "MODEL.ROI_BOX_HEAD.POOLER_TYPE")
        mask, mask_head = self._mask()
        return ModelDefinition(
            family="Detectron2",
            architecture="Mask R-CNN" if mask else "Faster R-CNN",
            backbone=self._backbone(),
            exporter=f"{self._graph.exporter or 'unknown'}, ONNX opset {self._graph.opset}",
            class_count=self._class_count,
            resize=self._resize(),
            pixels=self._pixels(),
            anchors=found_anchors or self._anchors_of_config(plain_trunk),
            proposal_coder=self._coder(structure.rpn_encodings[0], "MODEL.RPN.BBOX_REG_WEIGHTS"),
            proposal_nms=self._proposal_nms(),
            crop=crop,
            box_coder=self._coder(structure.box_encodings, "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS"),
            class_agnostic_boxes=self._is_agnostic(),
            score_activation=self._read.conversion(),
            logit_factor=1.0,
            detection_nms=self._detection_nms(),
            mask=mask,
            trunk=swap_rgb(plain_trunk) if self._values["INPUT.FORMAT"] == "BGR" else plain_trunk,
            box_head=box_head,
            mask_head=mask_head,
            objectness="logits",
            warnings=tuple(dict.fromkeys(self._warnings)),
        )

    def _resolve_settings(self, anchors_found: bool) -> None:
        """Decide over every setting on which the answers depend."""
        found = self._read.found()
        unused = {"MODEL.ROI_MASK_HEAD.POOLER_TYPE"} if self._structure.mask_crops is None else set()
        if anchors_found:
            unused |= {name for name in SETTINGS if name.startswith("MODEL.ANCHOR_GENERATOR.")}
        mean = found.get("MODEL.PIXEL_MEAN", self._config.values.get("MODEL.PIXEL_MEAN"))
        if "INPUT.FORMAT" not in self._config.values and mean is not None and mean[0] > mean[2]:
            found["INPUT.FORMAT"] = "RGB"
            self._warnings.append(
                f"the mean of its pixels begins with red, so INPUT.FORMAT = RGB is assumed; {self._name}.yaml beside"
                " the model may say BGR"
            )
        wanted = [name for name in SETTINGS if name not in unused]
        self._values, warnings = resolve_settings(found, self._config, wanted, self._name)
        self._warnings += warnings

    def _channels(self, tensor: str) -> int:
        return channel_count(self._graph, self._evaluator, tensor)

    def _is_agnostic(self) -> bool:
        """Whether all classes share one box; a single class has one anyway."""
        return self._channels(self._structure.box_encodings) == 4

    # The nets.

    def _trunk(self) -> NetGraph:
        structure = self._structure
        encodings = [Output(tensor, reorder_deltas(self._channels(tensor))) for tensor in structure.rpn_encodings]
        outputs = [*map(Output, structure.features), *encodings, *map(Output, structure.rpn_logits)]
        return extract_net(self._graph, self._evaluator, {structure.image: Map(IMAGE)}, outputs)

    def _box_outputs(self) -> list[Output]:
        background_first = [self._class_count, *range(self._class_count)]
        return [
            Output(self._structure.box_encodings, reorder_deltas(self._channels(self._structure.box_encodings))),
            Output(self._structure.class_logits, background_first),
        ]

    def _head(self, crops: RoiAlignGroup, outputs: Sequence[Output], pooler: str) -> tuple[CropSpec, NetGraph]:
        crop = self._read.crop(crops)
        coarsest = round(-math.log2(crop.scales[0]))
        default = PyramidSpec(len(crops.aligns), canonical_level=4 - coarsest)
        # Detectron2 adds its epsilon to the size, where no float32 notices, not to the level.
        pyramid = replace(self._read.pyramid(crops) or default, epsilon=0.0)
        taken = self._graph.consumers(crops.tensor)
        flat = bool(taken) and all(node.op in ("Flatten", "Reshape") for node in taken)
        aligned = self._values[pooler] == "ROIAlignV2"
        crop = replace(crop, pyramid=pyramid, flat=flat, aligned=aligned)
        size = (self._channels(self._structure.features[0]), *crop.size)
        start = Map(CROPS, size, flat=flat, channels_last=flat)
        return crop, extract_net(self._graph, self._evaluator, {crops.tensor: start}, outputs)

    def _mask(self) -> tuple[MaskSpec | None, NetGraph | None]:
        structure = self._structure
        if structure.mask_crops is None or structure.mask_logits is None:
            return None, None
        channels = self._channels(structure.mask_logits)
        if channels not in (1, self._class_count):
            raise ModelFileError(
                f"predicts {channels} masks per region for {self._class_count} classes, which do not fit"
            )
        crop, head = self._head(
            structure.mask_crops, [Output(structure.mask_logits)], "MODEL.ROI_MASK_HEAD.POOLER_TYPE"
        )
        size = mask_size(head, crop, self._channels(structure.features[0]))
        head, side = split_transposed_conv(head)
        mask = MaskSpec(size, crop, class_agnostic=channels == 1, sampling="centers", mask_block_size=side)
        return mask, head

    def _backbone(self) -> str:
        """By how many convolutions there are before the pyramid, which has two for each level."""
        nodes = self._graph.upstream(self._structure.features)
        convolutions = [node for node in nodes if node.op == "Conv"]
        levels = sum(node.op in ("Resize", "Upsample") for node in nodes) + 1
        groups = max((node.whole("group", 1) for node in convolutions), default=1)
        depth = _DEPTHS.get(len(convolutions) - 2 * levels)
        if depth is None:
            return f"{len(convolutions) - 2 * levels} convolutions FPN"
        return f"{'ResNeXt' if groups > 1 else 'ResNet'}-{depth} FPN"

    # The image.

    def _resize(self) -> ResizeSpec:
        shorter, longer = self._values["INPUT.MIN_SIZE_TEST"], self._values["INPUT.MAX_SIZE_TEST"]
        spec = ResizeSpec("keep_aspect", shorter, longer) if shorter else ResizeSpec("identity")
        coarsest = round(1 / min(self._read.crop(self._structure.crops).scales))
        return replace(
            spec,
            rounding="half_up",
            method="antialiased",
            half_pixel_centers=True,
            pad_multiple=max(coarsest, 32),
            pad_prepared=True,
        )

    def _pixels(self) -> tuple[NormalizationStep, ...]:
        mean, deviation = self._values["MODEL.PIXEL_MEAN"], self._values["MODEL.PIXEL_STD"]
        order = -1 if self._values["INPUT.FORMAT"] == "BGR" else 1
        steps = [NormalizationStep("sub", mean[::order])]
        return tuple(steps if set(deviation) == {1.0} else [*steps, NormalizationStep("div", deviation[::order])])

    # Proposals and detections.

    def _found_anchors(self, trunk: NetGraph) -> tuple[AnchorSpec, ...] | None:
        per_cell = [self._channels(tensor) for tensor in self._structure.rpn_logits]
        for count, tensor in zip(per_cell, self._structure.rpn_encodings, strict=True):
            if self._channels(tensor) != 4 * count:
                raise ModelFileError(f"scores {count} anchors per cell, but predicts {self._channels(tensor)} numbers")
        return self._read.anchors_at(self._strides(trunk), per_cell)

    def _strides(self, trunk: NetGraph) -> list[float]:
        """Pixels from one cell to the next of each level of anchors."""
        shapes = ShapeInference(trunk).results({IMAGE: (1, 3, ANY_SIDE, ANY_SIDE)})
        return [ANY_SIDE / shape[2] for shape in shapes[-len(self._structure.rpn_logits) :]]

    def _anchors_of_config(self, trunk: NetGraph) -> tuple[AnchorSpec, ...]:
        generator = "MODEL.ANCHOR_GENERATOR"
        strides = self._strides(trunk)
        sizes, ratios = self._values[f"{generator}.SIZES"], self._values[f"{generator}.ASPECT_RATIOS"]
        per_cell = [self._channels(tensor) for tensor in self._structure.rpn_logits]
        fits = all(len(each) in (1, len(strides)) for each in (sizes, ratios))
        cells = cell_sizes(sizes, ratios, len(strides)) if fits else []
        if [len(cell) for cell in cells] != per_cell:
            raise ModelFileError(
                f"has {per_cell} anchors per cell, which {generator}.SIZES and ASPECT_RATIOS do not give: put the"
                f" config that it was exported with beside it, as {self._name}.yaml"
            )
        offset = self._values[f"{generator}.OFFSET"]
        return tuple(
            AnchorSpec(cell, (stride, stride), (offset * stride, offset * stride), clip_to_image=False)
            for cell, stride in zip(cells, strides, strict=True)
        )

    def _proposal_nms(self) -> NmsSpec:
        values = self._values
        least = values["MODEL.PROPOSAL_GENERATOR.MIN_SIZE"]
        return NmsSpec(
            score_threshold=-math.inf,
            iou_threshold=values["MODEL.RPN.NMS_THRESH"],
            max_per_class=values["MODEL.RPN.POST_NMS_TOPK_TEST"],
            max_total=values["MODEL.RPN.POST_NMS_TOPK_TEST"],
            clip_first=True,
            pre_nms_top_n=values["MODEL.RPN.PRE_NMS_TOPK_TEST"],
            per_level=True,
            # Sides must be larger than this, not only as large.
            min_box_size=float(np.nextafter(np.float32(least), np.float32(math.inf))) if least else 0.0,
        )

    def _detection_nms(self) -> NmsSpec:
        values = self._values
        return NmsSpec(
            score_threshold=values["MODEL.ROI_HEADS.SCORE_THRESH_TEST"],
            iou_threshold=values["MODEL.ROI_HEADS.NMS_THRESH_TEST"],
            max_per_class=values["TEST.DETECTIONS_PER_IMAGE"],
            max_total=values["TEST.DETECTIONS_PER_IMAGE"],
            clip_first=True,
            # Boxes without area count for the limit; what is put out has none (detector_postprocess).
            min_box_size=None,
        )

    def _coder(self, encodings: str, weights: str) -> BoxCoder:
        x, y, width, height = self._values[weights]
        growth = self._read.bbox_xform_clip(encodings)
        return BoxCoder((y, x, height, width), BBOX_XFORM_CLIP if growth is None else growth)


_DEPTHS = {53: 50, 104: 101, 155: 152}
"""Convolutions of a residual network with bottlenecks, and its name."""


def reorder_deltas(count: int) -> list[int]:
    """Channels dx dy dw dh of any number of boxes as ty tx th tw."""
    return [4 * (index // 4) + (1, 0, 3, 2)[index % 4] for index in range(count)]
