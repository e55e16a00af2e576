"""A net run by the package `openvino`: on processors, and on Intel's graphics and neural processors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from mrcnn_cv.engines.base import Backend, Float
from mrcnn_cv.engines.openvino.layers import ov, translate
from mrcnn_cv.errors import BackendError, Remedy, brief
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.partial_shapes import Shape, input_shapes
from mrcnn_cv.util.memory import EveryFewSizes
from mrcnn_cv.util.opencv import cv2

CAPABILITY = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
"""OpenVINO's names for precisions: of the hint, and among the capabilities of a device."""

_MIXED = ("AUTO", "HETERO", "MULTI", "BATCH")
"""Devices that are made of others."""

KEPT_PRIMITIVES = 256
"""Of a net: what OpenVINO has compiled for a layer and the size of its map. Its default of 5,000 keeps 160 MiB more
after 800 sizes of images through a net of 3.4 MB; to compile one anew takes no time that could be measured."""

NEW_SIZES = 8
"""Sizes of maps after which freed memory goes back to the system."""


@cache
def core() -> ov.Core:
    """One for the whole process: it loads the plugins."""
    return ov.Core()


def problem_with(device: str, precision: str) -> str | None:
    """Why nets cannot run on a device ("CPU", "GPU.1", "NPU") in a precision; None when they can."""
    here = core().available_devices
    if device.partition(":")[0] in _MIXED:
        return (
            f"{device} lets OpenVINO choose devices, so that nobody could say what ran: name one of {', '.join(here)}"
        )
    if device not in here and f"{device}.0" not in here:
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
    """A net run by OpenVINO, compiled at once; again where OpenCV's number of threads has changed since.

    size: (height, width) of its input maps, where it is always the same.
    """

    def __init__(
        self, net: ir.NetGraph, backend: Backend, device: str = "CPU", size: tuple[int, int] | None = None
    ) -> None:
        self._net = net
        self._backend = backend
        self._device = device
        self._shapes = {name: _dynamic(shape, size) for name, shape in input_shapes(net).items()}
        self._has_run = False
        self.survives_fork = device.partition(".")[0] == "CPU"
        self._sizes = EveryFewSizes(NEW_SIZES)
        with self._failing():
            self._compile()

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `Net.run`; an error inside OpenVINO is a BackendError."""
        with self._failing():
            if self._threads != cv2.getNumThreads():
                self._net.check_source()
                self._compile()
            found = self._request.infer(dict(inputs), share_inputs=True, share_outputs=True)
            self._has_run = True
            results = [np.array(found[index], dtype=np.float32) for index in range(len(self._net.outputs))]
        self._sizes.saw(*(array.shape for array in inputs.values()))
        return results

    def devices(self) -> set[str]:
        """As OpenVINO tells of the net that it compiled, which need not be what was asked for."""
        if not self._has_run:
            return set()
        compiled = self._request.get_compiled_model()
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        ran_on = compiled.get_property("EXECUTION_DEVICES")
        if precision == self._backend.target and all(name.startswith(self._device) for name in ran_on):
            return {self._backend.name}
        return {f"{name} with {precision} numbers" for name in ran_on}

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What OpenVINO raises inside is a BackendError."""
        try:
            yield
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO {version()} failed on {self._device}, {brief(error)}: {Remedy.CPU_BACKEND}",
                Remedy.CPU_BACKEND,
            ) from error

    def _compile(self) -> None:
        self._threads = cv2.getNumThreads()
        # Left to itself, OpenVINO computes with bf16 numbers wherever it can.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self._backend.target, "NUM_STREAMS": 1}
        if self._device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = self._threads
            # Pinned, the threads of all nets of one thread each would share the first processor.
            settings["ENABLE_CPU_PINNING"] = False
            settings["CPU_RUNTIME_CACHE_CAPACITY"] = KEPT_PRIMITIVES
        model = translate(self._net, self._shapes)
        self._request = core().compile_model(model, self._device, settings).create_infer_request()
        self._net.release_pages()


def _dynamic(shape: Shape, size: tuple[int, int] | None) -> list[int]:
    """A shape in OpenVINO's terms: -1 for sides that may differ from run to run."""
    sides = [-1 if side is None else side for side in shape]
    return sides if size is None or len(sides) != 4 else [*sides[:2], *size]
