"""Which of OpenBLAS's kernels numpy is to use, where OpenBLAS itself does not know the processor.

It tells processors by their family, and takes AMD's family 26 (Zen 5) for one without AVX-512 (its issue 6029), which
halves the rate of matrix products. What is in numpy's wheels up to 2.4 does so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

VARIABLE = "OPENBLAS_CORETYPE"

_NEEDED = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})
_CPUINFO = Path("/proc/cpuinfo")
_ENOUGH = 1 << 14
"""Bytes of it that hold the first processor."""


def choose_kernels(environment: MutableMapping[str, str] = os.environ) -> None:
    """Name them in the environment, before numpy is imported; what the user chose stays."""
    if sys.platform != "linux" or VARIABLE in environment:
        return
    try:
        with _CPUINFO.open("rb") as file:
            found = kernels_for(file.read(_ENOUGH).decode("ascii", "replace"))
    except OSError:
        return
    if found is not None:
        environment[VARIABLE] = found


def kernels_for(cpuinfo: str) -> str | None:
    """The name of the kernels for a processor that OpenBLAS mistakes, as Linux describes it; None for all others."""
    first = cpuinfo.partition("\n\n")[0]
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    is_mistaken = fields.get("vendor_id") == "AuthenticAMD" and fields.get("cpu family") == "26"
    return "SkylakeX" if is_mistaken and _NEEDED.issubset(fields.get("flags", "").split()) else None
