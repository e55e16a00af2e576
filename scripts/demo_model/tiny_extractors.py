"""The API's feature extractors with a fraction of their channels; layers, branches and shortcuts are the originals'.

Importing this module registers them under the API's names with `_tiny` behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import odapi
import tensorflow.compat.v1 as tf
import tf_slim as slim
from nets import resnet_utils
from object_detection.models import faster_rcnn_inception_resnet_v2_feature_extractor as inception_resnet
from object_detection.models import faster_rcnn_inception_v2_feature_extractor as inception
from object_detection.models import faster_rcnn_resnet_v1_feature_extractor as resnet

SHARE = 32
"""One channel is left of so many."""


class TinyInceptionV2(inception.FasterRCNNInceptionV2FeatureExtractor):
    """The API's Inception v2 extractor with a few channels per layer."""

    def __init__(
        self, is_training: bool, stride: int, batch_norm_trainable: bool = False, reuse_weights: bool | None = None
    ) -> None:
        super().__init__(is_training, stride, batch_norm_trainable, reuse_weights, depth_multiplier=0.03, min_depth=6)


def _few(channels: int) -> int:
    return max(channels // SHARE, 4)


@contextmanager
def _narrow_blocks() -> Iterator[None]:
    """ResNet blocks narrowed where they are described, so that shortcuts stay identities where they were."""
    original = resnet_utils.Block

    def block(scope: str, unit: Callable[..., tf.Tensor], units: list[dict[str, int]]) -> Any:
        keys = ("depth", "depth_bottleneck")
        return original(scope, unit, [{k: _few(v) if k in keys else v for k, v in one.items()} for one in units])

    with mock.patch.object(resnet_utils, "Block", block):
        yield


@contextmanager
def _narrow_convolutions() -> Iterator[None]:
    """slim's convolutions narrowed, but for those that return to the width of a shortcut."""
    original = slim.conv2d

    def conv2d(inputs: tf.Tensor, num_outputs: Any, *rest: Any, **named: Any) -> tf.Tensor:
        width = num_outputs if isinstance(num_outputs, tf.Dimension) else _few(num_outputs)
        return original(inputs, width, *rest, **named)

    conv2d._key_op = original._key_op  # type: ignore[attr-defined]  # the name under which arg_scope knows it
    with mock.patch.object(slim, "conv2d", conv2d):
        yield


def tiny(extractor: type, narrow: Callable[[], Any]) -> type:
    """A subclass of an extractor whose layers are built within `narrow`."""

    class Tiny(extractor):  # type: ignore[misc]
        def _extract_proposal_features(self, *arguments: Any) -> Any:
            with narrow():
                return super()._extract_proposal_features(*arguments)

        def _extract_box_classifier_features(self, *arguments: Any) -> Any:
            with narrow():
                return super()._extract_box_classifier_features(*arguments)

    return Tiny


odapi.register_extractor("faster_rcnn_inception_v2_tiny", TinyInceptionV2)
for _name, _class in (
    ("resnet50", resnet.FasterRCNNResnet50FeatureExtractor),
    ("resnet101", resnet.FasterRCNNResnet101FeatureExtractor),
    ("resnet152", resnet.FasterRCNNResnet152FeatureExtractor),
):
    odapi.register_extractor(f"faster_rcnn_{_name}_tiny", tiny(_class, _narrow_blocks))
odapi.register_extractor(
    "faster_rcnn_inception_resnet_v2_tiny",
    tiny(inception_resnet.FasterRCNNInceptionResnetV2FeatureExtractor, _narrow_convolutions),
)
