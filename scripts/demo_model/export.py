"""Export a checkpoint of the demo model with the Object Detection API's own exporter."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from pathlib import Path

import extractor  # noqa: F401  (registers the demo model's feature extractor)
import odapi
import tensorflow.compat.v1 as tf
from geometry import CLASS_NAMES

CLASS_BIASES = "SecondStageBoxPredictor/ClassPredictor/biases"
"""Background first."""


def label_map() -> str:
    """The classes as an Object Detection API label map."""
    return "".join(f'item {{\n  id: {number}\n  name: "{name}"\n}}\n' for number, name in enumerate(CLASS_NAMES, 1))


def calibrated(checkpoint: Path, raised: float, scratch: Path) -> Path:
    """A copy of a checkpoint whose background logit is higher by `raised`, which lowers the scores of all classes.

    A detector that is trained on crowded scenes is too sure of itself on images without any shape; this moves its
    scores, and so the number of false instances at a given threshold, without another round of training.
    """
    reader = tf.train.load_checkpoint(str(checkpoint))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    values[CLASS_BIASES][0] += raised
    with tf.Graph().as_default(), tf.Session() as session:
        for name, value in values.items():
            tf.Variable(value, name=name)
        session.run(tf.global_variables_initializer())
        return Path(tf.train.Saver().save(session, str(scratch / "calibrated.ckpt")))


def export(checkpoint: Path, pipeline: Path, directory: Path, raised: float = 0.0) -> Path:
    """Write `frozen_inference_graph.pb`, `pipeline.config` and `label_map.pbtxt`; returns the path of the graph.

    raised: see `calibrated`. The exporter also writes a checkpoint and a SavedModel, which nobody needs here: they are
    left behind.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = calibrated(checkpoint, raised, Path(scratch)) if raised else checkpoint
        odapi.freeze(odapi.read_pipeline(pipeline), source, Path(scratch))
        for name in ("frozen_inference_graph.pb", "pipeline.config"):
            shutil.copy(Path(scratch) / name, directory / name)
    (directory / "label_map.pbtxt").write_text(label_map())
    return directory / "frozen_inference_graph.pb"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="prefix such as run/model.ckpt-9000, or a folder: its newest one")
    parser.add_argument("directory", type=Path, help="folder for the three files")
    parser.add_argument("--pipeline", type=Path, default=Path(__file__).parent / "pipeline.config")
    parser.add_argument("--raise-background", type=float, default=0.0, metavar="LOGITS", help="calibrate the scores")
    arguments = parser.parse_args()
    checkpoint = arguments.checkpoint
    if checkpoint.is_dir():
        checkpoint = Path(tf.train.latest_checkpoint(str(checkpoint)))
    graph = export(checkpoint, arguments.pipeline, arguments.directory, arguments.raise_background)
    data = graph.read_bytes()
    print(f"{graph}: {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()}, from {checkpoint}")


if __name__ == "__main__":
    main()
