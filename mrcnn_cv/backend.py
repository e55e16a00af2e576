"""What this machine can run, choosing among it, building nets, and proving what ran. Only this module touches nets.

cv2.dnn is the default and the reference. Another engine is one more class with the methods of `Net`.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import BackendError, ModelFileError, UsageError
from mrcnn_cv.instances import BackendUse
from mrcnn_cv.modelfile.protos import graph_pb2 as pb
from mrcnn_cv.modelfile.spec import StageGraph
from mrcnn_cv.modelfile.stagewriter import BIAS_SUFFIX, CROPS, Writer
from mrcnn_cv.opencv import cv2, quiet

Float = NDArray[np.float32]


class Net(Protocol):
    """One net, ready to run."""

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """The outputs of the stage, in its order. The arrays are the caller's to keep."""

    def devices(self) -> set[str]:
        """Names of the backends (of `BACKENDS`) that the layers really ran on; known after the first run."""


@dataclass(frozen=True)
class Backend:
    """A choice of `--backend`: cv2.dnn's names for it, how its layers call themselves in a dump, and the remedy."""

    name: str
    engine: str
    target: str
    mark: str
    remedy: str


_CUDA_REMEDY = (
    "PyPI has no wheels of OpenCV with CUDA: build OpenCV with -DWITH_CUDA=ON -DOPENCV_DNN_CUDA=ON"
    " (NVIDIA driver, CUDA and cuDNN installed), or install a build of it that someone you trust made"
)
_OPENCL_REMEDY = (
    "install the OpenCL driver of your graphics card (Debian and Ubuntu: intel-opencl-icd, mesa-opencl-icd,"
    " or NVIDIA's driver);"
    " OpenCV runs nets only on OpenCL devices that are GPUs"
)
_OPENVINO_REMEDY = "PyPI's wheels of OpenCV have no OpenVINO: build OpenCV with -DWITH_OPENVINO=ON"

BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("cuda", "DNN_BACKEND_CUDA", "DNN_TARGET_CUDA", "CUDA/CUDA", _CUDA_REMEDY),
        Backend("cuda-fp16", "DNN_BACKEND_CUDA", "DNN_TARGET_CUDA_FP16", "CUDA/CUDA_FP16", _CUDA_REMEDY),
        Backend("openvino", "DNN_BACKEND_INFERENCE_ENGINE", "DNN_TARGET_CPU", "OpenVINO/CPU", _OPENVINO_REMEDY),
        Backend("opencl", "DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL", "OCV/OCL", _OPENCL_REMEDY),
        Backend("opencl-fp16", "DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL_FP16", "OCV/OCL_FP16", _OPENCL_REMEDY),
        Backend("cpu", "DNN_BACKEND_OPENCV", "DNN_TARGET_CPU", "OCV/CPU", ""),
    )
}
"""In the order of preference."""

AUTOMATIC = ("cuda", "opencl", "cpu")
"""What `auto` tries: full precision only, so that it never trades accuracy for speed."""

_LAYER_MARK = re.compile(r"((?:OCV|CUDA|OpenVINO)/[A-Z0-9_]+)\\n")
"""How a dump ends a layer's text: backend, target, and a line feed in the spelling of Graphviz."""

MAX_THREADS = 1024

KEEPS_OLD_PADDINGS = tuple(int(part) for part in cv2.__version__.split(".")[:2]) < (4, 13)
"""Before 4.13 a net keeps the SAME paddings of its first input for inputs of other sizes, and is silently wrong."""

CHOICES = ("auto", *BACKENDS)


@dataclass(frozen=True)
class Probe:
    """What became of one backend here. `problem` says why it does not run, None when a tiny net really ran on it."""

    backend: Backend
    in_build: bool
    device: str
    problem: str | None


class CvNet:
    """A stage run by cv2.dnn."""

    def __init__(self, stage: StageGraph, backend: Backend) -> None:
        self._backend = backend
        # Heads pad crops, which are all of one size.
        self._stage = stage if KEEPS_OLD_PADDINGS and CROPS not in stage.inputs else None
        self._sizes: list[tuple[int, ...]] = []
        self._has_run = False
        self._net = _read(stage.graph_def, backend)
        layers = set(self._net.getLayerNames())
        # The importer folds a bias into its convolution and keeps only the convolution's name.
        self._outputs = [name if name in layers else name.removesuffix(BIAS_SUFFIX) for name in stage.outputs]
        missing = [name for name in self._outputs if name not in layers]
        if missing:
            raise ModelFileError(f"OpenCV {cv2.__version__} does not import the layer '{missing[0]}'")

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `Net.run`; an error inside OpenCV is a BackendError."""
        # How many crops there are changes nothing about paddings.
        sizes = [value.shape[1:] for value in inputs.values()]
        if self._stage is not None and self._sizes and sizes != self._sizes:
            self._net = _read(self._stage.graph_def, self._backend)
        self._sizes = sizes
        self._has_run = True
        try:
            for name, value in inputs.items():
                self._net.setInput(value, name)
            # What is no copy is a view of a buffer that the next run overwrites.
            outputs: list[Any] = list(self._net.forward(self._outputs))
            return [output if output.flags.owndata else np.array(output) for output in outputs]
        except cv2.error as error:
            raise BackendError(f"OpenCV {cv2.__version__} failed inside the net: {_one_line(error)}") from error

    def devices(self) -> set[str]:
        """Read from OpenCV's own dump of the net, which marks every layer with what it was set up on.

        Empty for a net that has not run yet, such as a mask head as long as nothing was found.
        """
        if not self._has_run:
            return set()
        marks = set(_LAYER_MARK.findall(self._net.dump()))
        return {backend.name for backend in BACKENDS.values() if backend.mark in marks}


def _read(graph_def: bytes, backend: Backend) -> cv2.dnn.Net:
    # OpenCV 5's new engine ignores backends and targets; where there is a choice, ask for the classic one by name.
    engine: dict[str, Any] = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    try:
        net: cv2.dnn.Net = cv2.dnn.readNetFromTensorflow(np.frombuffer(graph_def, dtype=np.uint8), **engine)
    except cv2.error as error:
        raise ModelFileError(f"OpenCV {cv2.__version__} cannot import the net: {_one_line(error)}") from error
    try:
        net.setPreferableBackend(getattr(cv2.dnn, backend.engine))
        net.setPreferableTarget(getattr(cv2.dnn, backend.target))
    except cv2.error as error:
        raise BackendError(f"OpenCV {cv2.__version__} cannot set up {backend.name}: {_one_line(error)}") from error
    return net


def _one_line(error: cv2.error) -> str:
    return " ".join(str(error).split())[:300]


def targets_of(engine: str) -> list[int]:
    """cv2.dnn's numbers of the targets that this build offers for a backend; empty where it has neither."""
    number = getattr(cv2.dnn, engine, None)
    return [] if number is None else [int(target) for target in cv2.dnn.getAvailableTargets(number)]


def is_in_build(backend: Backend) -> bool:
    """Whether this OpenCV build offers the backend at all (OpenCL also needs a driver to be offered)."""
    return getattr(cv2.dnn, backend.target, None) in targets_of(backend.engine)


@cache
def probe(name: str) -> Probe:
    """Run a tiny net on a backend and look where it really ran."""
    backend = BACKENDS[name]
    if not is_in_build(backend):
        return Probe(backend, False, "", _why_absent(backend))
    device = device_name(backend)
    try:
        with quiet():
            net = CvNet(_tiny_stage(), backend)
            net.run({"image": np.ones((1, 3, 8, 8), dtype=np.float32)})
    except (BackendError, ModelFileError) as error:
        return Probe(backend, True, device, f"a test net failed on it: {error}")
    if backend.name not in net.devices():
        return Probe(
            backend, True, device, f"OpenCV ran a test net on {_names(net.devices())} instead, without an error"
        )
    return Probe(backend, True, device, None)


def _why_absent(backend: Backend) -> str:
    """Why this process cannot even try a backend: the build, the driver, or the device."""
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


def choose(requested: str) -> Probe:
    """The backend for `--backend requested`; `auto` takes the best that really works.

    Raises BackendError for an explicit choice that cannot run, with what this build offers and the remedy; UsageError
    for a name that is none.
    """
    if requested == "auto":
        return next(found for found in map(probe, AUTOMATIC) if found.problem is None or found.backend.name == "cpu")
    if requested not in BACKENDS:
        raise UsageError(f"there is no backend '{requested}': choose one of {', '.join(CHOICES)}")
    found = probe(requested)
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
                f"--backend {requested} was set up, but OpenCV ran every layer on {_names(ran_on)} instead;"
                f" {offers()}; {used.remedy}"
            )
        used = BACKENDS["cpu"]
    return BackendUse(requested, used.name, device_name(used))


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
