"""What commands do once their command line is read, and before they import numpy and OpenCV."""

from __future__ import annotations

import os
import sys

from mrcnn_cv.errors import OutputError


def check_stdout(file: str | None) -> None:
    """OutputError where --json is to go to a standard output that is closed."""
    if file == "-" and sys.__stdout__ is None:
        raise OutputError("--json - cannot write, since standard output is closed: name a file (--json FILE)")


def limit_blas_threads() -> None:
    """One thread for numpy's BLAS: several spin while they wait, on processors that nets and encoders need."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
