"""The runner that measures the machine's peak rate of arithmetic: large matrix products, by whatever is installed."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.engines.select import set_threads
from mrcnn_cv.util.opencv import cv2

SIDE = 1536
GFLOP = 2 * SIDE**3 / 1e9
REPEATS = 3
"""Products in a row, of which the fastest counts: the first one wakes threads and fills caches."""

_SMALL_SIDE, _MIN_SHARE = 256, 0.2
"""OpenCV is skipped where products of so many rows and columns run at less than this share of numpy's rate."""

BF16 = "OpenVINO bf16"
"""The one library that does not compute in float32."""


class Runner:
    """job: threads (numpy's come from the environment)."""

    def __init__(self, job: dict[str, Any]) -> None:
        set_threads(job["threads"])
        random = np.random.default_rng(0)
        left, right = (random.random((SIDE, SIDE), np.float32) for _ in range(2))
        # In C++ a matrix to add may be left out; the stubs do not know.
        gemm: Any = cv2.gemm
        self._products: dict[str, Callable[[], object]] = {"numpy": lambda: left @ right}
        small_left, small_right = (np.ascontiguousarray(each[:_SMALL_SIDE, :_SMALL_SIDE]) for each in (left, right))
        opencv_ms = _fastest(lambda: gemm(small_left, small_right, 1.0, None, 0.0))
        # Builds without a BLAS (4.10 on PyPI) would take minutes, and the fastest library is what counts.
        if _MIN_SHARE * opencv_ms <= _fastest(lambda: small_left @ small_right):
            self._products["OpenCV"] = lambda: gemm(left, right, 1.0, None, 0.0)
        if importlib.util.find_spec("openvino"):
            self._products |= _openvino(left, right, job["threads"])

    def run(self) -> dict[str, Any]:
        """Milliseconds of one product by each library."""
        return {"steps": {name: _fastest(product) for name, product in self._products.items()}}

    def about(self) -> dict[str, Any]:
        return {}


def _openvino(left: NDArray[np.float32], right: NDArray[np.float32], threads: int) -> dict[str, Callable[[], object]]:
    """OpenVINO's products, in each precision that the processor has."""
    from mrcnn_cv.engines.openvino.layers import ops, ov

    core = ov.Core()
    products: dict[str, Callable[[], object]] = {}
    for name, precision, capability in (("OpenVINO", "f32", "FP32"), (BF16, "bf16", "BF16")):
        if capability not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            continue
        parameter = ops.parameter([SIDE, SIDE], np.float32)
        product = ops.result(ops.matmul(parameter, ops.constant(right), False, False))
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        request = core.compile_model(ov.Model([product], [parameter]), "CPU", settings).create_infer_request()
        products[name] = partial(request.infer, {0: left}, share_inputs=True, share_outputs=True)
    return products


def _fastest(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest of a few runs."""
    return min(_milliseconds(work) for _ in range(REPEATS))


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000
