"""`mrcnn-cv inspect`: a look inside a model file."""

from __future__ import annotations

from typing import Any

import click

from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import MODEL, OUTPUT, config_option, flag, json_flag, labels_option, option
from mrcnn_cv.cli.param_types import Size
from mrcnn_cv.cli.resolve_model import find_model, model_options
from mrcnn_cv.util.json import dumps


@click.command(cls=GroupedCommand, short_help="Look inside a model: numbers, nets, what is unusual.")
@click.argument("model", metavar="MODEL")
@labels_option("those beside the model")
@config_option()
@option(
    MODEL,
    "--image-size",
    type=Size(),
    default="640x480",
    metavar="WxH",
    help="Size of the image for which sizes and operations are counted.",
)
@flag(OUTPUT, "--layers", help="Every layer of the nets too.")
@json_flag("Everything as JSON.", envvar="MRCNN_CV_INSPECT_JSON")
@click.pass_context
def inspect(context: click.Context, /, layers: bool, as_json: bool, image_size: tuple[int, int], **_: Any) -> None:
    """Look inside a model file.

    MODEL is a frozen graph (.pb), the folder that holds it, or a name (`mrcnn-cv models list`). Shown are the classes,
    every number that decides the answers (all read from the graph), the three nets with their operations, whether this
    OpenCV runs them and where, and what is unusual. For a file that cannot run: what it is, and why not.
    """
    find_model(context)
    from mrcnn_cv.cli.console.inspect_table import print_report
    from mrcnn_cv.jobs import inspect as look

    width, height = image_size
    report = look(model_options(context), image_size=(height, width))
    if as_json:
        click.echo(dumps(report.to_dict(), indent=2, allow_nan=True))
    else:
        print_report(report, layers=layers)
