"""What this machine can run, choosing among it, and proving what ran."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from mrcnn_cv.engines.base import Backend, Net
from mrcnn_cv.engines.registry import (
    AUTOMATIC,
    BACKENDS,
    CHOICES,
    ENGINES,
    OPENCV_INFERENCE_ENGINE,
    backend_named,
    engine_of,
)
from mrcnn_cv.errors import BackendError, ModelFileError, Remedy, UsageError
from mrcnn_cv.graph import ir
from mrcnn_cv.structures.instances import BackendUse
from mrcnn_cv.util.c_locale import c_locale
from mrcnn_cv.util.opencv import cv2, quiet
from mrcnn_cv.util.parallel import available_processors

__all__ = [
    "BACKENDS",
    "CHOICES",
    "Probe",
    "available_processors",
    "choose",
    "device_name",
    "following",
    "make_net",
    "offers",
    "probe",
    "report",
    "set_threads",
    "tiny_net",
]

MAX_THREADS = 1024

OPENVINO_DEVICES = ("CPU", "GPU", "NPU", "AUTO", "HETERO", "MULTI")
"""Devices that ask for OpenVINO where no backend is named; others are ONNX Runtime's providers."""


@dataclass(frozen=True)
class Probe:
    """What became of one backend here. `problem` says why it does not run, None when a tiny net really ran on it.

    device: its name. device_id: the engine's name of it ("GPU.1"), which nets are built for; None: its default.
    """

    backend: Backend
    in_build: bool
    device: str
    problem: str | None
    device_id: str | None = None

    def build(self, net: ir.NetGraph, size: tuple[int, int] | None = None) -> Net:
        """A net on this backend. size: (height, width) of its input maps, where it is always the same."""
        return make_net(net, self.backend, self.device_id, size)


@cache
def probe(name: str, device: str | None = None) -> Probe:
    """Run a tiny net on a backend and look where it really ran."""
    backend = _known(name)
    with ENGINES.blame(backend.engine), c_locale():
        return _probed(backend, device)


def _known(name: str) -> Backend:
    backend = backend_named(name)
    if backend is None:
        raise UsageError(f"there is no backend '{name}': choose one of {', '.join(CHOICES)}")
    return backend


def _probed(backend: Backend, device: str | None) -> Probe:
    absent = engine_of(backend).absent(backend)
    if absent is not None and backend.name == OPENCV_INFERENCE_ENGINE.name:
        backend = OPENCV_INFERENCE_ENGINE
        absent = engine_of(backend).absent(backend)
    if absent is not None:
        return Probe(replace(backend, remedy=engine_of(backend).remedy(backend)), False, "", absent)
    engine = engine_of(backend)
    problem = engine.problem(backend, device)
    if problem is not None:
        return Probe(backend, True, "", problem, device)
    return _tried(Probe(backend, True, engine.device_name(backend, device), None, device))


def _tried(found: Probe) -> Probe:
    """The same, with its problem if a tiny net does not run there."""
    try:
        with quiet():
            net = found.build(_probe_net())
            net.run({ir.IMAGE: np.ones((1, 3, 8, 8), dtype=np.float32)})
    except (BackendError, ModelFileError) as error:
        return replace(found, problem=f"a test net failed on it: {error}")
    except MemoryError:
        return replace(found, problem="the memory that is left does not suffice for a test net")
    if found.backend.name not in net.devices():
        title = engine_of(found.backend).title
        problem = f"{title} ran a test net on {_names(net.devices())} instead, without an error"
        return replace(found, problem=problem)
    return found


def tiny_net() -> ir.NetGraph:
    """A convolution of 3x3 ones on three channels, which puts out four."""
    layer = ir.Conv2d("probe", (ir.IMAGE,), np.ones((4, 3, 3, 3), np.float32), padding=(1, 1, 1, 1))
    return ir.NetGraph((ir.IMAGE,), (layer.name,), (layer,))


def _probe_net() -> ir.NetGraph:
    """The tiny net with a layer of each kind behind it that engines have failed at where convolutions ran."""
    convolution = tiny_net().layers[0]
    maximum = ir.MaxPool2d("maximum", (convolution.name,), (3, 3), (2, 2), (0, 0, 1, 1))
    mean = ir.AvgPool2d("mean", (maximum.name,), (2, 2), (2, 2))
    upsampled = ir.Upsample("upsampled", (mean.name,), (2, 2))
    return ir.NetGraph((ir.IMAGE,), (upsampled.name,), (convolution, maximum, mean, upsampled))


def choose(requested: str, device: str | None = None) -> Probe:
    """The backend of a name; "auto" chooses the best one that really works.

    device: an engine's name of one ("GPU", "CUDA"); None: the engine's default. Raises BackendError for
    an explicit choice that cannot run, with what this build offers and the remedy; UsageError for a name that is none.
    """
    device = (device or "").strip() or None
    if requested == "auto" and device is None:
        return next(found for found in map(probe, AUTOMATIC) if found.problem is None or found.backend.name == "cpu")
    if requested == "auto":
        found = probe(_backend_for(device or ""), device)
        if found.problem is not None:
            raise BackendError(f"the device {device} cannot be used here: {found.problem}; {offers()}", Remedy.DEVICE)
        return found
    if device is not None and _known(requested).engine == "opencv":
        raise UsageError(
            f"a device goes with the backend openvino or onnxruntime, not with {requested}: leave one of them out",
            Remedy.DEVICE,
            Remedy.BACKEND,
        )
    found = probe(requested, device)
    if found.problem is not None:
        # What is there and does not run is not mended by installing it.
        remedy = "" if found.in_build else f"; {found.backend.remedy}"
        raise BackendError(
            f"the backend {requested} cannot run here: {found.problem}; {offers()}{remedy}", Remedy.BACKEND
        )
    return found


def following(failed: Probe) -> Probe | None:
    """What `auto` chooses next where nets cannot be built on what it chose; None where nothing is left."""
    names = AUTOMATIC[AUTOMATIC.index(failed.backend.name) + 1 :]
    return next((found for found in map(probe, names) if found.problem is None), None)


def _backend_for(device: str) -> str:
    """Which engine a device is one of, where no backend is named: OpenVINO's are few."""
    openvino = BACKENDS["openvino"]
    if device.upper().replace(":", ".").partition(".")[0] not in OPENVINO_DEVICES:
        return "onnxruntime"
    is_there = engine_of(openvino).absent(openvino) is None or device.upper() != "CPU"
    return "openvino" if is_there else "onnxruntime"


def offers() -> str:
    """What works here, as part of a sentence."""
    return "what works here: " + ", ".join(name for name in BACKENDS if probe(name).problem is None)


def report(requested: str, chosen: Probe, ran_on: set[str]) -> BackendUse:
    """What was asked for and what ran, from the devices of all nets of a model.

    Raises BackendError when an explicit choice ended on the CPU without a layer on what was asked for.
    """
    used = chosen.backend
    if used.name not in ran_on:
        if requested != "auto":
            raise BackendError(
                f"the backend {requested} was set up, but every layer ran on {_names(ran_on)} instead;"
                f" {offers()}; {used.remedy}",
                Remedy.BACKEND,
            )
        used = BACKENDS["cpu"]
    return BackendUse(requested, used.name, chosen.device if used is chosen.backend else device_name(used))


def _names(devices: set[str]) -> str:
    return " and ".join(sorted(devices)) or "something else"


def device_name(backend: Backend) -> str:
    """The name of the default device behind a backend."""
    return engine_of(backend).device_name(backend, None)


def make_net(net: ir.NetGraph, backend: Backend, device: str | None = None, size: tuple[int, int] | None = None) -> Net:
    """See `Engine.make_net`."""
    engine = engine_of(backend)
    with ENGINES.blame(backend.engine), c_locale():
        return engine.make_net(net, backend, device, size)


def set_threads(count: int) -> None:
    """Let OpenCV use `count` threads; 0: as many as this process may use. UsageError for what is no such number."""
    if not 0 <= count <= MAX_THREADS:
        raise UsageError(f"threads must lie between 0 and {MAX_THREADS}, not {count}")
    cv2.setNumThreads(count or available_processors())
