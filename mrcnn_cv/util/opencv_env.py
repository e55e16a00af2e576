"""OpenCV's variables of the environment: it aborts the whole process over a value that it cannot read. No cv2 here."""

from __future__ import annotations

import os
import re

from mrcnn_cv.errors import UsageError

_NUMBER = re.compile(r"([0-9]{1,20})(KB|Kb|kb|MB|Mb|mb)?")
_MOST = (1 << 64) - 1
_WORDS = ("1", "True", "true", "TRUE", "0", "False", "false", "FALSE")

_NUMBERS = frozenset(
    f"OPENCV_{name}"
    for name in (
        *("IO_MAX_IMAGE_PIXELS", "IO_MAX_IMAGE_WIDTH", "IO_MAX_IMAGE_HEIGHT", "IO_MAX_IMAGE_PARAMS"),
        *("IMGCODECS_AVIF_MAX_FILE_SIZE", "IMGCODECS_WEBP_MAX_FILE_SIZE", "FOR_THREADS_NUM"),
        *("FFMPEG_DECODE_ATTEMPTS", "FFMPEG_READ_ATTEMPTS", "FORCE_DNN_ENGINE", "DNN_BACKEND_DEFAULT"),
        *("DNN_NETWORK_DUMP", "KMEANS_PARALLEL_GRANULARITY", "OPENCL_ALIGNMENT_MEM_USE_HOST_PTR"),
        *("THREAD_POOL_ACTIVE_WAIT_MAIN", "THREAD_POOL_ACTIVE_WAIT_WORKER", "THREAD_POOL_ACTIVE_WAIT_PAUSE_LIMIT"),
        *("THREAD_POOL_ACTIVE_WAIT_THREADS_LIMIT", "TRACE_DEPTH_OPENCV", "TRACE_MAX_CHILDREN"),
        "TRACE_MAX_CHILDREN_OPENCV",
    )
)
_SWITCHES = frozenset(
    f"OPENCV_{name}"
    for name in (
        *("BUFFER_AREA_ALWAYS_SAFE", "DUMP_CONFIG", "DUMP_ERRORS", "ENABLE_MEMALIGN", "SKIP_CPU_BASELINE_CHECK"),
        *("DNN_CHECK_NAN_INF", "DNN_DISABLE_MEMORY_OPTIMIZATIONS", "GAUSSIANBLUR_CHECK_BITEXACT_KERNELS"),
        *("OPENCL_CACHE_CLEANUP", "OPENCL_CACHE_ENABLE", "OPENCL_CACHE_LOCK_ENABLE", "OPENCL_CACHE_WRITE"),
        *("OPENCL_DISABLE_BUFFER_RECT_OPERATIONS", "OPENCL_ENABLE_MEM_USE_HOST_PTR"),
        *("OPENCL_VALIDATE_BINARY_PROGRAMS", "TRACE", "TRACE_ITT_ENABLE", "TRACE_ITT_PARENT", "TRACE_SYNC_OPENCL"),
        *("VIDEOCAPTURE_DEBUG", "VIDEOIO_DEBUG", "VIDEOWRITER_DEBUG"),
    )
)


def number(text: str) -> int | None:
    """A number as OpenCV reads it: digits, with KB or MB behind them if need be; None for what it cannot read."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    value = int(found[1]) << {"K": 10, "M": 20}.get((found[2] or " ")[0].upper(), 0)
    return value if value <= _MOST else None


def check() -> None:
    """UsageError for a variable that is set to what OpenCV cannot read."""
    for name, value in os.environ.items():
        if name in _NUMBERS and number(value) is None:
            raise UsageError(
                f"the environment variable {name} is '{value}', which OpenCV cannot read: give a whole number, for"
                " example 500000 or 500MB, or unset it"
            )
        if name in _SWITCHES and value not in _WORDS:
            raise UsageError(
                f"the environment variable {name} is '{value}', which OpenCV cannot read: give 1 or 0, or unset it"
            )
