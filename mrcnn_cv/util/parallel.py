"""The processors of this machine, and work on many regions or rows in as many threads as OpenCV may use."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from mrcnn_cv.util import blas
from mrcnn_cv.util.opencv import cv2

MIN_REGIONS = 8
"""With fewer regions for each thread, handing them over costs more than it gives."""

PIXELS = 262144
"""Of an image, for which the same holds."""


def processor() -> str:
    """The name of the processor, as well as this machine tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if os.path.exists(cpuinfo):
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "CPU"


def available_processors() -> int:
    """How many processors this process may use (containers and `taskset` give fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def min_rows(columns: int) -> int:
    """Of an image with so many columns, for each thread."""
    return max(1, PIXELS // max(columns, 1))


def parallel_for(work: Callable[[range], None], count: int, minimum: int = MIN_REGIONS) -> None:
    """Call `work` with parts of range(count), at the same time; it should spend its time in numpy or OpenCV.

    minimum: how many each part has. Numbers that overflow there, or are none, are no news: what a net puts out is
    looked at when it is used.
    """
    threads = min(cv2.getNumThreads(), count // minimum)
    if threads < 2:
        _quietly(work, range(count))
        return
    ends = [count * part // threads for part in range(threads + 1)]
    parts = [range(start, end) for start, end in pairwise(ends)]
    others: list[Future[None]] = []
    try:
        for part in parts[1:]:
            others.append(_pool().submit(_quietly, work, part))
        _quietly(work, parts[0])
    finally:
        # Whatever happens, nobody goes on to write where the caller goes on.
        wait(others)
    for other in others:
        other.result()


def _quietly(work: Callable[[range], None], part: range) -> None:
    # How numpy takes errors is each thread's own affair.
    with np.errstate(over="ignore", invalid="ignore"):
        work(part)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="regions", initializer=blas.limit_this_thread)


if hasattr(os, "register_at_fork"):
    # A process that was forked has the pool, but not its threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)
