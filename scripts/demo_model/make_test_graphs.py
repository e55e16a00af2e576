"""Make tiny but real Object Detection API graphs, and TensorFlow's answers for them, for the package's tests.

The weights are stand-ins: plus or minus one number per tensor, so that a graph packs into a few kilobytes. What comes
after them (batch-norm statistics, the scale and bias of every predictor) is fitted on two photos, so that proposals,
classes, boxes and masks differ from each other as they do in a trained graph. The graphs know nothing of the world.
"""

from __future__ import annotations

import argparse
import lzma
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import input_variants
import numpy as np
import odapi
import tensorflow.compat.v1 as tf
import tiny_extractors  # noqa: F401  (registers them)
from answers import Answers, read_graph
from backgrounds import package_file

PHOTOS = {"coffee": (240, 160), "astronaut": (200, 200)}
# Exported for images of one size; the others take any.
INPUT_SHAPES: dict[str, list[int | None]] = {"tiny_settings": [1, 160, 240, 3]}
# Also exported with the exporter's other inputs.
OTHER_INPUTS = "tiny_mask_rcnn"
# Answered on both photos, stage by stage; the others on the first one, with less of it.
TWICE = ("tiny_faster_rcnn", "tiny_mask_rcnn", "tiny_mask_rcnn_agnostic")
# Standard deviation that the outputs of a layer have on the photos; the first match counts.
SPREADS = (
    ("FirstStageBoxPredictor/ClassPredictor", 2.0),
    ("SecondStageBoxPredictor/ClassPredictor", 2.5),
    ("BoxEncodingPredictor", 1.0),
    ("SecondStageBoxPredictor_1/Conv", 2.0),
    ("Conv/BiasAdd", 2.0),
)
# What a residual unit adds to its shortcut, as a share of what it would add by itself. Trained units add little. Random
# ones add as much as they were given, and fifty of those in a row amplify float noise beyond what parity tolerates.
RESIDUAL_GAINS = {"resnet_v1_152": 0.3}


def stand_in_values(variables: list[tf.Variable], rng: np.random.Generator) -> Iterator[tuple[tf.Variable, np.ndarray]]:
    """First values of all variables: weights of two values whose layers keep the variance, biases of zero."""
    for variable in variables:
        shape = variable.shape.as_list()
        name = variable.op.name
        if name.endswith("weights"):
            fan_in = np.prod(shape[:-1]) if "depthwise" not in name else np.prod(shape[:2])
            yield variable, rng.choice([-1.0, 1.0], shape) * np.sqrt(2.0 / fan_in)
        elif name.endswith("beta"):
            yield variable, rng.choice([-0.25, 0.25], shape)
        elif name.endswith("conv3/BatchNorm/gamma"):
            yield variable, np.full(shape, next((gain for part, gain in RESIDUAL_GAINS.items() if part in name), 1.0))
        else:
            yield variable, np.full(shape, 1.0 if name.endswith(("gamma", "moving_variance")) else 0.0)


def variable_behind(tensor: tf.Tensor) -> tf.Variable:
    """The variable that a layer's input tensor reads."""
    operation = tensor.op
    while operation.type == "Identity":
        operation = operation.inputs[0].op
    return next(v for v in tf.global_variables() if v.op is operation)


def assign(session: tf.Session, values: dict[tf.Variable, np.ndarray]) -> None:
    """Give variables their values, all in one run: each run of its own plans the whole graph anew."""
    real = {one: value for one, value in values.items() if one.dtype.base_dtype == tf.float32}
    session.run([one.initializer for one in real], {one.initializer.inputs[1]: value for one, value in real.items()})


def layer_of(bias: tf.Operation) -> tf.Operation:
    """The layer whose result a BiasAdd takes; a dilated one ends in BatchToSpaceND."""
    operation = bias.inputs[0].op
    return operation.inputs[0].op if operation.type == "BatchToSpaceND" else operation


def fit(session: tf.Session, photos: list[np.ndarray]) -> None:
    """Go through the layers from first to last and give each sensible outputs on the (h, w, 3) photos."""
    done: set[str] = set()

    def rows(tensor: tf.Tensor) -> np.ndarray:
        """The values of a layer's input on all photos, one row per position."""
        runs = [session.run(tensor, {"image_tensor:0": photo[None]}) for photo in photos]
        return np.concatenate([run.reshape(-1, run.shape[-1]) for run in runs])

    for operation in tf.get_default_graph().get_operations():
        if operation.type.startswith("FusedBatchNorm"):
            mean, variance = (variable_behind(tensor) for tensor in operation.inputs[3:5])
            if mean.op.name not in done:
                done.add(mean.op.name)
                values = rows(operation.inputs[0])
                assign(session, {mean: values.mean(axis=0), variance: values.var(axis=0) + 1e-3})
        elif operation.type == "BiasAdd":
            weights, bias = variable_behind(layer_of(operation).inputs[1]), variable_behind(operation.inputs[1])
            if bias.op.name not in done:
                done.add(bias.op.name)
                spread = next((value for part, value in SPREADS if part in operation.name), 1.0)
                values = rows(operation.inputs[0])
                scale = spread / max(float((values - values.mean(axis=0)).std()), 1e-6)
                assign(session, {weights: session.run(weights) * scale, bias: -scale * values.mean(axis=0)})


def stand_in_checkpoint(pipeline: object, photos: list[np.ndarray], seed: int, prefix: Path) -> None:
    """Write a checkpoint with stand-in weights for the model of `pipeline`, fitted on (h, w, 3) `photos`."""
    config = tf.ConfigProto()
    # Every layer is fetched once: optimising the graph anew for each would take most of the time.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        model = odapi.model_builder.build(pipeline.model, is_training=False)
        odapi.exporter.build_detection_graph("image_tensor", model, None, "inference_op", None)
        session.run(tf.global_variables_initializer())
        assign(session, dict(stand_in_values(tf.global_variables(), np.random.default_rng(seed))))
        fit(session, photos)
        tf.train.Saver().save(session, str(prefix))


def small(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Answers without the large maps of the proposal network, masks in half precision."""
    kept = {name: value for name, value in found.items() if not name.startswith("rpn_")}
    return {name: value.astype(np.float16) if name == "detection_masks" else value for name, value in kept.items()}


def make(config: Path, photos: dict[str, np.ndarray], seed: int, directory: Path) -> None:
    """Write one test graph, its pipeline config and the answers for every photo."""
    pipeline = odapi.read_pipeline(config)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        prefix = Path(scratch) / "model.ckpt"
        stand_in_checkpoint(pipeline, list(photos.values()), seed, prefix)
        frozen = odapi.freeze(pipeline, prefix, Path(scratch) / "export", INPUT_SHAPES.get(config.stem))
        packed = lzma.compress(frozen.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
        (directory / "frozen_inference_graph.pb.xz").write_bytes(packed)
        (directory / "pipeline.config").write_bytes((Path(scratch) / "export" / "pipeline.config").read_bytes())
        found = {}
        with Answers(read_graph(frozen)) as answers:
            for name, photo in photos.items():
                found[name] = answers(photo) if config.stem in TWICE else small(answers(photo))
                np.savez_compressed(directory / f"{name}.npz", **found[name])
                classes = found[name]["detection_classes"].astype(int).tolist()
                print(f"{directory.name} {name}: {len(classes)} detections, classes {classes}")
        if config.stem == OTHER_INPUTS:
            variants = directory.parent / "inputs"
            input_variants.export(pipeline, prefix, photos, found, variants, Path(scratch))
    print(f"{directory.name}: {len(packed)} bytes packed")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="folder for images/ and one folder per graph")
    parser.add_argument("--seed", type=int, default=1, help="another one if detections come out degenerate")
    parser.add_argument("--only", nargs="*", help="names of graphs; default: all in test_graphs/")
    arguments = parser.parse_args()
    (arguments.directory / "images").mkdir(parents=True, exist_ok=True)
    photos = {}
    for name, size in PHOTOS.items():
        source = cv2.imread(str(package_file("skimage", "data", f"{name}.png")))
        small = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(arguments.directory / "images" / f"{name}.png"), small)
        photos[name] = np.ascontiguousarray(small[..., ::-1])
    for config in sorted((Path(__file__).parent / "test_graphs").glob("*.config")):
        if not arguments.only or config.stem in arguments.only:
            chosen = photos if config.stem in TWICE else dict(list(photos.items())[:1])
            make(config, chosen, arguments.seed, arguments.directory / config.stem)


if __name__ == "__main__":
    main()
