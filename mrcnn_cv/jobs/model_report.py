"""What is known about a model file: every number that decides its answers, and its nets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mrcnn_cv.graph.shape_inference import LayerShape
from mrcnn_cv.model.definition import AnchorSpec, MaskSpec, ModelDefinition, NmsSpec
from mrcnn_cv.model.definition_json import json_key


@dataclass(frozen=True)
class NetReport:
    """One of the nets. regions: that it is given at a time; None: it is given the image."""

    name: str
    regions: int | None
    layers: tuple[LayerShape, ...]
    output_names: tuple[str, ...]

    @property
    def outputs(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """(name, shape) of each output."""
        shapes = {layer.name: tuple(layer.output) for layer in self.layers}
        return tuple((name, shapes[name]) for name in self.output_names)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def gflops(self) -> float:
        """Billions of operations; a multiplication and an addition are two."""
        return round(sum(layer.flops for layer in self.layers) / 1e9, 3)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "regions": self.regions,
            "layers": [asdict(layer) for layer in self.layers],
            "layers_by_op": dict(Counter(layer.op for layer in self.layers).most_common()),
            "outputs": [{"name": name, "shape": list(shape)} for name, shape in self.outputs],
            "parameters": self.parameters,
            "gflops": self.gflops,
        }


@dataclass(frozen=True)
class NetCheck:
    """Whether a backend of this machine runs a net; problem: why not."""

    backend: str
    net: str
    problem: str | None


@dataclass(frozen=True)
class ModelReport:
    """Everything about a model file.

    Attributes
    ----------
    path
        Of the file.
    size
        In bytes.
    sha256
        Of its bytes, in hexadecimal digits.
    definition
        Every number of the model; its nets without their weights.
    labels
        Class id to name.
    parameters
        Of all nets; those that the heads share are counted once.
    image_size
        (height, width) in pixels for which the nets' sizes and operations are counted.
    resized
        (height, width) of that image once it is resized.
    network_input
        (height, width) of that image once it is resized and padded.
    nets
        The backbone with the RPN, the box head, the mask head.
    checks
        Of every net on every backend that works here.
    warnings
        What is odd about the file, one sentence each.
    """

    path: Path
    size: int
    sha256: str
    definition: ModelDefinition
    labels: Mapping[int, str]
    parameters: int
    image_size: tuple[int, int]
    resized: tuple[int, int]
    network_input: tuple[int, int]
    nets: tuple[NetReport, ...]
    checks: tuple[NetCheck, ...]
    warnings: tuple[str, ...]

    @property
    def anchors(self) -> tuple[AnchorSpec, ...]:
        """In pixels, a level each."""
        definition = self.definition
        return tuple(_in_pixels(each) if definition.box_edges == "centers" else each for each in definition.anchors)

    @property
    def unusual(self) -> tuple[str, ...]:
        """What sets the model apart, one sentence each."""
        return tuple(_unusual(self.definition))

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON.

        Returns
        -------
        dict
            docs/inspect.md describes it.
        """
        spec, levels = self.definition, [asdict(level) for level in self.anchors]
        return {
            "file": {"path": str(self.path), "bytes": self.size, "sha256": self.sha256},
            "family": spec.family,
            "architecture": spec.architecture,
            "backbone": spec.backbone,
            "exporter": spec.exporter,
            "parameters": self.parameters,
            "classes": {
                "count": spec.class_count,
                "names": {str(number): name for number, name in sorted(self.labels.items())},
            },
            "resize": {json_key(key): value for key, value in asdict(spec.resize).items() if value is not None},
            "pixels": [asdict(step) for step in spec.pixels],
            # Of the one map, or of the finest; with a feature pyramid, then all of them.
            "anchors": levels[0] if len(levels) == 1 else {**levels[0], "levels": levels},
            "proposals": {**_nms(spec.proposal_nms), "box_scales": list(spec.proposal_coder.scales)},
            "box_head": {
                "crop_size": list(spec.crop.size),
                "box_scales": list(spec.box_coder.scales),
                "class_agnostic": spec.class_agnostic_boxes,
                "scores": spec.score_activation,
                "logit_factor": spec.logit_factor,
            },
            "detections": _nms(spec.detection_nms),
            "masks": None if spec.mask is None else _masks(spec.mask),
            "image": {
                "size": list(self.image_size),
                "resized": list(self.resized),
                "network_input": list(self.network_input),
            },
            "nets": [net.to_dict() for net in self.nets],
            "opencv": [asdict(check) for check in self.checks],
            "unusual": list(self.unusual),
            "warnings": list(self.warnings),
        }


def _in_pixels(level: AnchorSpec) -> AnchorSpec:
    """An anchor between pixel centres is one pixel shorter, and half of one nearer to the origin."""
    sizes = tuple((height + 1, width + 1) for height, width in level.sizes)
    return replace(level, sizes=sizes, offset=(level.offset[0] + 0.5, level.offset[1] + 0.5))


def _masks(mask: MaskSpec) -> dict[str, Any]:
    return {
        "size": list(mask.size),
        "crop_size": list(mask.crop.size),
        "class_agnostic": mask.class_agnostic,
        "sampling": mask.sampling,
    }


def _nms(nms: NmsSpec) -> dict[str, Any]:
    return {
        "score_threshold": None if nms.score_threshold == float("-inf") else round(nms.score_threshold, 6),
        "iou_threshold": round(nms.iou_threshold, 6),
        "max_per_class": nms.max_per_class,
        "max_total": nms.max_total,
        "clip_first": nms.clip_first,
        "class_agnostic": nms.class_agnostic,
    }


def _unusual(spec: ModelDefinition) -> list[str]:
    """What sets a model apart from those that the Object Detection API's sample configs make, one sentence each."""
    one_map = len(spec.anchors) == 1  # Families with a feature pyramid have customs of their own.
    found = [
        (spec.mask is None, "it has no mask branch: boxes only"),
        (spec.class_agnostic_boxes, "all classes share one box per region"),
        (spec.mask is not None and spec.mask.class_agnostic, "all classes share one mask per region"),
        (spec.score_activation != "softmax", f"scores are converted by {spec.score_activation}, not by softmax"),
        (spec.logit_factor != 1, f"class logits are multiplied by {spec.logit_factor:g} first"),
        (spec.resize.kind == "fixed", "images are resized to one fixed shape, which changes their aspect"),
        (spec.resize.kind == "identity", "images are not resized"),
        (spec.resize.kind == "at_least", "images are enlarged where they are small, and not resized otherwise"),
        (spec.resize.kind == "at_most", "images are reduced where they are large, and not resized otherwise"),
        (
            spec.resize.method not in ("bilinear", "antialiased"),
            f"images are resized by {spec.resize.method}, not bilinearly",
        ),
        (bool(spec.resize.gray_weights), "images are converted to gray"),
        (one_map and spec.resize.pad_to_max, "images are padded to a square"),
        (spec.resize.pad_multiple is not None, f"images are padded to multiples of {spec.resize.pad_multiple}"),
        (any(spec.resize.pad_value), f"the padding has the color {spec.resize.pad_value}"),
        (spec.detection_nms.class_agnostic, "a region counts for its best class only: boxes of all classes compete"),
        (one_map and spec.resize.half_pixel_centers, "images are resized by TensorFlow 2's rule"),
        (
            one_map and spec.anchors[0].stride not in ((16, 16), (8, 8)),
            f"anchors have a stride of {spec.anchors[0].stride}",
        ),
        (one_map and not spec.anchors[0].clip_to_image, "anchors are not clipped to the image"),
        (
            one_map and spec.proposal_nms.clip_first,
            "boxes are clipped before they are suppressed, as exporters of 2018 do",
        ),
    ]
    return [text for holds, text in found if holds]
