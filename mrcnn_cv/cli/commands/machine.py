"""`mrcnn-cv backends` and `mrcnn-cv devices`: what this machine has to run a net on, and which cameras."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.console.messages import sanitize
from mrcnn_cv.cli.console.tables import columns, echo_lines
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.util.json import dumps

if TYPE_CHECKING:
    from mrcnn_cv.engines.select import Probe


_YES = {True: "yes", False: "no"}
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
    rows = [("backend", "in build", "works", "device")]
    for each in probes:
        rows.append((each.backend.name, _YES[each.in_build], _YES[each.problem is None], each.device or "-"))
    head = f"OpenCV {cv2.__version__}; --backend auto takes {chosen}"
    echo_lines([head, "", *columns(rows), *_remedies(probes)])


@click.command(cls=GroupedCommand, params=[options.json_flag()], short_help="List the cameras of this machine.")
def devices(as_json: bool) -> None:
    """List the cameras of this machine, each with the SOURCE by which mrcnn-cv takes it."""
    from mrcnn_cv.inputs.video.devices import list_devices

    found = list_devices()
    if as_json:
        click.echo(dumps({"cameras": [asdict(device) for device in found]}, indent=2))
    elif not found:
        click.echo("no camera is connected, or the system shows none to this user or container")
    else:
        rows = [
            (each.source, each.path, (each.name or "-") + (f" ({each.problem})" if each.problem else ""))
            for each in found
        ]
        echo_lines(columns([("source", "device", "name"), *rows]))


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
