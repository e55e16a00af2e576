"""The engines, and the backends that people choose among: a new one is a row in each table.

An engine that is registered, or an entry point `mrcnn_cv.engines` of an installed package, is a backend of its name.
"""

from __future__ import annotations

from functools import cache

from mrcnn_cv.engines.base import Backend, Engine
from mrcnn_cv.util.registry import Registry, lacks

ENGINES: Registry[type[Engine]] = Registry(
    "engine",
    "mrcnn_cv.engines",
    {
        "opencv": "mrcnn_cv.engines.opencv.engine:OpenCvEngine",
        "openvino": "mrcnn_cv.engines.openvino.engine:OpenVinoEngine",
        "onnxruntime": "mrcnn_cv.engines.onnxruntime.engine:OnnxRuntimeEngine",
    },
    lacks("title", "absent", "remedy", "problem", "device_name", "make_net"),
)

_CUDA_REMEDY = (
    "PyPI has no wheels of OpenCV with CUDA: build OpenCV with -DWITH_CUDA=ON -DOPENCV_DNN_CUDA=ON"
    " (NVIDIA driver, CUDA and cuDNN installed), or install a build of it that someone you trust made"
)
_OPENCL_REMEDY = (
    "install the OpenCL driver of your graphics card (Debian and Ubuntu: intel-opencl-icd, mesa-opencl-icd,"
    " or NVIDIA's driver);"
    " OpenCV runs nets only on OpenCL devices that are GPUs"
)
_OPENVINO_REMEDY = "pip install 'mrcnn-cv[openvino]'"
_PRECISION_REMEDY = "choose the backend openvino, which computes with 32 bits, or another device"
_ONNXRUNTIME_REMEDY = (
    "pip install 'mrcnn-cv[onnxruntime]', or the build of ONNX Runtime for your graphics card (onnxruntime-gpu,"
    " onnxruntime-directml, ...)"
)


def _opencv(name: str, api: str, target: str, mark: str, remedy: str) -> Backend:
    return Backend(name, "opencv", f"DNN_TARGET_{target}", remedy, f"DNN_BACKEND_{api}", mark)


BACKENDS = {
    backend.name: backend
    for backend in (
        _opencv("cuda", "CUDA", "CUDA", "CUDA/CUDA", _CUDA_REMEDY),
        _opencv("cuda-fp16", "CUDA", "CUDA_FP16", "CUDA/CUDA_FP16", _CUDA_REMEDY),
        Backend("openvino", "openvino", "f32", _OPENVINO_REMEDY),
        Backend("openvino-bf16", "openvino", "bf16", _PRECISION_REMEDY),
        Backend("openvino-fp16", "openvino", "f16", _PRECISION_REMEDY),
        Backend("onnxruntime", "onnxruntime", "f32", _ONNXRUNTIME_REMEDY),
        _opencv("opencl", "OPENCV", "OPENCL", "OCV/OCL", _OPENCL_REMEDY),
        _opencv("opencl-fp16", "OPENCV", "OPENCL_FP16", "OCV/OCL_FP16", _OPENCL_REMEDY),
        _opencv("cpu", "OPENCV", "CPU", "OCV/CPU", ""),
    )
}
"""In the order of preference."""

OPENCV_INFERENCE_ENGINE = _opencv(
    "openvino",
    "INFERENCE_ENGINE",
    "CPU",
    "OpenVINO/CPU",
    f"{_OPENVINO_REMEDY}, or build OpenCV with -DWITH_OPENVINO=ON",
)
"""What "openvino" means where the package is missing: the OpenVINO inside of some builds of OpenCV."""

AUTOMATIC = ("cuda", "openvino", "onnxruntime", "opencl", "cpu")
"""What `auto` tries: full precision only, so that it never trades accuracy for speed."""

CHOICES = ("auto", *BACKENDS)


def backend_named(name: str) -> Backend | None:
    """The backend of a name, also of an installed package; None where there is none. Imports no engine."""
    if name in BACKENDS or name in _BUILT_IN or not ENGINES.knows(name):
        return BACKENDS.get(name)
    return Backend(name, name, "", "see the documentation of the package that brings this engine")


def engine_of(backend: Backend) -> Engine:
    """The engine of a backend. Raises PluginError where it is a plug-in that cannot be used."""
    made = ENGINES[backend.engine]
    with ENGINES.blame(backend.engine):
        return _made(made)


_BUILT_IN = frozenset(ENGINES)


@cache
def _made(engine: type[Engine]) -> Engine:
    return engine()
