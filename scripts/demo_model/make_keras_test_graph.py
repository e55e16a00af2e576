"""Make the tiny Keras graph of the Object Detection API for TensorFlow 2, and TensorFlow's answers for it.

The API's exporter for TensorFlow 2 writes a SavedModel; it is frozen as docs/models.md says. Weights are stand-ins as
in make_test_graphs.py.
"""

from __future__ import annotations

import argparse
import functools
import lzma
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["ODAPI_KERAS"] = "1"

import cv2
import numpy as np
import odapi
import tensorflow as tf
from object_detection import exporter_lib_v2
from object_detection.models import faster_rcnn_resnet_keras_feature_extractor as extractors
from object_detection.models.keras_models import resnet_v1
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

CONFIG = Path(__file__).parent / "test_graphs" / "keras" / "tiny_keras.config"
# What a predictor's outputs are called, part of the name of its weights, and their standard deviation on the photo; in
# the order in which each depends on those before it.
PREDICTORS = (
    ("rpn_objectness_predictions_with_background", "FirstStageBoxPredictor/ConvolutionalClassHead", 2.0),
    ("rpn_box_encodings", "FirstStageBoxPredictor/ConvolutionalBoxHead", 1.0),
    ("class_predictions_with_background", "ClassPredictor_dense", 2.5),
    ("refined_box_encodings", "BoxEncodingPredictor_dense", 1.0),
    ("mask_predictions", "MaskPredictor_last_conv2d", 2.0),
)

Image = np.ndarray


class Tiny(extractors.FasterRCNNResnet50KerasFeatureExtractor):
    """The API's ResNet-50 with a fraction of its channels."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        narrow = functools.partial(resnet_v1.resnet_v1_50, min_depth=4, depth_multiplier=1 / 32)
        with mock.patch.object(resnet_v1, "resnet_v1_50", narrow):
            super().__init__(*arguments, **named)


def outputs(model: Any, photo: Image) -> dict[str, Any]:
    """Everything that the three stages predict for one (h, w, 3) photo."""
    pixels, shapes = model.preprocess(tf.constant(photo[None], tf.float32))
    predicted = model.predict(pixels, shapes)
    return {**predicted, **model.postprocess(predicted, shapes), "preprocessed": pixels}


def give_weights(model: Any, photo: Image, seed: int) -> None:
    """Weights of two values, and predictors whose outputs differ from place to place."""
    outputs(model, photo)  # builds the layers
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        shape = variable.shape.as_list()
        if "kernel" in variable.name:
            variable.assign(rng.choice([-1.0, 1.0], shape) * np.sqrt(2.0 / np.prod(shape[:-1])))
        elif "beta" in variable.name:
            variable.assign(rng.choice([-0.25, 0.25], shape))
        elif "gamma" in variable.name:
            # The branches of residual units are damped, or their sums would grow from unit to unit.
            variable.assign(np.full(shape, 0.5 if "_3_bn" in variable.name else 1.0))
    for output, part, spread in PREDICTORS:
        kernel, bias = (one for one in model.variables if part in one.name)
        found = outputs(model, photo)[output].numpy()
        if output == "mask_predictions":
            found = found.transpose(0, 2, 3, 1)
        found = found.reshape(-1, bias.shape[0])
        scale = spread / float((found - found.mean(axis=0)).std())
        kernel.assign(kernel * scale)
        bias.assign(-scale * found.mean(axis=0))


def freeze(pipeline: Any, model: Any, directory: Path) -> tf.compat.v1.GraphDef:
    """Export as the API does, then freeze the SavedModel."""
    checkpoint = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), str(directory / "checkpoint"), 1)
    checkpoint.save()
    exporter_lib_v2.export_inference_graph("image_tensor", pipeline, checkpoint.directory, str(directory / "export"))
    loaded = tf.saved_model.load(str(directory / "export" / "saved_model"))
    return convert_variables_to_constants_v2(loaded.signatures["serving_default"]).graph.as_graph_def()


def answers(model: Any, photo: Image) -> dict[str, Image]:
    """TensorFlow's answers under the names of the other test graphs."""
    found = {name: value.numpy() for name, value in outputs(model, photo).items() if isinstance(value, tf.Tensor)}
    count = int(found["num_detections"][0])
    result = {name: found[name][0, :count] for name in ("detection_boxes", "detection_scores", "detection_masks")}
    return {
        **result,
        "detection_masks": result["detection_masks"].astype(np.float16),
        "detection_classes": found["detection_classes"][0, :count] + 1,
        "num_detections": found["num_detections"],
        "proposals": found["proposal_boxes_normalized"][0],
        "refined_box_encodings": found["refined_box_encodings"],
        "class_logits": found["class_predictions_with_background"],
        "preprocessed_shape": np.array(found["preprocessed"].shape),
        "preprocessed_every_16th": found["preprocessed"][:, ::16, ::16],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="folder with images/, for the folder of the graph")
    parser.add_argument("--seed", type=int, default=1, help="another one if detections come out degenerate")
    arguments = parser.parse_args()
    photo = np.ascontiguousarray(cv2.imread(str(arguments.directory / "images" / "coffee.png"))[..., ::-1])
    pipeline = odapi.read_pipeline(CONFIG)
    odapi.model_builder.FASTER_RCNN_KERAS_FEATURE_EXTRACTOR_CLASS_MAP["faster_rcnn_resnet50_keras_tiny"] = Tiny
    model = odapi.model_builder.build(pipeline.model, is_training=False)
    give_weights(model, photo, arguments.seed)
    target = arguments.directory / CONFIG.stem
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        graph = freeze(pipeline, model, Path(scratch))
        (target / "pipeline.config").write_bytes((Path(scratch) / "export" / "pipeline.config").read_bytes())
    packed = lzma.compress(graph.SerializeToString(deterministic=True), preset=9 | lzma.PRESET_EXTREME)
    (target / "frozen_inference_graph.pb.xz").write_bytes(packed)
    found = answers(model, photo)
    np.savez_compressed(target / "coffee.npz", **found)
    print(f"{target.name}: {len(packed)} bytes packed, classes {found['detection_classes'].astype(int).tolist()}")


if __name__ == "__main__":
    main()
