"""cv2.dnn as an engine: its classic one where there is a TensorFlow importer, else its new one with ONNX."""

from __future__ import annotations

import re
from typing import Any

from mrcnn_cv.engines.base import Backend, Net
from mrcnn_cv.engines.opencv.hybrid import HybridNet, pieces_of
from mrcnn_cv.engines.opencv.net import CvDnnNet, CvNet
from mrcnn_cv.engines.opencv.onnx_net import DEVICES, CvOnnxNet, is_the_engine
from mrcnn_cv.engines.registry import BACKENDS, OPENCV_INFERENCE_ENGINE
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.partial_shapes import partial_shapes
from mrcnn_cv.util.opencv import cv2
from mrcnn_cv.util.parallel import processor


class OpenCvEngine:
    """See `Engine`. Its backends name their devices themselves."""

    title = "OpenCV"

    def absent(self, backend: Backend) -> str | None:
        """The version, the build, the driver, or the device."""
        if is_the_engine():
            if backend.name in DEVICES:
                return None
            if backend is OPENCV_INFERENCE_ENGINE:
                return "the package openvino is not installed"
            return (
                f"OpenCV {cv2.__version__} runs nets on the processor alone; OpenCV 4.10 to 5.0 has"
                f" {backend.name}, in builds that were made with it"
            )
        if is_in_build(backend):
            return None
        if backend is OPENCV_INFERENCE_ENGINE:
            return "the package openvino is not installed"
        version = f"this build of OpenCV ({cv2.__version__})"
        if backend.cv_backend == "DNN_BACKEND_CUDA" and re.search(r"NVIDIA CUDA:\s+YES", cv2.getBuildInformation()):
            return f"{version} has CUDA, but the driver offers no device for it"
        if backend.name.startswith("opencl"):
            found = "finds no OpenCL driver" if not cv2.ocl.haveOpenCL() else "finds no OpenCL device that is a GPU"
            return f"{version} {found}"
        return f"{version} was made without {backend.name.removesuffix('-fp16').replace('cuda', 'CUDA')}"

    def remedy(self, backend: Backend) -> str:
        """Which OpenCV, where this one never has it."""
        if not is_the_engine():
            return backend.remedy
        if backend is OPENCV_INFERENCE_ENGINE:
            return BACKENDS[OPENCV_INFERENCE_ENGINE.name].remedy
        return "pip install 'opencv-python<5.1' in its place, or use the backend onnxruntime or openvino"

    def problem(self, backend: Backend, device: str | None) -> str | None:
        """Only a net tells."""
        return None

    def device_name(self, backend: Backend, device: str | None) -> str:
        """As well as this machine tells it."""
        try:
            if backend.name.startswith("opencl"):
                return str(cv2.ocl.Device.getDefault().name())
            if backend.name.startswith("cuda"):
                # Not in the type stubs: only builds with CUDA have it.
                information: Any = cv2.cuda.DeviceInfo(cv2.cuda.getDevice())
                return str(information.name())
        except (AttributeError, cv2.error):
            return "unknown"
        return processor()

    def make_net(
        self, net: ir.NetGraph, backend: Backend, device: str | None = None, size: tuple[int, int] | None = None
    ) -> Net:
        """On the processor in pieces, each by what does it fastest."""
        shapes = partial_shapes(net)

        def of_opencv(part: ir.NetGraph) -> CvDnnNet:
            if is_the_engine():
                # Maps are laid out in other sizes than the net's, and tried out with other numbers of channels.
                return CvOnnxNet(part, {name: shapes[name] for name in part.inputs if len(shapes[name]) == 2})
            return CvNet(part, backend)

        pieces = pieces_of(net, size, not is_the_engine()) if backend.name == "cpu" else []
        is_hybrid = any(piece.kind != "net" for piece in pieces)
        made = HybridNet(pieces, net, of_opencv) if is_hybrid else of_opencv(net)
        net.release_pages()
        return made


def is_in_build(backend: Backend) -> bool:
    """Whether this OpenCV build offers the backend at all (OpenCL also needs a driver to be offered)."""
    return getattr(cv2.dnn, backend.target, None) in targets_of(backend.cv_backend)


def targets_of(cv_backend: str) -> list[int]:
    """cv2.dnn's numbers of the targets that this build offers for a backend; empty where it has neither."""
    number = getattr(cv2.dnn, cv_backend, None)
    return [] if number is None else [int(target) for target in cv2.dnn.getAvailableTargets(number)]
