"""The family of torchvision: a Faster or Mask R-CNN, traced to ONNX by PyTorch's legacy exporter.

Source of the defaults: torchvision's documentation of FasterRCNN, MaskRCNN and AnchorGenerator.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import NetGraph
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import Output
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.pytorch.reader import (
    DetectorReader,
    DetectorStages,
    default_pyramid,
    reorder_deltas,
)
from mrcnn_cv.importers.pytorch.structure import PyTorchStructure, RoiAlignGroup
from mrcnn_cv.model.definition import (
    BBOX_XFORM_CLIP,
    AnchorSpec,
    BoxCoder,
    CropSpec,
    ModelDefinition,
    NmsSpec,
    NormalizationStep,
    PyramidSpec,
    ResizeSpec,
)

Value = TypeVar("Value")

SIDES = (800, 1333)
DIVISOR = 32
ANCHOR_SIDES = (32, 64, 128, 256, 512)
ANCHOR_RATIOS = (0.5, 1.0, 2.0)
PROPOSAL_MIN_SIDE, DETECTION_MIN_SIDE = 1e-3, 1e-2


def read_model(graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure) -> ModelDefinition:
    """The ModelDefinition of a graph with this structure.

    What the graph does not hold is torchvision's default, with a warning. Raises ModelFileError (without the file's
    name) for another kind of graph.
    """
    return _TorchvisionReader(graph, values, structure).definition()


class _TorchvisionReader(DetectorReader):
    FAMILY, OBJECTNESS, MASK_SAMPLING = "torchvision", "sigmoid", "expanded"

    def _prepare(self, trunk: NetGraph) -> None:
        classes, boxes = self._class_count, self.channels(self._structure.box_encodings)
        if classes < 1 or boxes != 4 * (classes + 1):
            raise ModelFileError(
                f"predicts {classes + 1} scores and {boxes} box numbers per region, where torchvision's models have"
                " four of the latter for each of the former"
            )

    def _assumed(self, found: Value | None, default: Value, what: str, shown: str = "") -> Value:
        """A number of the graph, or else torchvision's default, of which the user is told."""
        if found is not None:
            return found
        self._warnings.append(f"the model does not hold {what}: torchvision's default is assumed ({shown or default})")
        return default

    def _box_outputs(self) -> list[Output]:
        # The background has boxes, too, which nobody looks at.
        encodings, logits = self._structure.box_encodings, self._structure.class_logits
        return [Output(encodings, reorder_deltas(4 * (self._class_count + 1))[4:]), Output(logits)]

    def _mask_channels(self, count: int) -> range:
        return range(1, count) if count == self._class_count + 1 else range(0)

    def _pooler(self, crops: RoiAlignGroup, crop: CropSpec, pyramid: PyramidSpec | None) -> CropSpec:
        if len(crops.aligns) == 1:
            return crop
        default = default_pyramid(crops, crop, epsilon=1e-6)
        return replace(crop, pyramid=self._assumed(pyramid, default, "how regions are given to its levels"))

    # The image.

    def _image(self) -> tuple[ResizeSpec, tuple[NormalizationStep, ...]]:
        path = self.image_path()
        pixels = self._pixels(path)
        return self._resize(path), pixels

    def _pixels(self, path: list[Node]) -> tuple[NormalizationStep, ...]:
        steps = self.pixel_steps(path)
        if not steps:
            default = (NormalizationStep("sub", (0.485, 0.456, 0.406)), NormalizationStep("div", (0.229, 0.224, 0.225)))
            steps = self._assumed(None, default, "mean and deviation of its pixels")
        scaled = steps[0].op in ("div", "mul") and len(steps) > 1
        if scaled or max(abs(each) for each in steps[0].operand) > 2:
            # Whoever exported it put the division by 255 inside, or trained without.
            return steps
        return (NormalizationStep("div", (255.0,)), *steps)

    def _resize(self, path: list[Node]) -> ResizeSpec:
        resizes = [node for node in path if node.op in ("Resize", "Upsample")]
        pads = [node for node in path if node.op == "Pad"]
        spec = ResizeSpec("identity")
        if len(resizes) > 1:
            raise ModelFileError("resizes its image more than once, which is not supported")
        if resizes:
            resize = resizes[0]
            rule = resize.text("coordinate_transformation_mode", "half_pixel")
            if resize.text("mode", "nearest") != "linear" or rule not in _HALF_PIXEL or resize.whole("antialias", 0):
                raise ModelFileError(f"resizes images by the rule '{rule}', which is not supported")
            spec = self._sides(resize)
        multiple = self.pad_multiple(pads[0]) if pads else None
        if multiple is None and (pads or resizes):
            multiple = self._assumed(None, DIVISOR, "the number whose multiples the sides of its input are")
        coarsest = self._coarsest_stride()
        if multiple is not None and len(self._structure.features) > 1 and multiple % coarsest:
            raise ModelFileError(
                f"pads images to multiples of {multiple} while its coarsest map has {coarsest} pixels per cell, which"
                " is not supported"
            )
        return replace(spec, rounding="down", half_pixel_centers=True, pad_multiple=multiple, pad_prepared=True)

    def _sides(self, resize: Node) -> ResizeSpec:
        limits = self.side_limits(resize)
        if limits is None:
            sizes = self._values.find(self._graph.input(resize, 3))
            given = next(iter(self._graph.inputs.values()), ())[-2:]
            if sizes is not None and sizes.size == 4:
                height, width = (int(side) for side in sizes.ravel()[2:])
                if None in given:
                    return ResizeSpec("fixed", height=height, width=width)
                if _floored(given) != (height, width):
                    raise ModelFileError(
                        f"was exported for images of one size, and a simplifier has left of its resizing only that they"
                        f" become {width}x{height}: export it again with dynamic_axes for its height and width"
                    )
        shorter, longer = self._assumed(limits, SIDES, "the sides that it resizes images to")
        return ResizeSpec("keep_aspect", shorter, longer)

    # Proposals and detections.

    def _anchors(self, trunk: NetGraph, per_cell: list[int]) -> tuple[AnchorSpec, ...]:
        found = self.anchors(self._structure.proposal_nms.inputs[0], per_cell, self._structure.rpn_encodings[0])
        if found is None and per_cell != [len(ANCHOR_RATIOS)] * len(ANCHOR_SIDES):
            raise ModelFileError("does not hold its anchors, and they are not torchvision's: export it again")
        return self._assumed(found, default_anchors(), "its anchors", f"sides of {ANCHOR_SIDES}")

    def _stages(self) -> DetectorStages:
        structure = self._structure
        proposals, detections = structure.proposal_nms, structure.detection_nms
        minimum = self.threshold(proposals, with_sizes=False)
        proposal_coder = self._coder(structure.rpn_encodings[0], (1.0, 1.0, 1.0, 1.0), "proposals")
        proposal_nms = replace(
            self._nms(proposals, "proposals", 0.7, 1000, PROPOSAL_MIN_SIDE),
            # What is scored at least so much stays: above the next smaller number.
            score_threshold=-math.inf if not minimum else float(np.nextafter(np.float32(minimum), np.float32(-1))),
            pre_nms_top_n=self._assumed(
                self.pre_nms_top_n(proposals), 1000, "how many candidates for proposals it looks at per level"
            ),
            per_level=True,
        )
        box_coder = self._coder(structure.box_encodings, (10.0, 10.0, 5.0, 5.0), "detections")
        threshold = self.threshold(detections, with_sizes=False)
        detection_nms = replace(
            self._nms(detections, "detections", 0.5, 100, DETECTION_MIN_SIDE),
            score_threshold=self._assumed(threshold, 0.05, "the score that detections must reach"),
        )
        return DetectorStages(proposal_coder, proposal_nms, box_coder, detection_nms)

    def _nms(self, nms: Node, what: str, iou_threshold: float, count: int, min_side: float) -> NmsSpec:
        """A suppression without its score threshold; with defaults for what the graph does not hold."""
        count = self._assumed(self.post_nms_top_n(nms), count, f"how many {what} it keeps")
        return NmsSpec(
            score_threshold=-math.inf,
            iou_threshold=self._assumed(self.iou_threshold(nms), iou_threshold, f"how far {what} may overlap"),
            max_per_class=count,
            max_total=count,
            clip_first=True,
            min_box_size=self._assumed(self.threshold(nms, with_sizes=True), min_side, f"the least side of {what}"),
        )

    def _coder(self, encodings: str, default: tuple[float, ...], what: str) -> BoxCoder:
        weights, clip = self.box_weights(encodings), self.bbox_xform_clip(encodings)
        x, y, width, height = self._assumed(weights, default, f"the weights of the boxes of {what}")
        clip = self._assumed(clip, BBOX_XFORM_CLIP, f"how far the boxes of {what} may grow")
        return BoxCoder((y, x, height, width), clip)


_HALF_PIXEL = frozenset({"half_pixel", "pytorch_half_pixel"})


def _floored(given: tuple[int | None, ...]) -> tuple[int, ...]:
    """What torchvision's default makes of an image of the `given` (height, width)."""
    sides = [side or 1 for side in given] or [1]
    scale = min(SIDES[0] / min(sides), SIDES[1] / max(sides))
    return tuple(math.floor(side * scale) for side in sides)


def default_anchors() -> tuple[AnchorSpec, ...]:
    """The anchors of torchvision's models with five levels; whole numbers, as its AnchorGenerator rounds them."""
    ratios = np.sqrt(np.array(ANCHOR_RATIOS, dtype=np.float32))
    levels = []
    for side in ANCHOR_SIDES:
        heights, widths = (2 * np.round(sides * np.float32(side) / 2) for sides in (ratios, 1 / ratios))
        sizes = tuple((float(height), float(width)) for height, width in zip(heights, widths, strict=True))
        levels.append(AnchorSpec(sizes, None, (0.0, 0.0), clip_to_image=False))
    return tuple(levels)
