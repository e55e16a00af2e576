"""A baseline: TensorFlow itself on the frozen graph. Imports nothing of mrcnn-cv: it may run in another environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf  # type: ignore[import-untyped, import-not-found, unused-ignore]

_OUTPUTS = ("num_detections", "detection_boxes", "detection_scores", "detection_classes", "detection_masks")


class Runner:
    """job: model (.pb), image (.npy of (1, H, W, 3) uint8 RGB), input (name), threads."""

    def __init__(self, job: dict[str, Any]) -> None:
        definition = tf.compat.v1.GraphDef()
        with open(job["model"], "rb") as file:
            definition.ParseFromString(file.read())
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(definition, name="")
        names = {operation.name for operation in graph.get_operations()}
        self._outputs = [f"{name}:0" for name in _OUTPUTS if name in names]
        self._feed = {f"{job['input']}:0": np.load(job["image"])}
        settings = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=job["threads"], inter_op_parallelism_threads=job["threads"]
        )
        self._session = tf.compat.v1.Session(graph=graph, config=settings)

    def run(self) -> dict[str, Any]:
        """The whole graph on the image, its resizing included."""
        return {"found": int(self._session.run(self._outputs, self._feed)[0][0])}

    def about(self) -> dict[str, Any]:
        return {"version": tf.__version__}
