"""A baseline: ONNX Runtime on the whole .onnx file. Imports nothing of mrcnn-cv: it may run in another environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped, import-not-found, unused-ignore]


class Runner:
    """job: model (.onnx), image (.npy of what the graph takes), threads."""

    def __init__(self, job: dict[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
        self._feed = {self._session.get_inputs()[0].name: np.load(job["image"])}

    def run(self) -> dict[str, Any]:
        """The whole graph on the image, its resizing included where the graph holds it."""
        self._session.run(None, self._feed)
        return {}

    def about(self) -> dict[str, Any]:
        return {"version": onnxruntime.__version__}
