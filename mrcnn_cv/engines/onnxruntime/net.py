"""A net run by ONNX Runtime, by the one provider that was asked for and no other.

The packages onnxruntime, onnxruntime-gpu, -directml, -openvino, -silicon and others all bring the module `onnxruntime`;
they differ in the providers that are in it. On Windows it reports to Microsoft unless told not to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import onnxruntime as ort

from mrcnn_cv.engines.base import Float
from mrcnn_cv.errors import BackendError, ModelFileError, Remedy, brief
from mrcnn_cv.graph.export.onnx import to_onnx, without_weights
from mrcnn_cv.graph.export.onnx_layers import RESIZE_BY_AXES
from mrcnn_cv.graph.ir import NetGraph, Relu
from mrcnn_cv.util.opencv import cv2

ort.disable_telemetry_events()
# Warnings go to the terminal past Python. What fails is raised as an error as well, and said better by ours.
ort.set_default_logger_severity(4)

CPU = "CPU"

_SUFFIX = "ExecutionProvider"

_KNOWN_AS = {"Dml": "DirectML", "Tensorrt": "TensorRT", "NvTensorRTRTX": "TensorRT-RTX"}
"""Devices that people know by another name than providers have."""

_NOT_DEVICES = frozenset({"AzureExecutionProvider"})
"""Providers that run no net of their own: this one asks servers."""

_FULL_PRECISION = ("CUDA", "ROCM", "MIGraphX", "DirectML")
"""Graphics cards that compute with the numbers they are given, and are ready in seconds; the fastest first."""

OPSET = RESIZE_BY_AXES
"""Nodes that compute shapes would run on the processor, whatever runs the others."""

_NO_FALLBACK = "session.disable_cpu_ep_fallback"


def devices() -> list[str]:
    """Names of what the installed package has providers for, as `--device` takes them; whether they work is open."""
    return [_name(provider) for provider in ort.get_available_providers() if provider not in _NOT_DEVICES]


def automatic_devices() -> list[str]:
    """Those to try without being asked, in this order: graphics cards, then the processor."""
    here = devices()
    return [name for name in (*_FULL_PRECISION, CPU) if name in here]


def provider_of(device: str) -> str | None:
    """ONNX Runtime's name of a device, which may be written in any case and in its way or ours; None if it has none."""
    wanted = device.lower()
    for provider in ort.get_available_providers():
        if provider not in _NOT_DEVICES and wanted in (provider.removesuffix(_SUFFIX).lower(), _name(provider).lower()):
            return str(provider)
    return None


def canonical(device: str) -> str:
    """A device's name as messages spell it, for one that a provider is here for."""
    provider = provider_of(device)
    return device if provider is None else _name(provider)


def version() -> str:
    """Of the package, as people know it."""
    return str(ort.__version__)


def _name(provider: str) -> str:
    short = provider.removesuffix(_SUFFIX)
    return _KNOWN_AS.get(short, short)


def problem_with(device: str) -> str | None:
    """Why nets cannot run on a device ("CPU", "CUDA", "DirectML"); None when its provider is here and loads."""
    provider = provider_of(device)
    if provider is None:
        return f"ONNX Runtime {version()} has no provider for {device} here, but for {', '.join(devices())}"
    why = "its driver or its libraries are missing"
    try:
        with _nothing_printed():
            _load_libraries(provider)
            probe = NetGraph(("image",), ("result",), (Relu("result", ("image",)),))
            session = ort.InferenceSession(to_onnx(probe), _options(), providers=[provider], enable_fallback=0)
        if provider in session.get_providers():
            return None
    except Exception as error:
        if not _is_its_own(error):
            raise
        why = _said(error)
    return f"ONNX Runtime {version()} has a provider for {canonical(device)}, which does not load: {why}"


class OnnxRuntimeNet:
    """A net run by ONNX Runtime. Its session is made at once, and again where OpenCV's number of threads has changed.

    name: of the backend, which `devices` tells. shapes: of inputs, where they are known; see `write_onnx`.
    """

    def __init__(
        self,
        net: NetGraph,
        name: str,
        device: str = CPU,
        shapes: Mapping[str, Sequence[int | None]] | None = None,
    ) -> None:
        self._net = net
        self._name = name
        self._device = canonical(device)
        self._shapes = shapes
        self._threads = cv2.getNumThreads()
        self._has_run = False
        self.survives_fork = self._device == CPU
        with _as_backend_error(self._device):
            self._session = self._new_session()

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `Net.run`; an error inside ONNX Runtime is a BackendError, or a MemoryError."""
        with _as_backend_error(self._device):
            if self._threads != cv2.getNumThreads():
                self._net.check_source()
                self._session = None
                self._threads = cv2.getNumThreads()
                self._session = self._new_session()
            found = self._session.run(list(self._net.outputs), dict(inputs))
            self._has_run = True
        return [np.asarray(value, dtype=np.float32) for value in found]

    def devices(self) -> set[str]:
        """The backend's name: a session with a node for anything else than its device cannot be made."""
        return {self._name} if self._has_run else set()

    def _new_session(self) -> Any:
        try:
            return self._made()
        finally:
            self._net.release_pages()

    def _made(self) -> Any:
        options = _options(self._threads)
        provider = provider_of(self._device)
        if provider is None:
            raise BackendError(
                f"ONNX Runtime {version()} has no provider for {self._device}: {Remedy.CPU_BACKEND}", Remedy.CPU_BACKEND
            )
        if self._device == CPU:
            model, others = without_weights(self._net, self._shapes, OPSET)
            # They must stay until the session is made, which keeps copies in orders of its own.
            arrays = [tensor.array_or_view() for tensor in others]
            values = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays]
            options.add_external_initializers([tensor.name for tensor in others], values)
            return ort.InferenceSession(model, options, providers=[provider])
        options.add_session_config_entry(_NO_FALLBACK, "1")
        with _nothing_printed():
            _load_libraries(provider)
            session = ort.InferenceSession(
                to_onnx(self._net, self._shapes, OPSET),
                options,
                providers=[(provider, _provider_options(provider, self._threads))],
                enable_fallback=0,
            )
        session.disable_fallback()
        if provider not in session.get_providers():
            raise BackendError(
                f"ONNX Runtime {version()} runs the net on the processor instead of {self._device}:"
                f" {Remedy.CPU_BACKEND}",
                Remedy.CPU_BACKEND,
            )
        return session


def _options(threads: int = 1) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    # Images differ in size: memory that is planned and kept for each is never given back, and saves no time.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Idle threads that spin take the processors from the steps between the nets, and from other nets.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _provider_options(provider: str, threads: int) -> dict[str, str]:
    if provider.startswith("CUDA"):
        # Left to itself, it rounds the factors of products to 10 bits.
        return {"use_tf32": "0"}
    if provider.startswith("OpenVINO"):
        # The session's number of threads is not for its own.
        return {"num_of_threads": str(threads)}
    return {}


def _load_libraries(provider: str) -> None:
    """Load CUDA's libraries from NVIDIA's Python packages, which no search path of the system knows."""
    if provider.startswith(("CUDA", "Tensorrt")) and hasattr(ort, "preload_dlls"):
        ort.preload_dlls(directory="")


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """ONNX Runtime's Python code prints what it also raises."""
    with redirect_stdout(StringIO()):
        yield


def _is_its_own(error: Exception) -> bool:
    """Whether ONNX Runtime raised it: its errors have no common kind."""
    return type(error).__module__.startswith("onnxruntime.") or isinstance(error, (RuntimeError, ValueError))


def _said(error: Exception) -> str:
    """What it says, without where in its sources and under which number."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+:\d+ [^()]*\([^()]*\) ", "", brief(error))


@contextmanager
def _as_backend_error(device: str) -> Iterator[None]:
    try:
        yield
    except (BackendError, ModelFileError, MemoryError):
        raise
    except Exception as error:
        if not _is_its_own(error):
            raise
        text = _said(error)
        if "bad_alloc" in text or "Failed to allocate memory" in text:
            raise MemoryError(text) from error
        if "fallback to CPU EP has been explicitly disabled" in text:
            text = "it has no way to run some of the net's layers there"
        raise BackendError(
            f"ONNX Runtime {version()} failed on {device}, {text}: {Remedy.CPU_BACKEND}", Remedy.CPU_BACKEND
        ) from error
