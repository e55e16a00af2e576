"""What a picture costs in arithmetic, whoever computes it."""

from __future__ import annotations

from mrcnn_cv.graph.shape_inference import layers
from mrcnn_cv.jobs.inspect import input_sizes
from mrcnn_cv.model.definition import ModelSpec
from mrcnn_cv.model.validate import head_shape, input_channels


def gflop_of(spec: ModelSpec, image_size: tuple[int, int], masks: int) -> dict[str, float]:
    """Operations of each net in thousand millions, for an image (height, width) in which `masks` instances are kept.

    A multiplication and an addition are two, as the layers are written: an engine that gets by with fewer
    multiplications (Winograd's convolutions) does the same work. The box head looks at as many proposals as the model
    allows.
    """
    _, padded = input_sizes(spec, image_size)
    trunk = layers(spec.trunk, {"image": (1, *padded, input_channels(spec))})
    features = next(layer.output for layer in trunk if layer.name == spec.trunk.outputs[0])
    found = {"trunk": trunk}
    found["box_head"] = layers(
        spec.box_head, {"crops": head_shape(spec.crop, features[3], spec.proposal_nms.max_total)}
    )
    if spec.mask_head is not None and spec.mask is not None and masks > 0:
        found["mask_head"] = layers(spec.mask_head, {"crops": head_shape(spec.mask.crop, features[3], masks)})
    return {name: sum(layer.flops for layer in each) / 1e9 for name, each in found.items()}
