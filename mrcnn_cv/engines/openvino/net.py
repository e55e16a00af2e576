"""A net run by the package `openvino`: on processors, and on Intel's graphics and neural processors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from mrcnn_cv.engines.base import Float, one_line
from mrcnn_cv.engines.openvino.layers import translate
from mrcnn_cv.engines.openvino.package import ov
from mrcnn_cv.engines.registry import Backend
from mrcnn_cv.errors import BackendError
from mrcnn_cv.graph.builder import CROPS
from mrcnn_cv.model.definition import StageGraph
from mrcnn_cv.util.opencv import cv2

CAPABILITY = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
"""OpenVINO's names for precisions: of the hint, and among the capabilities of a device."""

_MIXED = ("AUTO", "HETERO", "MULTI")
"""Devices that are made of others."""


@cache
def core() -> ov.Core:
    """One for the whole process: it loads the plugins."""
    return ov.Core()


def problem_with(device: str, precision: str) -> str | None:
    """Why nets cannot run on a device ("CPU", "GPU.1", "NPU") in a precision; None when they can."""
    here = core().available_devices
    if device not in here and f"{device}.0" not in here and device.partition(":")[0] not in _MIXED:
        return f"OpenVINO {version()} has no device {device} here, but {', '.join(here)}"
    capabilities = core().get_property(device, "OPTIMIZATION_CAPABILITIES")
    if CAPABILITY[precision] not in capabilities:
        return f"{device_name(device)} does not compute with {precision} numbers"
    return None


def device_name(device: str) -> str:
    """What the hardware calls itself."""
    return str(core().get_property(device, "FULL_DEVICE_NAME"))


def version() -> str:
    """Of the package, as people know it."""
    return str(ov.__version__).partition("-")[0]


class OpenVinoNet:
    """A stage run by OpenVINO. It is compiled at its first run, when it is known how many channels its input has."""

    def __init__(self, stage: StageGraph, backend: Backend, device: str = "CPU") -> None:
        self._stage = stage
        self._backend = backend
        self._device = device
        self._threads = 0
        self._request: Any = None

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `Net.run`; an error inside OpenVINO is a BackendError."""
        try:
            if self._request is None or self._threads != cv2.getNumThreads():
                self._compile(inputs)
            found = self._request.infer(dict(inputs), share_inputs=True, share_outputs=True)
            return [np.array(found[index], dtype=np.float32) for index in range(len(self._stage.outputs))]
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO {version()} failed on {self._device}: {one_line(error)}; --backend cpu does without it"
            ) from error

    def devices(self) -> set[str]:
        """As OpenVINO tells of the net that it compiled, which need not be what was asked for."""
        if self._request is None:
            return set()
        compiled = self._request.get_compiled_model()
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        ran_on = compiled.get_property("EXECUTION_DEVICES")
        if precision == self._backend.target and all(name.startswith(self._device) for name in ran_on):
            return {self._backend.name}
        return {f"{name} with {precision} numbers" for name in ran_on}

    def _compile(self, inputs: Mapping[str, Float]) -> None:
        # Images are of any size, crops of any number.
        shapes = {
            name: [-1, *value.shape[1:]] if name == CROPS or value.ndim == 2 else [*value.shape[:2], -1, -1]
            for name, value in inputs.items()
        }
        self._threads = cv2.getNumThreads()
        # Left to itself, OpenVINO computes with bf16 numbers wherever it can.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self._backend.target, "NUM_STREAMS": 1}
        if self._device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = self._threads
            # Pinned, the threads of all nets of one thread each would share the first processor.
            settings["ENABLE_CPU_PINNING"] = False
        model = translate(self._stage, shapes)
        self._request = core().compile_model(model, self._device, settings).create_infer_request()
