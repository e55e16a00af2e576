"""`mrcnn-cv devices`: the cameras of this machine."""

from __future__ import annotations

from dataclasses import asdict

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.console.tables import columns, echo_lines
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.util.json import dumps


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
        rows = [(each.source, each.path or "-", _named(each.name, each.problem)) for each in found]
        echo_lines(columns([("source", "device", "name"), *rows]))


def _named(name: str | None, problem: str | None) -> str:
    return (name or "-") + (f" ({problem})" if problem else "")
