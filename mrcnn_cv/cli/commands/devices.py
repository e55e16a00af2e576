"""`mrcnn-cv devices`: the cameras of this machine."""

from __future__ import annotations

from dataclasses import asdict

import click

from mrcnn_cv.cli.console.messages import sanitize
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import json_flag
from mrcnn_cv.util.json import dumps


@click.command(cls=GroupedCommand, short_help="List the cameras of this machine.")
@json_flag()
def devices(as_json: bool) -> None:
    """List the cameras of this machine, each with the SOURCE by which mrcnn-cv takes it."""
    from mrcnn_cv.inputs.video.devices import list_devices

    found = list_devices()
    if as_json:
        click.echo(dumps({"cameras": [asdict(device) for device in found]}, indent=2))
        return
    if not found:
        click.echo("no camera is connected, or the system shows none to this user or container")
        return
    rows = [("source", "device", "name")]
    rows += [(device.source, device.path or "-", _named(device.name, device.problem)) for device in found]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for row in rows:
        click.echo(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}")


def _named(name: str | None, problem: str | None) -> str:
    return sanitize(name or "-") + (f" ({problem})" if problem else "")
