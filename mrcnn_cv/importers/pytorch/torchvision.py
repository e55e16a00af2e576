"""The family of torchvision: a Faster or Mask R-CNN, traced to ONNX by PyTorch's legacy exporter.

Source of the defaults: torchvision's documentation of FasterRCNN, MaskRCNN and AnchorGenerator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import CROPS, IMAGE, NetGraph
from mrcnn_cv.graph.passes.split_transposed_conv import split_transposed_conv
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import Map, Output, extract_net
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.pytorch.hyperparameters import HyperparameterReader
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

Value = TypeVar("Value")

SIDES = (800, 1333)
DIVISOR = 32
ANCHOR_SIDES = (32, 64, 128, 256, 512)
ANCHOR_RATIOS = (0.5, 1.0, 2.0)
BBOX_XFORM_CLIP = math.log(1000 / 16)
PROPOSAL_MIN_SIDE, DETECTION_MIN_SIDE = 1e-3, 1e-2


def read_model(graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure) -> ModelDefinition:
    """The ModelDefinition of a graph with this structure.

    What the graph does not hold is torchvision's default, with a warning. Raises ModelFileError (without the file's
    name) for another kind of graph.
    """
    return _TorchvisionReader(graph, values, structure).spec()


class _TorchvisionReader:
    def __init__(self, graph: OnnxGraph, values: OnnxConstantFolder, structure: PyTorchStructure) -> None:
        self._graph = graph
        self._values = values
        self._structure = structure
        self._read = HyperparameterReader(graph, self._values)
        self._warnings: list[str] = []

    def spec(self) -> ModelDefinition:
        structure = self._structure
        class_count = self._channels(structure.class_logits) - 1
        boxes = self._channels(structure.box_encodings)
        if class_count < 1 or boxes != 4 * (class_count + 1):
            raise ModelFileError(
                f"predicts {class_count + 1} scores and {boxes} box numbers per region, where torchvision's models have"
                " four of the latter for each of the former"
            )
        crop, box_head = self._head(structure.crops, self._box_outputs(class_count))
        mask, mask_head = self._mask(class_count)
        path = self._read.image_path(structure.image)
        steps = self._pixels(path)
        return ModelDefinition(
            family="torchvision",
            architecture="Mask R-CNN" if mask else "Faster R-CNN",
            backbone=self._backbone(),
            exporter=f"{self._graph.exporter or 'unknown'}, ONNX opset {self._graph.opset}",
            class_count=class_count,
            resize=self._resize(path),
            pixels=steps,
            anchors=self._anchors(),
            proposal_coder=self._coder(
                structure.rpn_encodings[0], structure.proposal_nms, (1.0, 1.0, 1.0, 1.0), "proposals"
            ),
            proposal_nms=self._proposal_nms(),
            crop=crop,
            box_coder=self._coder(
                structure.box_encodings, structure.detection_nms, (10.0, 10.0, 5.0, 5.0), "detections"
            ),
            class_agnostic_boxes=False,
            score_activation="softmax",
            logit_factor=1.0,
            detection_nms=self._detection_nms(),
            mask=mask,
            trunk=self._trunk(),
            box_head=box_head,
            mask_head=mask_head,
            objectness="sigmoid",
            warnings=tuple(dict.fromkeys(self._warnings)),
        )

    def _channels(self, tensor: str) -> int:
        return channel_count(self._graph, self._values, tensor)

    def _assumed(self, found: Value | None, default: Value, what: str, shown: str = "") -> Value:
        """A number of the graph, or else torchvision's default, of which the user is told."""
        if found is not None:
            return found
        self._warnings.append(f"the model does not hold {what}: torchvision's default is assumed ({shown or default})")
        return default

    # The nets.

    def _trunk(self) -> NetGraph:
        structure = self._structure
        features = [Output(tensor) for tensor in structure.features]
        encodings = [Output(tensor, reorder_deltas(self._channels(tensor))) for tensor in structure.rpn_encodings]
        logits = [Output(tensor) for tensor in structure.rpn_logits]
        return extract_net(self._graph, self._values, {structure.image: Map(IMAGE)}, [*features, *encodings, *logits])

    def _box_outputs(self, class_count: int) -> list[Output]:
        # The background has boxes, too, which nobody looks at.
        return [
            Output(self._structure.box_encodings, reorder_deltas(4 * (class_count + 1))[4:]),
            Output(self._structure.class_logits),
        ]

    def _head(self, crops: RoiAlignGroup, outputs: Sequence[Output]) -> tuple[CropSpec, NetGraph]:
        crop = self._read.crop(crops)
        if len(crops.aligns) > 1:
            least = round(-math.log2(crop.scales[0]))
            default = PyramidSpec(len(crops.aligns), 4 - least, epsilon=1e-6)
            crop = replace(
                crop, pyramid=self._assumed(self._read.pyramid(crops), default, "how regions are given to its levels")
            )
        flat = self._takes_rows(crops.tensor)
        crop = replace(crop, flat=flat)
        channels = self._channels(self._structure.features[0])
        start = Map(CROPS, (channels, *crop.size), flat=flat, channels_last=flat)
        return crop, extract_net(self._graph, self._values, {crops.tensor: start}, outputs)

    def _takes_rows(self, crops: str) -> bool:
        """Whether a head begins by flattening its crops: then they are cut flat."""
        consumers = self._graph.consumers(crops)
        while len(consumers) == 1 and consumers[0].op == "Cast":
            consumers = self._graph.consumers(consumers[0].outputs[0])
        return bool(consumers) and all(consumer.op in ("Flatten", "Reshape") for consumer in consumers)

    def _mask(self, class_count: int) -> tuple[MaskSpec | None, NetGraph | None]:
        structure = self._structure
        if structure.mask_crops is None or structure.mask_logits is None:
            return None, None
        channels = self._channels(structure.mask_logits)
        if channels != class_count + 1:
            raise ModelFileError(f"predicts {channels} masks per region for {class_count} classes, which do not fit")
        crop, head = self._head(structure.mask_crops, [Output(structure.mask_logits, range(1, channels))])
        size = mask_size(head, crop, self._channels(structure.features[0]))
        head, side = split_transposed_conv(head)
        return MaskSpec(size, crop, class_agnostic=False, sampling="expanded", mask_block_size=side), head

    def _backbone(self) -> str:
        """By how many convolutions there are before the pyramid, which has two for each level."""
        nodes = self._graph.upstream(self._structure.features, lambda node: self._structure.image in node.outputs)
        ops = [node.op for node in nodes if self._structure.image not in node.outputs]
        levels = ops.count("Resize") + ops.count("Upsample") + 1
        convolutions = ops.count("Conv") - 2 * levels if levels > 1 else ops.count("Conv")
        pyramid = " FPN" if levels > 1 else ""
        if "HardSwish" in ops or "HardSigmoid" in ops:
            return f"MobileNet v3{pyramid}"
        return _RESNETS.get(convolutions, f"{convolutions} convolutions") + pyramid

    # The image.

    def _pixels(self, path: list[Node]) -> tuple[NormalizationStep, ...]:
        steps = self._read.pixel_steps(path)
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
        multiple = self._read.pad_multiple(pads[0]) if pads else None
        if multiple is None and (pads or resizes):
            multiple = self._assumed(None, DIVISOR, "the number whose multiples the sides of its input are")
        coarsest = round(1 / min(align.real("spatial_scale", 1) for align in self._structure.crops.aligns))
        if multiple is not None and len(self._structure.features) > 1 and multiple % coarsest:
            raise ModelFileError(
                f"pads images to multiples of {multiple} while its coarsest map has {coarsest} pixels per cell, which"
                " is not supported"
            )
        return replace(spec, rounding="down", half_pixel_centers=True, pad_multiple=multiple, pad_prepared=True)

    def _sides(self, resize: Node) -> ResizeSpec:
        limits = self._read.side_limits(resize)
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

    def _anchors(self) -> tuple[AnchorSpec, ...]:
        per_cell = [self._channels(tensor) for tensor in self._structure.rpn_logits]
        for count, tensor in zip(per_cell, self._structure.rpn_encodings, strict=True):
            if self._channels(tensor) != 4 * count:
                raise ModelFileError(f"scores {count} anchors per cell, but predicts {self._channels(tensor)} numbers")
        structure = self._structure
        found = self._read.anchors(structure.proposal_nms.inputs[0], per_cell, structure.rpn_encodings[0])
        if found is None and per_cell != [len(ANCHOR_RATIOS)] * len(ANCHOR_SIDES):
            raise ModelFileError("does not hold its anchors, and they are not torchvision's: export it again")
        return self._assumed(found, default_anchors(), "its anchors", f"sides of {ANCHOR_SIDES}")

    def _proposal_nms(self) -> NmsSpec:
        nms = self._structure.proposal_nms
        least = self._read.threshold(nms, with_sizes=False)
        return NmsSpec(
            # What is scored at least so much stays: above the next smaller number.
            score_threshold=-math.inf if not least else float(np.nextafter(np.float32(least), np.float32(-1))),
            iou_threshold=self._overlap(nms, 0.7, "proposals"),
            max_per_class=self._kept(nms, 1000, "proposals"),
            max_total=self._kept(nms, 1000, "proposals"),
            clip_first=True,
            pre_nms_top_n=self._assumed(
                self._read.pre_nms_top_n(nms), 1000, "how many candidates for proposals it looks at per level"
            ),
            per_level=True,
            min_box_size=self._assumed(
                self._read.threshold(nms, with_sizes=True), PROPOSAL_MIN_SIDE, "the least side of proposals"
            ),
        )

    def _detection_nms(self) -> NmsSpec:
        nms = self._structure.detection_nms
        threshold = self._read.threshold(nms, with_sizes=False)
        return NmsSpec(
            score_threshold=self._assumed(threshold, 0.05, "the score that detections must reach"),
            iou_threshold=self._overlap(nms, 0.5, "detections"),
            max_per_class=self._kept(nms, 100, "detections"),
            max_total=self._kept(nms, 100, "detections"),
            clip_first=True,
            min_box_size=self._assumed(
                self._read.threshold(nms, with_sizes=True), DETECTION_MIN_SIDE, "the least side of detections"
            ),
        )

    def _overlap(self, nms: Node, default: float, what: str) -> float:
        found = self._values.number(self._graph.input(nms, 3)) if len(nms.inputs) > 3 else None
        return self._assumed(found, default, f"how far {what} may overlap")

    def _kept(self, nms: Node, default: int, what: str) -> int:
        return self._assumed(self._read.post_nms_top_n(nms), default, f"how many {what} it keeps")

    def _coder(self, encodings: str, nms: Node, default: tuple[float, ...], what: str) -> BoxCoder:
        divisors, growth = self._read.coder(encodings, nms)
        x, y, width, height = self._assumed(divisors, default, f"the weights of the boxes of {what}")
        return BoxCoder(
            (y, x, height, width), self._assumed(growth, BBOX_XFORM_CLIP, f"how far the boxes of {what} may grow")
        )


_RESNETS = {20: "ResNet-18", 36: "ResNet-34", 53: "ResNet-50", 104: "ResNet-101", 155: "ResNet-152"}
_HALF_PIXEL = frozenset({"half_pixel", "pytorch_half_pixel"})


def _floored(given: tuple[int | None, ...]) -> tuple[int, ...]:
    """What torchvision's default makes of an image of the `given` (height, width)."""
    sides = [side or 1 for side in given] or [1]
    scale = min(SIDES[0] / min(sides), SIDES[1] / max(sides))
    return tuple(math.floor(side * scale) for side in sides)


def reorder_deltas(count: int) -> list[int]:
    """Channels dx dy dw dh of any number of boxes as ty tx th tw."""
    return [4 * (index // 4) + (1, 0, 3, 2)[index % 4] for index in range(count)]


def default_anchors() -> tuple[AnchorSpec, ...]:
    """The anchors of torchvision's models with five levels; whole numbers, as its AnchorGenerator rounds them."""
    ratios = np.sqrt(np.array(ANCHOR_RATIOS, dtype=np.float32))
    levels = []
    for side in ANCHOR_SIDES:
        heights, widths = (2 * np.round(sides * np.float32(side) / 2) for sides in (ratios, 1 / ratios))
        sizes = tuple((float(height), float(width)) for height, width in zip(heights, widths, strict=True))
        levels.append(AnchorSpec(sizes, None, (0.0, 0.0), clip_to_image=False))
    return tuple(levels)
