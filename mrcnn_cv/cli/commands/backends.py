"""`mrcnn-cv backends`: what this machine and this OpenCV can run a net on."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.console.messages import sanitize
from mrcnn_cv.cli.console.tables import columns, echo_lines
from mrcnn_cv.cli.groups import GroupedCommand

if TYPE_CHECKING:
    from mrcnn_cv.engines.select import Probe


_WRAPPER = textwrap.TextWrapper(80, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


@click.command(cls=GroupedCommand, params=[options.json_flag()], short_help="Show what works here: CUDA, OpenCL, CPU.")
def backends(as_json: bool) -> None:
    """Show every backend: whether this OpenCV has it, whether a tiny net really ran on it, and the remedy where not."""
    from mrcnn_cv.engines import select as backend
    from mrcnn_cv.util.opencv import cv2

    probes = [backend.probe(name) for name in backend.BACKENDS]
    chosen = backend.choose("auto").backend.name
    if as_json:
        records = [
            {
                "name": found.backend.name,
                "in_build": found.in_build,
                "works": found.problem is None,
                "device": found.device or None,
                "problem": found.problem,
                "remedy": found.backend.remedy if found.problem else None,
            }
            for found in probes
        ]
        click.echo(json.dumps({"opencv": cv2.__version__, "auto": chosen, "backends": records}, indent=2))
        return
    rows = [(each.backend.name, _yes(each.in_build), _yes(each.problem is None), each.device or "-") for each in probes]
    table = columns([("backend", "in build", "works", "device"), *rows])
    echo_lines([f"OpenCV {cv2.__version__}; --backend auto takes {chosen}", "", *table, *_remedies(probes)])


def _remedies(probes: list[Probe]) -> list[str]:
    """Why each backend does not work; backends with the same remedy share it."""
    by_remedy: dict[str, list[str]] = {}
    for found in probes:
        if found.problem is not None:
            by_remedy.setdefault(found.backend.remedy, []).append(f"{found.backend.name}: {found.problem}.")
    lines = []
    for remedy, problems in by_remedy.items():
        lines.append("")
        for text in (*problems, f"  Remedy: {remedy}."):
            lines += _WRAPPER.wrap(sanitize(text))
    return lines


def _yes(value: bool) -> str:
    return "yes" if value else "no"
