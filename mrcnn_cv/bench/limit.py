"""What a picture costs in arithmetic, whoever computes it."""

from __future__ import annotations

from mrcnn_cv.graph.ir import CROPS, IMAGE
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.jobs.inspect_model import input_sizes
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.validate import head_shape, input_channels


def gflop_of(spec: ModelDefinition, image_size: tuple[int, int], masks: int) -> dict[str, float]:
    """Operations of each net in thousand millions, for an image (height, width) in which `masks` instances are kept.

    A multiplication and an addition are two, as the layers are written: an engine that gets by with fewer
    multiplications (Winograd's convolutions) does the same work. The box head looks at as many proposals as the model
    allows.
    """
    _, padded = input_sizes(spec, image_size)
    trunk, inputs = ShapeInference(spec.trunk), {IMAGE: (1, input_channels(spec), *padded)}
    channels = trunk.results(inputs)[0][1]
    crops = {CROPS: head_shape(spec.crop, channels, spec.proposal_nms.max_total)}
    found = {"trunk": trunk.layers(inputs), "box_head": ShapeInference(spec.box_head).layers(crops)}
    if spec.mask_head is not None and spec.mask is not None and masks > 0:
        found["mask_head"] = ShapeInference(spec.mask_head).layers({CROPS: head_shape(spec.mask.crop, channels, masks)})
    return {name: sum(layer.flops for layer in each) / 1e9 for name, each in found.items()}
