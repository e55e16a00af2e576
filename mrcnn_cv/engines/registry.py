"""The choices of `--backend`."""

from __future__ import annotations

from dataclasses import dataclass

OPENVINO = "openvino"


@dataclass(frozen=True)
class Backend:
    """A choice of `--backend`, what an engine calls it, and the remedy where it does not run.

    engine, target: cv2.dnn's names of a backend and a target; or "openvino" and the precision of its numbers. mark: how
    cv2.dnn's layers call themselves in a dump.
    """

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
OPENVINO_REMEDY = "pip install 'mrcnn-cv[openvino]'"
_PRECISION_REMEDY = "take --backend openvino, which computes with 32 bits, or another --device"

BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("cuda", "DNN_BACKEND_CUDA", "DNN_TARGET_CUDA", "CUDA/CUDA", _CUDA_REMEDY),
        Backend("cuda-fp16", "DNN_BACKEND_CUDA", "DNN_TARGET_CUDA_FP16", "CUDA/CUDA_FP16", _CUDA_REMEDY),
        Backend("openvino", OPENVINO, "f32", "", OPENVINO_REMEDY),
        Backend("openvino-bf16", OPENVINO, "bf16", "", _PRECISION_REMEDY),
        Backend("openvino-fp16", OPENVINO, "f16", "", _PRECISION_REMEDY),
        Backend("opencl", "DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL", "OCV/OCL", _OPENCL_REMEDY),
        Backend("opencl-fp16", "DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL_FP16", "OCV/OCL_FP16", _OPENCL_REMEDY),
        Backend("cpu", "DNN_BACKEND_OPENCV", "DNN_TARGET_CPU", "OCV/CPU", ""),
    )
}
"""In the order of preference."""

PLUGIN = Backend(
    "openvino",
    "DNN_BACKEND_INFERENCE_ENGINE",
    "DNN_TARGET_CPU",
    "OpenVINO/CPU",
    f"{OPENVINO_REMEDY}, or build OpenCV with -DWITH_OPENVINO=ON",
)
"""What "openvino" means where the package is missing: the OpenVINO inside of some builds of OpenCV."""

AUTOMATIC = ("cuda", "openvino", "opencl", "cpu")
"""What `auto` tries: full precision only, so that it never trades accuracy for speed."""

CHOICES = ("auto", *BACKENDS)
