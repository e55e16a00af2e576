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


def label_map() -> str:
    """The classes as an Object Detection API label map."""
    return "".join(f'item {{\n  id: {number}\n  name: "{name}"\n}}\n' for number, name in enumerate(CLASS_NAMES, 1))


def export(checkpoint: Path, pipeline: Path, directory: Path) -> Path:
    """Write `frozen_inference_graph.pb`, `pipeline.config` and `label_map.pbtxt`; returns the path of the graph.

    The exporter also writes a checkpoint and a SavedModel, which nobody needs here: they are left behind.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        odapi.freeze(odapi.read_pipeline(pipeline), checkpoint, Path(scratch))
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
    arguments = parser.parse_args()
    checkpoint = arguments.checkpoint
    if checkpoint.is_dir():
        checkpoint = Path(tf.train.latest_checkpoint(str(checkpoint)))
    graph = export(checkpoint, arguments.pipeline, arguments.directory)
    data = graph.read_bytes()
    print(f"{graph}: {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()}, from {checkpoint}")


if __name__ == "__main__":
    main()
