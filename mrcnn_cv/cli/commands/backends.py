"""`mrcnn-cv backends`: what this machine and this OpenCV can run a net on."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import click

from mrcnn_cv.cli.console.messages import sanitize
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import json_flag

if TYPE_CHECKING:
    from mrcnn_cv.engines.select import Probe


@click.command(cls=GroupedCommand, short_help="Show what works here: CUDA, OpenCL, CPU.")
@json_flag()
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
    click.echo(f"OpenCV {cv2.__version__}; --backend auto takes {chosen}\n")
    click.echo(f"{'backend':<13}  {'in build':<8}  {'works':<5}  device")
    for found in probes:
        row = (found.backend.name, _yes(found.in_build), _yes(found.problem is None), sanitize(found.device) or "-")
        click.echo(f"{row[0]:<13}  {row[1]:<8}  {row[2]:<5}  {row[3]}")
    _print_remedies(probes)


def _print_remedies(probes: list[Probe]) -> None:
    """Why each backend does not work; backends with the same remedy share it."""
    by_remedy: dict[str, list[Probe]] = {}
    for found in probes:
        if found.problem is not None:
            by_remedy.setdefault(found.backend.remedy, []).append(found)
    for remedy, group in by_remedy.items():
        click.echo()
        for found in group:
            click.echo(_wrapped(f"{found.backend.name}: {sanitize(found.problem or '')}."))
        click.echo(_wrapped(f"  Remedy: {remedy}."))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 80, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
