"""Where an Object Detection API graph comes from, as far as its names and ops tell. Nothing is decided by this."""

from __future__ import annotations

import re

from mrcnn_cv.importers.object_detection_api.structure import ObjectDetectionStructure, is_predictor
from mrcnn_cv.importers.tensorflow.graphdef import Graph

_BACKBONES = (
    (r"InceptionResnetV2|block17_\d+_conv", "Inception-ResNet v2"),
    (r"InceptionV2", "Inception v2"),
    (r"InceptionV3", "Inception v3"),
    (r"resnet_v1_(50|101|152)", r"ResNet-\1"),
    (r"conv4_block36_", "ResNet-152"),  # Keras names its blocks
    (r"conv4_block23_", "ResNet-101"),
    (r"conv4_block6_", "ResNet-50"),
    (r"resnet_v2_(50|101|152)", r"ResNet-\1 v2"),
    (r"cell_stem_0|NASNet", "NASNet"),
    (r"cell_stem|PNASNet", "PNASNet"),
    (r"MobilenetV1", "MobileNet v1"),
    (r"MobilenetV2", "MobileNet v2"),
)


def backbone(graph: Graph, structure: ObjectDetectionStructure) -> str:
    """The name of the feature extractor, from the scopes of its layers; else how many layers it has."""
    trunk = graph.upstream([structure.features], lambda node: node.name == structure.image)
    names = [name for name, node in trunk.items() if is_predictor(node)]
    for pattern, title in _BACKBONES:
        match = next(filter(None, (re.search(pattern, name) for name in names)), None)
        if match is not None:
            dilated = " (dilated)" if any(node.op == "SpaceToBatchND" for node in trunk.values()) else ""
            return match.expand(title) + dilated
    return f"unknown, {len(names)} convolutions"


def exporter(graph: Graph) -> str:
    """The generation of the exporter, from the ops that it writes."""
    ops = {node.op for node in graph.nodes.values()}
    if ops & {"FusedBatchNormV3", "AddV2"}:
        return "TensorFlow 1.15 or 2"
    if "NonMaxSuppressionV5" in ops:
        return "TensorFlow 1.14"
    if ops & {"NonMaxSuppressionV3", "NonMaxSuppressionV4"} or "raw_detection_boxes" in graph.nodes:
        return "TensorFlow 1.9 to 1.13"
    return "TensorFlow 1, 2018 or earlier"
