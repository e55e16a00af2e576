"""A baseline: OpenVINO on the whole graph. Imports nothing of mrcnn-cv: it may run in another environment."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

# Without it no statistics are sent; see mrcnn_cv/engines/openvino/layers.py.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino as ov  # noqa: E402


class Runner:
    """job: model (.pb or .onnx), image (.npy of what the graph takes), precision ("f32", "bf16"), threads."""

    def __init__(self, job: dict[str, Any]) -> None:
        core = ov.Core()
        precision = {"f32": "FP32", "bf16": "BF16"}[job["precision"]]
        if precision not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeError(f"this processor does not compute with {job['precision']} numbers")
        settings = {
            "INFERENCE_PRECISION_HINT": job["precision"],
            "INFERENCE_NUM_THREADS": job["threads"],
            "NUM_STREAMS": 1,
        }
        self._request = core.compile_model(core.read_model(job["model"]), "CPU", settings).create_infer_request()
        self._image = np.load(job["image"])

    def run(self) -> dict[str, Any]:
        """The whole graph on the image, its resizing included where the graph holds it."""
        self._request.infer({0: self._image}, share_inputs=True, share_outputs=True)
        return {}

    def about(self) -> dict[str, Any]:
        return {"version": str(ov.__version__).partition("-")[0]}
