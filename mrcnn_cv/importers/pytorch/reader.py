"""What torchvision and Detectron2 have in common: a Faster or Mask R-CNN, traced to ONNX, becomes a ModelDefinition."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import CROPS, IMAGE, NetGraph
from mrcnn_cv.graph.passes.split_transposed_conv import split_transposed_conv
from mrcnn_cv.importers.onnx.extract import Map, Output, extract_net
from mrcnn_cv.importers.pytorch.hyperparameters import PyTorchHyperparameterReader
from mrcnn_cv.importers.pytorch.structure import RoiAlignGroup, mask_size
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


class DetectorStages(NamedTuple):
    """How boxes are decoded and suppressed, first for proposals, then for detections."""

    proposal_coder: BoxCoder
    proposal_nms: NmsSpec
    box_coder: BoxCoder
    detection_nms: NmsSpec


class DetectorReader(PyTorchHyperparameterReader, ABC):
    """Reads one graph; a family tells its defaults, and where it differs."""

    FAMILY: ClassVar[str]
    OBJECTNESS: ClassVar[Literal["sigmoid", "logits"]]
    MASK_SAMPLING: ClassVar[Literal["expanded", "centers"]]

    _warnings: list[str]
    _class_count: int

    @abstractmethod
    def _prepare(self, trunk: NetGraph) -> None:
        """Look at what all else depends on; ModelFileError for a graph of another kind."""

    @abstractmethod
    def _box_outputs(self) -> list[Output]:
        """Box encodings (ty, tx, th, tw) without the background, and class logits with the background first."""

    @abstractmethod
    def _mask_channels(self, count: int) -> range:
        """The mask logits of the classes, of `count` that a layer predicts; none for a number that does not fit."""

    @abstractmethod
    def _pooler(self, crops: RoiAlignGroup, crop: CropSpec, pyramid: PyramidSpec | None) -> CropSpec:
        """A crop with its pyramid. pyramid: as the graph says it."""

    @abstractmethod
    def _image(self) -> tuple[ResizeSpec, tuple[NormalizationStep, ...]]:
        """What is done to an image before the trunk takes it."""

    @abstractmethod
    def _anchors(self, trunk: NetGraph, per_cell: list[int]) -> tuple[AnchorSpec, ...]:
        """The anchors of each level; per_cell: how many each level has for a cell."""

    @abstractmethod
    def _stages(self) -> DetectorStages:
        """Decoding and suppression of both stages."""

    def _score_activation(self) -> Literal["softmax", "sigmoid"]:
        return "softmax"

    def _finished(self, trunk: NetGraph) -> NetGraph:
        """The trunk as it is run: it takes RGB."""
        return trunk

    def definition(self) -> ModelDefinition:
        """The ModelDefinition of the graph; ModelFileError (without the file's name) for another kind of graph."""
        self._warnings = []
        self._class_count = self.channels(self._structure.class_logits) - 1
        trunk = self._trunk()
        self._prepare(trunk)
        crop, box_head = self._head(self._structure.crops, self._box_outputs())
        mask, mask_head = self._mask()
        resize, pixels = self._image()
        anchors = self._anchors(trunk, self._anchors_per_cell())
        stages = self._stages()
        return ModelDefinition(
            family=self.FAMILY,
            architecture="Mask R-CNN" if mask else "Faster R-CNN",
            backbone=self._backbone(),
            exporter=f"{self._graph.exporter or 'unknown'}, ONNX opset {self._graph.opset}",
            class_count=self._class_count,
            resize=resize,
            pixels=pixels,
            anchors=anchors,
            crop=crop,
            class_agnostic_boxes=self.channels(self._structure.box_encodings) == 4,
            score_activation=self._score_activation(),
            logit_factor=1.0,
            mask=mask,
            trunk=self._finished(trunk),
            box_head=box_head,
            mask_head=mask_head,
            objectness=self.OBJECTNESS,
            warnings=tuple(dict.fromkeys(self._warnings)),
            **stages._asdict(),
        )

    def _trunk(self) -> NetGraph:
        structure = self._structure
        encodings = [Output(tensor, reorder_deltas(self.channels(tensor))) for tensor in structure.rpn_encodings]
        outputs = [*map(Output, structure.features), *encodings, *map(Output, structure.rpn_logits)]
        return extract_net(self._graph, self._values, {structure.image: Map(IMAGE)}, outputs)

    def _head(self, crops: RoiAlignGroup, outputs: Sequence[Output]) -> tuple[CropSpec, NetGraph]:
        crop = self._pooler(crops, self.crop(crops), self.pyramid(crops))
        flat = self._takes_rows(crops.tensor)
        size = (self.channels(self._structure.features[0]), *crop.size)
        start = Map(CROPS, size, flat=flat, channels_last=flat)
        return replace(crop, flat=flat), extract_net(self._graph, self._values, {crops.tensor: start}, outputs)

    def _takes_rows(self, crops: str) -> bool:
        """Whether a head begins by flattening its crops: then they are cut flat."""
        consumers = self._graph.consumers(crops)
        while len(consumers) == 1 and consumers[0].op == "Cast":
            consumers = self._graph.consumers(consumers[0].outputs[0])
        return bool(consumers) and all(consumer.op in ("Flatten", "Reshape") for consumer in consumers)

    def _mask(self) -> tuple[MaskSpec | None, NetGraph | None]:
        crops, logits = self._structure.mask_crops, self._structure.mask_logits
        if crops is None or logits is None:
            return None, None
        count = self.channels(logits)
        channels = self._mask_channels(count)
        if not channels:
            raise ModelFileError(f"predicts {count} masks per region for {self._class_count} classes, which do not fit")
        crop, head = self._head(crops, [Output(logits, None if len(channels) == count else channels)])
        size = mask_size(head, crop, self.channels(self._structure.features[0]))
        head, side = split_transposed_conv(head)
        return MaskSpec(size, crop, count == 1, sampling=self.MASK_SAMPLING, mask_block_size=side), head

    def _backbone(self) -> str:
        """By how many convolutions there are before the pyramid, which has two for each level."""
        image = self._structure.image
        nodes = self._graph.upstream(self._structure.features, lambda node: image in node.outputs)
        ops = [node.op for node in nodes if image not in node.outputs]
        levels = ops.count("Resize") + ops.count("Upsample") + 1
        convolutions = ops.count("Conv") - (2 * levels if levels > 1 else 0)
        pyramid = " FPN" if levels > 1 else ""
        if "HardSwish" in ops or "HardSigmoid" in ops:
            return f"MobileNet v3{pyramid}"
        if convolutions not in _DEPTHS:
            return f"{convolutions} convolutions{pyramid}"
        grouped = any(node.whole("group", 1) > 1 for node in nodes if node.op == "Conv")
        return f"{'ResNeXt' if grouped else 'ResNet'}-{_DEPTHS[convolutions]}{pyramid}"

    def _coarsest_stride(self) -> int:
        """Pixels of the input per cell of the coarsest map that regions are cut from."""
        return round(1 / min(align.real("spatial_scale", 1) for align in self._structure.crops.aligns))

    def _anchors_per_cell(self) -> list[int]:
        per_cell = [self.channels(tensor) for tensor in self._structure.rpn_logits]
        for count, tensor in zip(per_cell, self._structure.rpn_encodings, strict=True):
            if self.channels(tensor) != 4 * count:
                raise ModelFileError(f"scores {count} anchors per cell, but predicts {self.channels(tensor)} numbers")
        return per_cell


_DEPTHS = {20: 18, 36: 34, 53: 50, 104: 101, 155: 152}
"""Convolutions of a residual network, and its name."""


def default_pyramid(crops: RoiAlignGroup, crop: CropSpec, epsilon: float = 0.0) -> PyramidSpec:
    """Both frameworks' pyramid: a region of 224 pixels belongs to the level with 16 pixels per cell."""
    finest = round(-math.log2(crop.scales[0]))
    return PyramidSpec(len(crops.aligns), canonical_level=4 - finest, epsilon=epsilon)


def reorder_deltas(count: int) -> list[int]:
    """Channels dx dy dw dh of any number of boxes as ty tx th tw."""
    return [4 * (index // 4) + (1, 0, 3, 2)[index % 4] for index in range(count)]
