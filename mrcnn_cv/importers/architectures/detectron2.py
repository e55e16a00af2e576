"""Weights of Detectron2's Mask and Faster R-CNN (FPN, C4 and DC5), and the config that belongs to them.

Source of names, defaults and rules: Detectron2's config/defaults.py, its modeling package and the READMEs of its model
zoo. The background becomes the first class and BGR becomes RGB here, once and for all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.passes.split_transposed_conv import split_transposed_conv
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.architectures.backbones import (
    STAGES,
    ResNetRule,
    coarser,
    feature_pyramid,
    residual_name,
    resnet,
)
from mrcnn_cv.importers.architectures.heads import (
    BoxHead,
    fully_connected_head,
    mask_head,
    region_proposals,
    shared_stage_head,
)
from mrcnn_cv.importers.architectures.layers import LayerStack, NormRule
from mrcnn_cv.importers.architectures.weights import NamedWeights
from mrcnn_cv.importers.checkpoints.base import ModelCheckpoint
from mrcnn_cv.importers.config_schema import Config, Setting, one_of, whole
from mrcnn_cv.importers.pytorch.detectron2_config import SETTINGS, resolve
from mrcnn_cv.importers.pytorch.detectron2_rules import (
    anchors_of,
    coder,
    detection_nms,
    image_rules,
    proposal_nms,
    swap_rgb,
)
from mrcnn_cv.model.definition import CropSpec, MaskSpec, ModelDefinition, PyramidSpec

EPSILON = 1e-5
"""Of FrozenBatchNorm2d and of torch's own."""

ANY_SIDE = 4096
"""An input of which every level of a pyramid has a whole number of cells."""

_MARKS = ("proposal_generator.rpn_head.objectness_logits.weight", "roi_heads.box_predictor.cls_score.weight")
_CASCADE = "roi_heads.box_predictor.0.cls_score.weight"

_RENAMED = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(?:backbone\.bottom_up|backbone|roi_heads)\.(?=stem\.|res[2-5]\.)", r""),
        (r"backbone\.fpn_(lateral|output)([2-5])\.", r"fpn_\g<1>{level}."),
        (r"proposal_generator\.rpn_head\.conv\.(?=weight|bias)", r"rpn.conv1."),
        (r"proposal_generator\.rpn_head\.conv\.conv(\d+)\.", r"rpn.conv{next}."),
        (r"proposal_generator\.rpn_head\.objectness_logits\.", r"rpn.logits."),
        (r"proposal_generator\.rpn_head\.anchor_deltas\.", r"rpn.deltas."),
        (r"roi_heads\.box_head\.(?=conv\d|fc\d)", r"box."),
        (r"roi_heads\.box_predictor\.cls_score\.", r"box.logits."),
        (r"roi_heads\.box_predictor\.bbox_pred\.", r"box.deltas."),
        (r"roi_heads\.mask_head\.mask_fcn(\d)\.", r"mask.conv\1."),
        (r"roi_heads\.mask_head\.deconv\.", r"mask.deconv."),
        (r"roi_heads\.mask_head\.predictor\.", r"mask.logits."),
    )
]
"""Detectron2's names → those of `NamedWeights`. {level}: two less, {next}: one more."""

_PASSED_OVER = re.compile(r"pixel_mean$|pixel_std$|.*\bcell_anchors\.\d+$|.*\.num_batches_tracked$")
"""What old files hold beside their weights."""


def _is_true(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


WEIGHTS_SETTINGS: Mapping[str, Setting] = {
    **SETTINGS,
    "MODEL.RESNETS.STRIDE_IN_1X1": Setting(_is_true, True),
    "MODEL.RESNETS.RES5_DILATION": Setting(whole(1, 2), 1),
    "MODEL.FPN.FUSE_TYPE": Setting(one_of("sum", "avg"), "sum"),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": Setting(whole(1, 64), 7),
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": Setting(whole(0, 16), 0),
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": Setting(_is_true, False),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": Setting(whole(1, 64), 14),
    "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": Setting(whole(0, 16), 0),
    "MODEL.ROI_HEADS.NUM_CLASSES": Setting(whole(1, 10**6), None),
    "MODEL.RESNETS.NORM": Setting(str, None),
    "MODEL.FPN.NORM": Setting(str, None),
    "MODEL.ROI_BOX_HEAD.NORM": Setting(str, None),
    "MODEL.ROI_MASK_HEAD.NORM": Setting(str, None),
}
"""Those of a graph, and those that a graph has in its nodes."""

_NORMS = tuple(name for name in WEIGHTS_SETTINGS if name.endswith("NORM"))
_TOLD_BY_WEIGHTS = frozenset({"MODEL.ROI_HEADS.NUM_CLASSES", *_NORMS})


_ONE_MAP = {
    "MODEL.ANCHOR_GENERATOR.SIZES": ((32.0, 64.0, 128.0, 256.0, 512.0),),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 6000,
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "FPN": {},
    "C4": {**_ONE_MAP, "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 14},
    "DC5": {**_ONE_MAP, "MODEL.RESNETS.RES5_DILATION": 2},
}
"""Those of Base-RCNN-C4.yaml and Base-RCNN-DilatedC5.yaml that are others."""


def is_detectron2(checkpoint: ModelCheckpoint) -> bool:
    """Whether weights have the names of Detectron2's two-stage detectors."""
    arrays = checkpoint.arrays
    return _MARKS[0] in arrays and (_MARKS[1] in arrays or _CASCADE in arrays)


def renamed(original: str) -> str | None:
    """What a weight is called here; its own name where nothing here has one for it, so that it counts as unused."""
    if _PASSED_OVER.match(original):
        return None
    for pattern, name in _RENAMED:
        if match := pattern.match(original):
            number = int(match[match.lastindex]) if match.lastindex and match[match.lastindex].isdecimal() else 0
            name = name.replace("{level}", str(number - 2)).replace("{next}", str(number + 1))
            return match.expand(name) + original[match.end() :]
    return original


def read_model(checkpoint: ModelCheckpoint, config: Config, name: str) -> ModelDefinition:
    """The ModelDefinition of weights that `is_detectron2` knows.

    config: the values of the YAML beside them. name: of the file without its suffix, for warnings. What neither says is
    Detectron2's default, with a warning. Raises ModelFileError (without the file's name) for weights that do not belong
    together, and for parts of Detectron2's that are not built here.
    """
    return _Detectron2Weights(checkpoint, config, name).definition()


class _Detectron2Weights:
    def __init__(self, checkpoint: ModelCheckpoint, config: Config, name: str) -> None:
        self._checkpoint, self._config, self._name = checkpoint, config, name
        self._weights = NamedWeights(checkpoint.arrays, renamed)
        problem = self._not_built()
        if problem is not None:
            raise ModelFileError(
                f"is a Detectron2 model {problem}, which is not built from weights yet: export it to ONNX with"
                " Detectron2's tools/deploy/export_model.py by tracing"
            )
        self._kind = self._kind_of_backbone()
        defaults = _DEFAULTS[self._kind]
        known = {
            each: Setting(setting.check, defaults.get(each, setting.default))
            for each, setting in WEIGHTS_SETTINGS.items()
        }
        left_out = [] if self._has_masks and self._kind != "C4" else ["MASK_HEAD"]
        left_out += [] if self._kind == "FPN" else ["MODEL.FPN."]
        wanted = [each for each in known if each not in _TOLD_BY_WEIGHTS and not any(part in each for part in left_out)]
        self._settings, self._warnings = resolve({}, config, wanted, name, known)
        dilation = self._settings["MODEL.RESNETS.RES5_DILATION"]
        self._rule = ResNetRule(self._settings["MODEL.RESNETS.STRIDE_IN_1X1"], (1, 1, 1, dilation))

    def _kind_of_backbone(self) -> Literal["FPN", "C4", "DC5"]:
        if "fpn_output0.weight" in self._weights:
            return "FPN"
        is_shared = any(each.startswith("roi_heads.res5.") for each in self._checkpoint.arrays)
        return "C4" if is_shared else "DC5"

    @property
    def _has_masks(self) -> bool:
        return "mask.logits.weight" in self._weights

    def _not_built(self) -> str | None:
        """What sets it apart from the models that are, in words."""
        if _CASCADE in self._checkpoint.arrays:
            return "with a cascade of box heads"
        for setting in _NORMS:
            if self._config.values.get(setting) == "GN":
                return f"with group norm ({setting})"
        for part in ("box.conv1", "mask.conv1", "fpn_output0"):
            if f"{part}.norm.weight" in self._weights and f"{part}.norm.running_mean" not in self._weights:
                return "with group norm"
        if any("keypoint" in each for each in self._checkpoint.arrays):
            return "for key points"
        return None

    def definition(self) -> ModelDefinition:
        settings = self._settings
        trunk, strides, levels, anchors = self._trunk()
        crop = self._crop("BOX", strides[:levels])
        head = self._box_head(crop)
        mask, masks = self._mask(strides[:levels], crop, head.class_count)
        unused = self._weights.unused()
        if unused:
            raise ModelFileError(
                f"has {len(unused)} weights that belong to no layer of Detectron2's Faster or Mask R-CNN,"
                f" '{unused[0]}' among them: it is another model, which is not supported"
            )
        self._check_class_count(head.class_count)
        # Maps of one size have no need that sides are multiples of anything.
        resize, pixels = image_rules(settings, max(round(strides[levels - 1]), 32) if self._kind == "FPN" else None)
        where = f"put the config that it was trained with beside it, as {self._name}.yaml"
        return ModelDefinition(
            family="Detectron2",
            architecture="Mask R-CNN" if mask else "Faster R-CNN",
            backbone=f"{residual_name(self._stack(ir.IMAGE))} {self._kind}",
            exporter=f"weights, {self._checkpoint.kind}",
            class_count=head.class_count,
            resize=resize,
            pixels=pixels,
            anchors=anchors_of(settings, strides, [anchors] * len(strides), where),
            proposal_coder=coder(settings["MODEL.RPN.BBOX_REG_WEIGHTS"]),
            proposal_nms=proposal_nms(settings),
            crop=replace(crop, flat=head.flat),
            box_coder=coder(settings["MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS"]),
            class_agnostic_boxes=head.class_agnostic,
            score_activation="sigmoid" if settings["MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE"] else "softmax",
            logit_factor=1.0,
            detection_nms=detection_nms(settings),
            mask=mask,
            trunk=swap_rgb(trunk) if settings["INPUT.FORMAT"] == "BGR" else trunk,
            box_head=head.net,
            mask_head=masks,
            objectness="logits",
            warnings=tuple(self._warnings),
        )

    def _stack(self, start: str) -> LayerStack:
        return LayerStack(self._weights, start, NormRule(EPSILON))

    def _channels(self) -> int:
        """Of the maps that heads cut their regions from."""
        stage = 4 if self._kind == "C4" else 5
        last = self._weights.count(rf"res{stage}\.(\d+)\.") - 1
        name = "fpn_output0" if self._kind == "FPN" else f"res{stage}.{last}.conv3"
        return int(self._weights.take(f"{name}.weight", 4).shape[0])

    def _trunk(self) -> tuple[ir.NetGraph, list[float], int, int]:
        """(the net, pixels from cell to cell of each level of anchors, levels for regions, anchors of a cell)."""
        net = self._stack(ir.IMAGE)
        found = resnet(net, self._rule, STAGES[:-1] if self._kind == "C4" else STAGES)
        maps = [at for at, _ in found.values()]
        levels = self._pyramid(net, maps) if self._kind == "FPN" else maps[-1:]
        looked_at = [*levels, coarser(net, levels[-1])] if self._kind == "FPN" else levels
        encodings, logits, anchors = region_proposals(net, looked_at)
        trunk = net.finish([*levels, *encodings, *logits])
        shapes = ShapeInference(trunk).results({ir.IMAGE: (1, 3, ANY_SIDE, ANY_SIDE)})
        return trunk, [ANY_SIDE / shape[2] for shape in shapes[-len(logits) :]], len(levels), anchors

    def _pyramid(self, net: LayerStack, maps: list[str]) -> list[str]:
        count = self._weights.count(r"fpn_lateral(\d+)\.")
        if count != len(maps):
            raise ModelFileError(f"has a pyramid of {count} levels for {len(maps)} stages of its backbone")
        return feature_pyramid(net, maps, mean=self._settings["MODEL.FPN.FUSE_TYPE"] == "avg")

    def _crop(self, head: str, strides: list[float]) -> CropSpec:
        settings, name = self._settings, f"MODEL.ROI_{head}_HEAD"
        side = settings[f"{name}.POOLER_RESOLUTION"]
        pyramid = PyramidSpec(len(strides), canonical_level=4 - round(math.log2(strides[0])), epsilon=0.0)
        return CropSpec(
            (side, side),
            "roi_align",
            settings[f"{name}.POOLER_SAMPLING_RATIO"],
            aligned=settings[f"{name}.POOLER_TYPE"] == "ROIAlignV2",
            scales=tuple(1 / stride for stride in strides),
            pyramid=pyramid if len(strides) > 1 else None,
        )

    def _box_head(self, crop: CropSpec) -> BoxHead:
        net = self._stack(ir.CROPS)
        if self._kind == "C4":
            return shared_stage_head(net, self._channels(), self._rule)
        return fully_connected_head(net, self._channels(), crop.size, background_last=True)

    def _mask(
        self, strides: list[float], box_crop: CropSpec, classes: int
    ) -> tuple[MaskSpec | None, ir.NetGraph | None]:
        if not self._has_masks:
            return None, None
        is_shared = self._kind == "C4"
        crop = box_crop if is_shared else self._crop("MASK", strides)
        shared = (self._channels(), self._rule) if is_shared else None
        head, agnostic = mask_head(self._stack(ir.CROPS), classes, background=False, shared=shared)
        (shape,) = ShapeInference(head).results({ir.CROPS: (1, self._channels(), *crop.size)})
        head, side = split_transposed_conv(head)
        return MaskSpec((shape[2], shape[3]), crop, agnostic, sampling="centers", mask_block_size=side), head

    def _check_class_count(self, count: int) -> None:
        said = self._config.values.get("MODEL.ROI_HEADS.NUM_CLASSES")
        if said not in (None, count):
            self._warnings.append(
                f"{self._config.path} says MODEL.ROI_HEADS.NUM_CLASSES = {said}, the weights have {count} classes: the"
                " weights' number is used"
            )
