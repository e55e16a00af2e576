"""The one place that imports ONNX Runtime, and what its package here can run on.

The packages onnxruntime, onnxruntime-gpu, -directml, -openvino, -silicon and others all bring the module `onnxruntime`;
they differ in the providers that are in it. On Windows it reports to Microsoft unless told not to.
"""

from __future__ import annotations

import onnxruntime as ort

__all__ = ["CPU", "automatic_devices", "canonical", "devices", "ort", "provider_of", "version"]

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
