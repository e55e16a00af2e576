"""What a process holds while it runs, and whether that grows."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

CAN_LOOK = sys.platform == "linux"

LEAST = 8
"""Figures whose median is taken: memory goes up and down with the size of the images."""

MORE_MEMORY = 1.1
MORE_HANDLES = 4
"""As many as come and go with a connection or two."""


def look(pid: int) -> dict[str, float] | None:
    """Of a process, from /proc: its own resident memory in MiB, open file handles, threads, seconds of processor.

    Its own: without pages of libraries and other files, which the system drops and reads again as it likes. None where
    it has ended.
    """
    folder = Path(f"/proc/{pid}")
    try:
        resident, of_files = map(int, (folder / "statm").read_text().split()[1:3])
        words = (folder / "stat").read_text().rpartition(")")[2].split()
        return {
            "memory": (resident - of_files) * os.sysconf("SC_PAGE_SIZE") / 2**20,
            "handles": len(list((folder / "fd").iterdir())),
            "threads": len(list((folder / "task").iterdir())),
            "seconds": (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"),
        }
    except OSError:
        return None


def verdict(figures: Sequence[dict[str, float]], warm_up: int = 0) -> dict[str, object]:
    """Of the figures of one process in order: after a warm-up of a tenth, the last tenth against the first.

    warm_up: at least so many figures. In a short run a tenth is too few to say anything, and LEAST are compared.
    """
    figures = figures[max(len(figures) // 10, warm_up) :]
    if len(figures) < 2 * LEAST:
        return {"flat": None, "why": "too few figures"}
    tenth = max(LEAST, len(figures) // 10)
    found: dict[str, object] = {}
    is_flat = True
    for name in ("memory", "handles", "threads"):
        first = statistics.median(each[name] for each in figures[:tenth])
        last = statistics.median(each[name] for each in figures[-tenth:])
        most = max(each[name] for each in figures)
        flat = last <= (first * MORE_MEMORY if name == "memory" else first + MORE_HANDLES)
        is_flat = is_flat and flat
        found[name] = {"first": round(first, 1), "last": round(last, 1), "most": round(most, 1), "flat": flat}
    return {"flat": is_flat, **found, "processor_seconds": round(figures[-1]["seconds"], 1)}
