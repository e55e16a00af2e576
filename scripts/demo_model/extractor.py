"""The demo model's own feature extractor, and its registration with the Object Detection API.

Small enough for a CPU to train in an hour or two, yet with the two properties that masks of small shapes need and that
the stock extractors lack: features every 8 pixels, and a second stage that keeps the 14x14 resolution of its crops.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf
import tf_slim as slim
from object_detection.meta_architectures import faster_rcnn_meta_arch
from odapi import register_extractor

TRUNK_DEPTHS = (24, 32, 64)
CONTEXT_DEPTH = 96
# The API's own value, 0.9997, is meant for days of training; here the averages must follow within a minute.
BATCH_NORM_DECAY = 0.98


def _residual(net: tf.Tensor, scope: str) -> tf.Tensor:
    """Two 3x3 convolutions around which `net` (n, h, w, c) is added back."""
    with tf.variable_scope(scope):
        depth = net.shape[-1].value
        branch = slim.conv2d(net, depth, 3, scope="conv1")
        branch = slim.conv2d(branch, depth, 3, activation_fn=None, scope="conv2")
        return tf.nn.relu(net + branch)


class ShapesFeatureExtractor(faster_rcnn_meta_arch.FasterRCNNFeatureExtractor):
    """A residual trunk of stride 8, and a second stage that looks at each crop at two resolutions."""

    def preprocess(self, resized_inputs: tf.Tensor) -> tf.Tensor:
        """Map pixel values from [0, 255] to [-1, 1], as the API's Inception extractors do."""
        return (2.0 / 255.0) * resized_inputs - 1.0

    def _arg_scope(self) -> dict:
        batch_norm = {
            "is_training": self._train_batch_norm,
            "scale": True,
            "decay": BATCH_NORM_DECAY,
            "epsilon": 0.001,
        }
        with slim.arg_scope(
            [slim.conv2d],
            normalizer_fn=slim.batch_norm,
            normalizer_params=batch_norm,
            weights_initializer=tf.variance_scaling_initializer(2.0, mode="fan_in"),
        ) as scope:
            return scope

    def _extract_proposal_features(self, preprocessed_inputs: tf.Tensor, scope: str) -> tuple[tf.Tensor, dict]:
        """(n, h, w, 3) pixels to (n, h / 8, w / 8, 64) features; each sees 160 pixels around it."""
        stem, low, deep = TRUNK_DEPTHS
        with tf.variable_scope("Shapes", reuse=self._reuse_weights), slim.arg_scope(self._arg_scope()):
            net = slim.conv2d(preprocessed_inputs, stem, 5, stride=2, scope="stem")
            net = slim.conv2d(net, low, 3, stride=2, scope="stride4")
            net = _residual(net, "block1")
            net = slim.conv2d(net, deep, 3, stride=2, scope="stride8")
            for number in range(2, 6):
                net = _residual(net, f"block{number}")
        return net, {"block5": net}

    def _extract_box_classifier_features(self, proposal_feature_maps: tf.Tensor, scope: str) -> tf.Tensor:
        """(regions, 14, 14, 64) crops to (regions, 14, 14, 96) features for the box, class and mask predictors.

        The box predictor averages over the positions. The coarse half of this network sees the whole crop and its
        borders, so that the average still knows where in the crop the object is.
        """
        height, width, depth = proposal_feature_maps.shape.as_list()[1:]
        with tf.variable_scope("Shapes", reuse=self._reuse_weights), slim.arg_scope(self._arg_scope()):
            coarse = slim.conv2d(proposal_feature_maps, CONTEXT_DEPTH, 3, stride=2, scope="context")
            coarse = _residual(coarse, "block6")
            coarse = slim.conv2d(coarse, depth, 1, activation_fn=None, scope="project")
            coarse = tf.image.resize_bilinear(coarse, [height, width], align_corners=True)
            fine = tf.nn.relu(proposal_feature_maps + coarse)
            return slim.conv2d(fine, CONTEXT_DEPTH, 3, scope="fuse")


register_extractor("faster_rcnn_shapes", ShapesFeatureExtractor)
