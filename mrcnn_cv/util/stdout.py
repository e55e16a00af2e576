"""Standard output for records alone."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO


def reserve_stdout() -> BinaryIO:
    """Standard output as a binary file; what a C library prints there (OpenCL drivers do) now goes to stderr."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own
