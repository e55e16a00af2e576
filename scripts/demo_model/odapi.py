"""The TensorFlow Object Detection API on a TensorFlow that is younger than it.

The API's graph-mode code was written for TensorFlow 1.x. TensorFlow 2.15 still runs it under `tf.compat.v1`, once the
few modules and names that have gone since are put back. Import this module before anything from `object_detection`.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow.compat.v1 as tf

# The API builds Keras models where TensorFlow 2's behaviour is on, slim's where it is off.
KERAS = os.environ.get("ODAPI_KERAS") == "1"
if not KERAS:
    tf.disable_v2_behavior()
tf.logging.set_verbosity(tf.logging.ERROR)


class _Missing(types.ModuleType):
    """A module that no longer exists; any attribute of it is a class that nobody on our route instantiates."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _install_shims() -> None:
    """Put back what TensorFlow 1.x and NumPy < 1.24 had and the API still imports."""
    for alias, value in {"int": int, "float": float, "bool": bool, "object": object}.items():
        if alias not in np.__dict__:
            setattr(np, alias, value)
    for name in ("training", "lookup", "image", "learn", "opt", "quantize", "tfprof", "image.python.ops"):
        parts = ["tensorflow", "contrib", *name.split(".")]
        for depth in range(2, len(parts) + 1):
            module_name = ".".join(parts[:depth])
            if module_name not in sys.modules:
                module = _Missing(module_name)
                module.__path__ = []
                sys.modules[module_name] = module
    # TensorFlow 2.15 looks for its graph-mode layers where only later releases of tf_keras have them.
    for name in ("base", "convolutional", "core", "normalization", "pooling"):
        module = importlib.import_module(f"keras.src.legacy_tf_layers.{name}")
        sys.modules[f"tf_keras.legacy_tf_layers.{name}"] = module
    # tf_slim, with which the exporter decodes tf.Examples, looks for these where they were.
    from tensorflow.python.ops import control_flow_ops

    for name in ("case", "cond"):
        if not hasattr(control_flow_ops, name):
            setattr(control_flow_ops, name, getattr(tf, name))
    # The API's slim networks import each other as the top-level package `nets`.
    sys.modules.setdefault("nets", importlib.import_module("object_detection.nets"))
    if KERAS:  # imported by models that are not built here
        names = ["official"]
        for part in ("vision", "image_classification", "efficientnet"):
            names.append(f"{names[-1]}.{part}")
        for name in ("tensorflow_io", *names):
            sys.modules.setdefault(name, _Missing(name)).__path__ = []
    try:
        importlib.import_module("lvis")
    except ImportError:  # only its evaluation code, which is not used here, needs LVIS
        for name in ("lvis", "lvis.eval", "lvis.results", "lvis.lvis"):
            sys.modules.setdefault(name, _Missing(name))


_install_shims()

from google.protobuf import text_format  # noqa: E402
from object_detection import exporter  # noqa: E402
from object_detection.builders import model_builder  # noqa: E402
from object_detection.protos import pipeline_pb2  # noqa: E402

# The profile that the exporter prints needs tensorflow.contrib.tfprof; it changes nothing in the file.
exporter.profile_inference_graph = lambda graph: None


def register_extractor(name: str, extractor: type) -> None:
    """Make `extractor` available as `feature_extractor { type: "<name>" }` in a pipeline config."""
    model_builder.FASTER_RCNN_FEATURE_EXTRACTOR_CLASS_MAP[name] = extractor


def read_pipeline(path: Path) -> pipeline_pb2.TrainEvalPipelineConfig:
    """Read a pipeline config in protobuf text format."""
    return text_format.Parse(Path(path).read_text(), pipeline_pb2.TrainEvalPipelineConfig())


def freeze(
    pipeline: pipeline_pb2.TrainEvalPipelineConfig,
    checkpoint: Path,
    directory: Path,
    input_shape: list[int | None] | None = None,
    input_type: str = "image_tensor",
) -> Path:
    """Run the API's own exporter on a checkpoint; returns the path of `frozen_inference_graph.pb`."""
    with tf.Graph().as_default():
        exporter.export_inference_graph(input_type, pipeline, str(checkpoint), str(directory), input_shape)
    return Path(directory) / "frozen_inference_graph.pb"
