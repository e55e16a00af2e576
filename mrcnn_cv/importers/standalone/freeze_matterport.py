"""Freeze the weights of a matterport Mask R-CNN (.h5) to a graph that mrcnn-cv runs, with its Config values beside it.

Run it where your model runs: in an environment with TensorFlow, Keras 2 and your matterport package. It needs nothing
of mrcnn-cv. Code of 2018 also runs on TensorFlow 2 (up to 2.15, or later with tf_keras): what it misses there is put
back.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

# What mrcnn-cv reads; the rest of a Config is for training.
NAMES = (
    *("IMAGE_RESIZE_MODE", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "IMAGE_MIN_SCALE", "MEAN_PIXEL", "NUM_CLASSES"),
    *("RPN_ANCHOR_SCALES", "RPN_ANCHOR_RATIOS", "RPN_BBOX_STD_DEV", "PRE_NMS_LIMIT", "RPN_NMS_THRESHOLD"),
    *("POST_NMS_ROIS_INFERENCE", "BBOX_STD_DEV", "DETECTION_MIN_CONFIDENCE", "DETECTION_NMS_THRESHOLD"),
    "DETECTION_MAX_INSTANCES",
)


class FreezeError(Exception):
    """What went wrong and what to do, in one sentence."""


def main() -> int:
    """Freeze as the command line says; returns the exit code."""
    arguments = _parser().parse_args()
    try:
        frozen, config = freeze(
            arguments.weights, arguments.config, dict(map(_setting, arguments.settings)), arguments.package
        )
        output: Path = arguments.output or arguments.weights.with_suffix(".pb")
        output.write_bytes(frozen)
        beside = output.with_suffix(".json")
        beside.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except (FreezeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{output} and {beside} are ready: mrcnn-cv photo.jpg --model {output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    what, where = (__doc__ or "\n\n").split("\n\n")[:2]
    parser = argparse.ArgumentParser(description=what, epilog=where)
    parser.add_argument(
        "weights", type=Path, metavar="WEIGHTS.h5", help="weights as model.keras_model.save_weights wrote them"
    )
    parser.add_argument(
        "--config",
        metavar="MODULE:CLASS",
        help="your Config class, such as samples/balloon/balloon.py:BalloonConfig or my_package.config:MyConfig"
        " [default: matterport's own, with what the weights tell]",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for the Config, such as IMAGE_MAX_DIM=512; may be repeated",
    )
    parser.add_argument("--package", default="mrcnn", help="name of the matterport package [default: mrcnn]")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.pb", help="[default: the weights' name with .pb]")
    return parser


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isupper():
        raise FreezeError(f"--set takes NAME=VALUE, such as IMAGE_MAX_DIM=512, not '{text}'")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def freeze(weights: Path, config: str | None, settings: dict[str, Any], package: str) -> tuple[bytes, dict[str, Any]]:
    """(the frozen graph, its Config values) of a file of weights."""
    if not weights.is_file():
        raise FreezeError(f"there is no file {weights}")
    tensorflow = prepare_tensorflow()
    try:
        model_module = importlib.import_module(f"{package}.model")
    except ImportError as error:
        raise FreezeError(f"the package {package} cannot be imported ({error}): name yours with --package") from error
    built = build_config(package, config, {**(what_weights_tell(weights) if config is None else {}), **settings})
    model = model_module.MaskRCNN(mode="inference", config=built, model_dir=".")
    try:
        model.keras_model.load_weights(str(weights), by_name=True)
    except (OSError, ValueError) as error:
        raise FreezeError(f"{weights} does not fit this Config: {' '.join(str(error).split())}") from error
    return freeze_model(tensorflow, model.keras_model), config_values(built)


def prepare_tensorflow() -> Any:
    """TensorFlow (its version 1 interface), set up so that matterport's code of 2018 can be imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # From 2.16 on TensorFlow brings Keras 3, in which nothing of matterport's works.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    try:
        tf: Any = importlib.import_module("tensorflow")
    except ImportError as error:
        raise FreezeError(f"TensorFlow cannot be imported ({error}): run this where your model runs") from error
    if tf.__version__.startswith("1."):
        return tf
    v1 = tf.compat.v1
    v1.logging.set_verbosity(v1.logging.ERROR)
    # Loops then are made of plain nodes, and layers are not hidden in functions.
    v1.disable_v2_behavior()
    for new, old in ((tf, v1), (tf.sets, v1.sets), (tf.image, v1.image)):
        for name in dir(old):
            if not hasattr(new, name):
                setattr(new, name, getattr(old, name))
    _prepare_keras(tf)
    return v1


def _prepare_keras(tf: Any) -> None:
    """Let `import keras` mean TensorFlow's own Keras 2, with the module that was called keras.engine until 2023."""
    keras: Any = importlib.import_module(tf.keras.layers.Layer.__module__.partition(".")[0])
    if not getattr(keras, "__version__", "3").startswith("2."):
        raise FreezeError(
            f"Keras {keras.__version__} cannot build this model: pip install tf_keras, or TensorFlow 2.15"
        )
    sys.modules["keras"] = keras
    for name in ("backend", "layers", "models", "utils", "callbacks", "regularizers", "initializers", "optimizers"):
        sys.modules[f"keras.{name}"] = getattr(keras, name)
    if not hasattr(keras, "engine"):
        engine: Any = types.ModuleType("keras.engine")
        engine.Layer = _declaring(keras)
        keras.engine = sys.modules["keras.engine"] = engine
    _as_in_keras_2_1(keras.layers)


def _declaring(keras: Any) -> Any:
    """A Layer whose results have the shapes that it declares, as in Keras 2.1."""

    class _GraphLayer(keras.layers.Layer):  # type: ignore[misc]
        def __call__(self, inputs: Any, *others: Any, **options: Any) -> Any:
            results = super().__call__(inputs, *others, **options)
            shape = keras.backend.int_shape
            declared = self.compute_output_shape(
                list(map(shape, inputs)) if isinstance(inputs, list) else shape(inputs)
            )
            if not isinstance(results, list | tuple):
                results.set_shape(declared)
            return results

    return _GraphLayer


def _as_in_keras_2_1(layers: Any) -> None:
    """Unknown sides of a Reshape are left open, and TimeDistributed reshapes instead of looping over regions."""
    reshape, distribute = layers.Reshape.__init__, layers.TimeDistributed.__init__

    def init_reshape(self: Any, target_shape: Any, **options: Any) -> None:
        reshape(self, tuple(-1 if side is None else side for side in target_shape), **options)

    def init_distributed(self: Any, layer: Any, **options: Any) -> None:
        distribute(self, layer, **options)
        self._always_use_reshape = True

    layers.Reshape.__init__, layers.TimeDistributed.__init__ = init_reshape, init_distributed


def what_weights_tell(weights: Path) -> dict[str, Any]:
    """The values of a Config that the shapes of the weights give away."""
    h5py: Any = importlib.import_module("h5py")
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with h5py.File(weights, "r") as file:
            file.visititems(lambda name, item: shapes.update({name: item.shape} if hasattr(item, "shape") else {}))
    except OSError as error:
        raise FreezeError(f"{weights} is not a file of Keras weights ({error})") from error

    def last(layer: str) -> int | None:
        found = [shape for name, shape in shapes.items() if f"{layer}/" in name and "kernel" in name]
        return int(found[0][-1]) if found else None

    if last("mrcnn_class_logits") is None:
        raise FreezeError(f"{weights} holds no weights of a matterport Mask R-CNN (no layer mrcnn_class_logits)")
    told = {
        "NUM_CLASSES": last("mrcnn_class_logits"),
        "TOP_DOWN_PYRAMID_SIZE": last("fpn_p2"),
        "FPN_CLASSIF_FC_LAYERS_SIZE": last("mrcnn_class_conv1"),
        "BACKBONE": "resnet101" if any("res4w" in name for name in shapes) else "resnet50",
    }
    return {name: value for name, value in told.items() if value is not None}


def build_config(package: str, named: str | None, settings: dict[str, Any]) -> Any:
    """A Config object for one image at a time."""
    module, colon, name = (named or f"{package}.config:Config").rpartition(":")
    if not colon:
        raise FreezeError(f"--config takes MODULE:CLASS, not '{named}'")
    try:
        base = getattr(_module(module, package), name)
    except (ImportError, AttributeError, OSError) as error:
        raise FreezeError(f"the Config {named} cannot be imported: {error}") from error
    single = {"NAME": getattr(base, "NAME", None) or "frozen", "GPU_COUNT": 1, "IMAGES_PER_GPU": 1, "BATCH_SIZE": 1}
    return type("FrozenConfig", (base,), {**single, **settings})()


def _module(name: str, package: str) -> Any:
    if not name.endswith(".py"):
        try:
            return importlib.import_module(name)
        except ImportError:
            if name != f"{package}.config":
                raise
            # Some forks keep their Config in utils.py.
            return importlib.import_module(f"{package}.utils")
    sys.path[:0] = [str(Path(name).resolve().parent), os.getcwd()]
    spec = importlib.util.spec_from_file_location("user_config", name)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def freeze_model(tensorflow: Any, keras_model: Any) -> bytes:
    """A GraphDef with the variables of a Keras model as constants, cut down to its detections and masks."""
    # With TensorFlow 1 matterport uses the Keras that stands beside it.
    backend = importlib.import_module("keras.backend" if "keras" in sys.modules else "tensorflow.keras.backend")
    session: Any = getattr(backend, "get_session", None) or tensorflow.keras.backend.get_session
    session = session()
    outputs = [keras_model.outputs[0].op.name, keras_model.outputs[3].op.name]
    graph = tensorflow.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), outputs)
    return bytes(graph.SerializeToString())


def config_values(config: Any) -> dict[str, Any]:
    """The values of a Config that mrcnn-cv reads, ready for JSON."""
    found = {}
    for name in NAMES:
        value = getattr(config, name, None)
        if value is not None:
            found[name] = value.tolist() if hasattr(value, "tolist") else value
    return found


if __name__ == "__main__":
    sys.exit(main())
