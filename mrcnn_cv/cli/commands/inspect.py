"""`mrcnn-cv inspect`: a look inside a model file."""

from __future__ import annotations

from typing import Any

import click

from mrcnn_cv.cli import options
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import MODEL, OUTPUT, flag, option
from mrcnn_cv.cli.param_types import SIZE
from mrcnn_cv.cli.resolve_model import resolve_model

_SIZE_HELP = "Size of the image for which sizes and operations are counted."
_PARAMETERS = [
    click.Argument(["model"], metavar="MODEL"),
    options.labels("those beside the model"),
    options.pipeline_config(),
    option(MODEL, "--image-size", SIZE, _SIZE_HELP, default="640x480"),
    flag(OUTPUT, "--layers", "Every layer of the nets too."),
    options.json_flag("Everything as JSON.", envvar="MRCNN_CV_INSPECT_JSON"),
]


@click.command(
    cls=GroupedCommand, params=_PARAMETERS, short_help="Look inside a model: numbers, nets, what is unusual."
)
@click.pass_context
def inspect(context: click.Context, /, layers: bool, as_json: bool, image_size: tuple[int, int], **_: Any) -> None:
    """Look inside a model file.

    MODEL is a frozen graph (.pb), the folder that holds it, or a name (`mrcnn-cv models list`). Shown are the classes,
    every number that decides the answers (all read from the graph), the three nets with their operations, whether this
    OpenCV runs them and where, and what is unusual. For a file that cannot run: what it is, and why not.
    """
    model = resolve_model(context)
    from mrcnn_cv.cli.console.inspect_table import lines
    from mrcnn_cv.cli.console.tables import echo_lines
    from mrcnn_cv.jobs import inspect as look
    from mrcnn_cv.util.json import dumps

    width, height = image_size
    report = look(model, image_size=(height, width))
    if as_json:
        click.echo(dumps(report.to_dict(), indent=2, allow_nan=True))
    else:
        echo_lines(lines(report, layers=layers))
