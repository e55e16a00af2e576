"""What commands that run a model do once their command line is read, and before they import numpy and OpenCV."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from mrcnn_cv.errors import OutputError


def take_model(options: dict[str, Any]) -> bool:
    """Put the path of the model that is meant into options["model"], as `find_model` does.

    True where none was named: it is the demo model then.
    """
    if options["model"] is None:
        from mrcnn_cv.hub import demo_model

        options["model"] = str(demo_model())
        return True
    from mrcnn_cv.cli.resolve_model import find_model

    find_model(click.get_current_context(), options, yes=options["yes"], quiet=options["quiet"])
    return False


def check_stdout(json_file: str | None) -> None:
    """OutputError where --json is to go to a standard output that is closed."""
    if json_file == "-" and sys.__stdout__ is None:
        raise OutputError("--json - cannot write, since standard output is closed: name a file (--json FILE)")


def limit_blas_threads() -> None:
    """One thread for numpy's BLAS: several spin while they wait, on processors that nets and encoders need."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
