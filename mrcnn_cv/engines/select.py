"""What this machine can run, choosing among it, building nets, and proving what ran. `engines` has the nets."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn_cv.engines.base import Net, one_line
from mrcnn_cv.engines.opencv.hybrid import CvPieces, pieces_of
from mrcnn_cv.engines.opencv.net import CvNet
from mrcnn_cv.engines.registry import AUTOMATIC, BACKENDS, CHOICES, OPENVINO, OPENVINO_REMEDY, PLUGIN, Backend
from mrcnn_cv.errors import BackendError, ModelFileError, UsageError
from mrcnn_cv.graph.builder import Writer
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.model.definition import StageGraph
from mrcnn_cv.structures.instances import BackendUse
from mrcnn_cv.util.opencv import cv2, quiet

__all__ = ["BACKENDS", "CHOICES", "CvNet", "Net", "Probe", "choose", "probe", "report", "set_threads"]

MAX_THREADS = 1024

_ABSENT = "the package openvino is not installed"


@dataclass(frozen=True)
class Probe:
    """What became of one backend here. `problem` says why it does not run, None when a tiny net really ran on it.

    device: its name. place: OpenVINO's name of it ("GPU.1"), which nets are built for.
    """

    backend: Backend
    in_build: bool
    device: str
    problem: str | None
    place: str = "CPU"

    def build(self, stage: StageGraph, size: tuple[int, int] | None = None, channels: int | None = None) -> Net:
        """A net on this backend.

        size: (height, width) of its input maps, where it is always the same. channels: of them; None: as many as the
        convolutions that see them take.
        """
        return make_net(stage, self.backend, self.place, size, channels)


def make_net(
    stage: StageGraph,
    backend: Backend,
    place: str = "CPU",
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> Net:
    """A net that runs a stage; ModelFileError or BackendError where the engine cannot. See `Probe.build`."""
    if backend.name == "cpu":
        pieces = pieces_of(stage, size, channels)
        if any(piece.kind != "net" for piece in pieces):
            return CvPieces(pieces, stage.outputs, backend)
    if backend.engine != OPENVINO:
        return CvNet(stage, backend)
    from mrcnn_cv.engines.openvino.net import OpenVinoNet

    return OpenVinoNet(stage, backend, place)


def targets_of(engine: str) -> list[int]:
    """cv2.dnn's numbers of the targets that this build offers for a backend; empty where it has neither."""
    number = getattr(cv2.dnn, engine, None)
    return [] if number is None else [int(target) for target in cv2.dnn.getAvailableTargets(number)]


def is_in_build(backend: Backend) -> bool:
    """Whether this OpenCV build offers the backend at all (OpenCL also needs a driver to be offered)."""
    return getattr(cv2.dnn, backend.target, None) in targets_of(backend.engine)


@cache
def probe(name: str, place: str = "CPU") -> Probe:
    """Run a tiny net on a backend and look where it really ran."""
    backend = BACKENDS[name]
    if backend.engine == OPENVINO:
        if find_spec("openvino") is not None:
            return _probe_openvino(backend, place)
        if name != PLUGIN.name:
            return Probe(replace(backend, remedy=OPENVINO_REMEDY), False, "", _ABSENT)
        backend = PLUGIN
    if not is_in_build(backend):
        return Probe(backend, False, "", _why_absent(backend))
    return _tried(Probe(backend, True, device_name(backend), None))


def _probe_openvino(backend: Backend, place: str) -> Probe:
    try:
        from mrcnn_cv.engines.openvino import net as openvino_net
    except (ImportError, OSError) as error:
        return Probe(backend, False, "", f"the package openvino is installed, but cannot be used: {one_line(error)}")
    problem = openvino_net.problem_with(place, backend.target)
    if problem is not None:
        return Probe(backend, True, "", problem, place)
    return _tried(Probe(backend, True, openvino_net.device_name(place), None, place))


def _tried(found: Probe) -> Probe:
    """The same, with its problem if a tiny net does not run there."""
    backend = found.backend
    try:
        with quiet():
            net = found.build(_tiny_stage())
            net.run({"image": np.ones((1, 3, 8, 8), dtype=np.float32)})
    except (BackendError, ModelFileError) as error:
        return replace(found, problem=f"a test net failed on it: {error}")
    if backend.name not in net.devices():
        engine = "OpenVINO" if backend.engine == OPENVINO else "OpenCV"
        problem = f"{engine} ran a test net on {_names(net.devices())} instead, without an error"
        return replace(found, problem=problem)
    return found


def _why_absent(backend: Backend) -> str:
    """Why this process cannot even try a backend: the build, the driver, or the device."""
    if backend is PLUGIN:
        return _ABSENT
    version = f"this build of OpenCV ({cv2.__version__})"
    if backend.engine == "DNN_BACKEND_CUDA" and re.search(r"NVIDIA CUDA:\s+YES", cv2.getBuildInformation()):
        return f"{version} has CUDA, but the driver offers no device for it"
    if backend.target.startswith("DNN_TARGET_OPENCL"):
        found = "finds no OpenCL driver" if not cv2.ocl.haveOpenCL() else "finds no OpenCL device that is a GPU"
        return f"{version} {found}"
    return f"{version} was made without {backend.name.removesuffix('-fp16').replace('cuda', 'CUDA')}"


def _names(devices: set[str]) -> str:
    return " and ".join(sorted(devices)) or "something else"


def _tiny_stage() -> StageGraph:
    layer = pb.NodeDef(name="probe", op="Conv2D")
    layer.attr["strides"].list.i.extend([1, 1, 1, 1])
    layer.attr["padding"].s = b"SAME"
    writer = Writer()
    image = writer.placeholder("image")
    result = writer.weighted(layer, image, np.ones((3, 3, 3, 4), np.float32), np.zeros(4, np.float32), 1)
    return StageGraph(writer.serialize(), (image,), (result,))


def choose(requested: str, place: str | None = None) -> Probe:
    """The backend for `--backend requested`; `auto` takes the best that really works.

    place: of `--device`, one of OpenVINO's ("GPU"), which asks for OpenVINO; None: the processor. Raises BackendError
    for an explicit choice that cannot run, with what this build offers and the remedy; UsageError for a name that is
    none.
    """
    if place is not None and requested == "auto":
        requested = OPENVINO
    if requested == "auto":
        return next(found for found in map(probe, AUTOMATIC) if found.problem is None or found.backend.name == "cpu")
    if requested not in BACKENDS:
        raise UsageError(f"there is no backend '{requested}': choose one of {', '.join(CHOICES)}")
    if place is not None and BACKENDS[requested].engine != OPENVINO:
        raise UsageError(f"--device goes with --backend openvino, not with {requested}: leave one of them out")
    found = probe(requested, (place or "CPU").upper())
    if found.problem is not None:
        raise BackendError(
            f"--backend {requested} cannot run here: {found.problem}; {offers()}; {found.backend.remedy}"
        )
    return found


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
                f"--backend {requested} was set up, but every layer ran on {_names(ran_on)} instead;"
                f" {offers()}; {used.remedy}"
            )
        used = BACKENDS["cpu"]
    return BackendUse(requested, used.name, chosen.device if used is chosen.backend else device_name(used))


def device_name(backend: Backend) -> str:
    """The name of the processor or graphics card behind a backend, as well as this machine tells it."""
    try:
        if backend.name.startswith("opencl"):
            return str(cv2.ocl.Device.getDefault().name())
        if backend.name.startswith("cuda"):
            # Not in the type stubs: only builds with CUDA have it.
            information: Any = cv2.cuda.DeviceInfo(cv2.cuda.getDevice())
            return str(information.name())
    except (AttributeError, cv2.error):
        return "unknown"
    return _processor()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "CPU"


def set_threads(count: int) -> None:
    """Let OpenCV use `count` threads; 0: as many as this process may use. UsageError for what is no such number."""
    if not 0 <= count <= MAX_THREADS:
        raise UsageError(f"threads must lie between 0 and {MAX_THREADS}, not {count}")
    cv2.setNumThreads(count or available_processors())


def available_processors() -> int:
    """How many processors this process may use (containers and `taskset` give fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
