"""A look inside a model file: what it is, every number that decides its answers, and the three nets, as plain data."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import MrcnnCvError
from mrcnn_cv.graph.ir import CROPS, IMAGE, NetGraph
from mrcnn_cv.graph.shape_inference import LayerShape, ShapeInference
from mrcnn_cv.importers.exported import family as exported
from mrcnn_cv.importers.load import ModelFile, open_model
from mrcnn_cv.model.definition import AnchorSpec, MaskSpec, ModelDefinition, NmsSpec
from mrcnn_cv.model.definition_json import MODEL_JSON
from mrcnn_cv.model.labels import labels_for
from mrcnn_cv.model.validate import feature_channels, head_shape, input_channels

if TYPE_CHECKING:
    from mrcnn_cv.engines.select import Probe

DEFAULT_IMAGE = (480, 640)
"""(height, width) of the image for which sizes and operations are counted unless another is given."""


def inspect(
    path: Path,
    image_size: tuple[int, int] = DEFAULT_IMAGE,
    labels: Path | None = None,
    config: Path | None = None,
) -> dict[str, Any]:
    """Everything about a model file, ready for JSON; docs/inspect.md describes it.

    image_size: (height, width) in pixels for the nets' sizes and operations. Raises ModelFileError, which says what a
    file is that cannot run, and LabelFileError.
    """
    file = open_model(path, config)
    spec = file.spec
    names, notes = labels_for(spec.class_count, labels, file.path.parent)
    size, padded = input_sizes(spec, image_size)
    nets = _nets(spec, padded)
    return {
        "file": _file(file.path),
        "family": spec.family,
        "architecture": spec.architecture,
        "backbone": spec.backbone,
        "exporter": spec.exporter,
        "parameters": _parameters(spec),
        "classes": {"count": spec.class_count, "names": {str(number): name for number, name in sorted(names.items())}},
        "resize": {key: value for key, value in asdict(spec.resize).items() if value is not None},
        "pixels": [asdict(step) for step in spec.pixels],
        "anchors": _anchors(spec),
        "proposals": {**_nms(spec.proposal_nms), "box_scales": list(spec.proposal_coder.scales)},
        "box_head": {
            "crop_size": list(spec.crop.size),
            "box_scales": list(spec.box_coder.scales),
            "class_agnostic": spec.class_agnostic_boxes,
            "scores": spec.score_conversion,
            "logit_factor": spec.logit_factor,
        },
        "detections": _nms(spec.detection_nms),
        "masks": None if spec.mask is None else _masks(spec.mask),
        "image": {"size": list(image_size), "resized": list(size), "network_input": list(padded)},
        "nets": nets,
        "opencv": checks(file),
        "unusual": unusual(spec),
        "warnings": [*spec.warnings, *notes],
    }


def _file(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    # The model.json of an export holds the digests of its nets, so that its own stands for all of them.
    size = len(data) + (exported.size_of_nets(path) if path.name == MODEL_JSON else 0)
    return {"path": str(path), "bytes": size, "sha256": hashlib.sha256(data).hexdigest()}


def input_sizes(spec: ModelDefinition, image_size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(size of the resized image, size of the network's input, padding included)."""
    from mrcnn_cv.inference.preprocess.resize import padded_size, resized_size

    size = resized_size(spec.resize, *image_size)
    return size, padded_size(spec.resize, size)


def _nets(spec: ModelDefinition, padded: tuple[int, int]) -> list[dict[str, Any]]:
    trunk, inputs = ShapeInference(spec.trunk), {IMAGE: (1, input_channels(spec), *padded)}
    channels = trunk.results(inputs)[0][1]
    proposals = spec.proposal_nms.max_total
    found = [_net("trunk", spec.trunk, trunk.layers(inputs), None)]
    for name, net, crop, count in (
        ("box head", spec.box_head, spec.crop, proposals),
        ("mask head", spec.mask_head, None if spec.mask is None else spec.mask.crop, 1),
    ):
        if net is not None and crop is not None:
            crops = {CROPS: head_shape(crop, channels, count)}
            found.append(_net(name, net, ShapeInference(net).layers(crops), count))
    return found


def _parameters(spec: ModelDefinition) -> int:
    """Weights and biases of all nets; those that the heads share are counted once."""
    unique: dict[bytes, int] = {}
    for net in (spec.trunk, spec.box_head, spec.mask_head):
        for layer in () if net is None else net:
            for array in layer.arrays():
                unique[hashlib.sha256(np.ascontiguousarray(array).data).digest()] = array.size
    return sum(unique.values())


def _net(name: str, net: NetGraph, found: list[LayerShape], regions: int | None) -> dict[str, Any]:
    outputs = {layer.name: list(layer.output) for layer in found}
    return {
        "name": name,
        "regions": regions,
        "layers": [asdict(layer) for layer in found],
        "layers_by_op": dict(Counter(layer.op for layer in found).most_common()),
        "outputs": [{"name": output, "shape": outputs[output]} for output in net.outputs],
        "parameters": sum(layer.parameters for layer in found),
        "gflops": round(sum(layer.flops for layer in found) / 1e9, 3),
    }


def _anchors(spec: ModelDefinition) -> dict[str, Any]:
    """In pixels; of the one map, or of the finest; with a feature pyramid, then all of them."""
    levels = [asdict(_in_pixels(level) if spec.box_edges == "centers" else level) for level in spec.anchors]
    return levels[0] if len(levels) == 1 else {**levels[0], "levels": levels}


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


def unusual(spec: ModelDefinition) -> list[str]:
    """What sets a model apart from those that the Object Detection API's sample configs make, one sentence each."""
    one_map = len(spec.anchors) == 1  # Families with a feature pyramid have customs of their own.
    found = [
        (spec.mask is None, "it has no mask branch: boxes only"),
        (spec.class_agnostic_boxes, "all classes share one box per region"),
        (spec.mask is not None and spec.mask.class_agnostic, "all classes share one mask per region"),
        (spec.score_conversion != "softmax", f"scores are converted by {spec.score_conversion}, not by softmax"),
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
        (any(spec.resize.pad_value), f"the padding has the colour {spec.resize.pad_value}"),
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


def checks(file: ModelFile) -> list[dict[str, Any]]:
    """For each net and each backend that works here: whether it takes and runs it, and where it ran."""
    from mrcnn_cv.engines import select as backends

    spec, results = file.spec, []
    channels = feature_channels(spec, ShapeInference(spec.trunk))
    nets: list[tuple[str, NetGraph, str, tuple[int, ...], tuple[int, int] | None]] = [
        ("trunk", spec.trunk, IMAGE, (1, input_channels(spec), *input_sizes(spec, (96, 128))[1]), None)
    ]
    nets.append(("box head", spec.box_head, CROPS, head_shape(spec.crop, channels, 1), spec.crop.map_size))
    if spec.mask is not None and spec.mask_head is not None:
        shape = head_shape(spec.mask.crop, channels, 1)
        nets.append(("mask head", spec.mask_head, CROPS, shape, spec.mask.crop.map_size))
    for name in backends.BACKENDS:
        found = backends.probe(name)
        if found.problem is not None:
            continue
        for title, graph, given, shape, size in nets:
            problem = _problem_with(found, graph, {given: np.zeros(shape, dtype=np.float32)}, size)
            results.append({"backend": name, "net": title, "problem": problem})
    return results


def _problem_with(
    found: Probe, graph: NetGraph, inputs: dict[str, NDArray[np.float32]], size: tuple[int, int] | None
) -> str | None:
    """Why a backend does not run a net; None where it does."""
    try:
        net = found.build(graph, size)
        net.run(inputs)
    except MrcnnCvError as error:
        return str(error)
    if found.backend.name not in net.devices():
        return f"every layer ran on {', '.join(sorted(net.devices())) or 'something else'}"
    return None
