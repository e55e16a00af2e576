"""A baseline: the whole graph in one forward of cv2.dnn, as the tutorials do it.

The image comes to it resized and preprocessed, outside of the measured time.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


class Runner:
    """job: model (.pb), text_graph, outputs, prepared (.npy of (1, 3, h, w) float32), threads."""

    def __init__(self, job: dict[str, Any]) -> None:
        cv2.setNumThreads(job["threads"])
        engine: dict[str, Any] = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
        weights = np.fromfile(job["model"], np.uint8)
        layers = np.frombuffer(job["text_graph"].encode(), np.uint8)
        self._net = cv2.dnn.readNetFromTensorflow(weights, layers, **engine)
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        self._outputs = job["outputs"]
        self._prepared = np.load(job["prepared"])

    def run(self) -> dict[str, Any]:
        """One forward; `found` counts the boxes that it makes masks for."""
        self._net.setInput(self._prepared)
        detections = self._net.forward(self._outputs)[0]
        return {"found": int(np.asarray(detections).shape[2])}

    def about(self) -> dict[str, Any]:
        return {"version": cv2.__version__}
