"""`mrcnn-cv models`: the zoo, and the user's own models by name."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from mrcnn_cv.cli import options
from mrcnn_cv.cli.console.messages import describe_bad_value, echo_message, sanitize
from mrcnn_cv.cli.console.tables import echo_lines, model_details, model_table
from mrcnn_cv.cli.groups import HelpfulGroup
from mrcnn_cv.cli.options import FILTER, MODEL, OUTPUT, STYLE, flag, long_name, option
from mrcnn_cv.cli.param_types import PathText
from mrcnn_cv.cli.resolve_model import find_model, parsed
from mrcnn_cv.errors import ModelFileError, UsageError

if TYPE_CHECKING:
    from mrcnn_cv.hub.registry import ZooModel

SOURCE = "Where from"


class ModelName(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A name of a model; a shell completes those that there are."""

    name = "name"

    def shell_complete(self, context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        from mrcnn_cv.hub.catalog import known_names

        return [CompletionItem(name) for name in known_names() if name.startswith(incomplete)]


_ONE_NAME = click.Argument(["name"], type=ModelName())
_NAMES = click.Argument(["names"], nargs=-1, required=True, metavar="NAME...", type=ModelName())


@click.group(cls=HelpfulGroup, short_help="Pull models of the zoo; register your own by name.")
def models() -> None:
    """Models by name, for --model: those of the TensorFlow zoo, and your own."""


@models.command("list", params=[options.json_flag()], short_help="Show every model that has a name.")
def list_models(as_json: bool) -> None:
    """Show the models of the zoo, the demo model and your own: classes, size, COCO AP, whether they are here."""
    from mrcnn_cv.hub.catalog import catalog

    entries = catalog()
    if as_json:
        click.echo(json.dumps([entry.to_dict() for entry in entries], indent=2))
    else:
        echo_lines(model_table(entries))


@models.command(
    params=[_ONE_NAME, options.json_flag("Print JSON instead of lines.")],
    short_help="Say all that is known about a model.",
)
def info(name: str, as_json: bool) -> None:
    """Say all that is known about a model: where from, how large, how good, how fast, where on this machine."""
    from mrcnn_cv.hub.catalog import entry

    found = entry(name)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        echo_lines(model_details(found))


@models.command(params=[_ONE_NAME], short_help="Print where a model lies, for scripts.")
def path(name: str) -> None:
    """Print the path of the model's frozen graph."""
    from mrcnn_cv.hub.registry import GRAPH_NAME
    from mrcnn_cv.hub.resolve import by_name

    found = by_name(name).path
    graph = found / GRAPH_NAME
    shown = str(graph if os.path.isfile(graph) else found)
    click.echo(sanitize(shown) if sys.stdout.isatty() else shown)


_FROM_HELP = "Take the archive from this file or URL, or from this folder or base URL of a mirror."
_PULL_PARAMETERS = [
    _NAMES,
    option(
        SOURCE,
        "--from source",
        str,
        _FROM_HELP,
        "the address in the list of models",
        metavar="FILE|URL",
        environment=False,
    ),
    option(
        SOURCE,
        "--timeout",
        click.IntRange(1, 3600),
        "How long to wait for a server that says nothing.",
        default=30,
        metavar="SECONDS",
        environment=False,
    ),
    flag(SOURCE, "--again", "Also where the model is here already.", environment=False),
    options.quiet(),
]


@models.command(params=_PULL_PARAMETERS, short_help="Fetch models of the zoo into the cache.")
def pull(names: tuple[str, ...], source: str | None, timeout: int, again: bool, quiet: bool) -> None:
    """Fetch models of the zoo: resumed where an earlier pull ended, verified before anything is unpacked."""
    from mrcnn_cv.cli.console.progress import PullProgress
    from mrcnn_cv.hub import pull as pulling
    from mrcnn_cv.hub.cache import is_pulled
    from mrcnn_cv.hub.download import RetryPolicy

    wanted = [_of_the_zoo(name) for name in dict.fromkeys(names)]
    if source is not None and len(wanted) > 1 and len({pulling.locate(model, source) for model in wanted}) == 1:
        raise UsageError(f"--from {source} is one archive, and {len(wanted)} models are named: pull them one by one")
    for model in wanted:
        here = is_pulled(model.name) and not again
        with PullProgress(model.name, quiet=quiet) as progress:
            folder = pulling.pull(model, source, again=again, retry=RetryPolicy(timeout=timeout), listener=progress)
        if not quiet:
            echo_message(f"{model.name} is {'here already' if here else 'ready'}: {folder}")


@models.command(params=[_NAMES, options.quiet()], short_help="Remove models from the cache, or forget your own.")
def remove(names: tuple[str, ...], quiet: bool) -> None:
    """Remove what was pulled, also half of it; a model of your own is only forgotten, its files stay.

    The path of a .tar.gz removes what --model unpacked of it.
    """
    from mrcnn_cv.hub import manage

    missing = []
    for name in dict.fromkeys(names):
        done = manage.remove(name)
        if done is None:
            missing.append(name)
        elif not quiet:
            echo_message(done)
    if missing:
        raise ModelFileError(
            f"there is nothing to remove of {', '.join(missing)}: 'mrcnn-cv models list' shows what is here"
        )


_SET_HELP = (
    "Default of an option of `mrcnn-cv predict` with this model, such as score=0.7, or a value of a matterport Config,"
    " such as IMAGE_MAX_DIM=512, which is kept beside the graph; may be repeated."
)
_ADD_PARAMETERS = [
    click.Argument(["name"]),
    click.Argument(["path"], metavar="PATH", type=PathText()),
    options.labels("the label file beside the model", environment=False),
    option(MODEL, "--set settings", str, _SET_HELP, "none", multiple=True, metavar="OPTION=VALUE", environment=False),
    options.overwrite("Replace an earlier model of that name, or the zoo's.", MODEL, environment=False),
]


@models.command(params=_ADD_PARAMETERS, short_help="Give a name to a model of your own.")
def add(name: str, path: str, labels: str | None, settings: tuple[str, ...], overwrite: bool) -> None:
    """Give the name NAME to the model at PATH: a frozen graph (.pb), the folder that holds it, or a .tar.gz.

    The files stay where they are. `--model NAME` then means this model with its labels and options.
    """
    from mrcnn_cv.hub.manage import register
    from mrcnn_cv.hub.matterport_settings import is_config_value
    from mrcnn_cv.hub.user_models import check_name

    check_name(name, overwrite=overwrite)
    defaults = dict(_setting(each) for each in settings if not is_config_value(each))
    values = [each for each in settings if is_config_value(each)]
    names = Path(labels) if labels else None
    config = register(name, Path(path), names, defaults=defaults, config_values=values, overwrite=overwrite)
    if config is not None:
        echo_message(f"the values are kept in {config}")
    echo_message(f"{name} is registered: {os.path.abspath(path)}")


_EXPORT_PARAMETERS = [
    click.Argument(["model"], metavar="MODEL"),
    option(
        OUTPUT,
        "-o --output",
        PathText(is_folder=True),
        "Where to: a folder that is empty or not there yet.",
        "none, it must be given",
        environment=False,
    ),
    options.labels("those beside the model", environment=False),
    options.pipeline_config(environment=False),
    options.overwrite("Replace an earlier export in DIR.", environment=False),
    options.quiet(),
]


@models.command(params=_EXPORT_PARAMETERS, short_help="Write a model as ONNX nets and JSON numbers.")
@click.pass_context
def export(context: click.Context, /, output: str | None, overwrite: bool, quiet: bool, **_: Any) -> None:
    """Write MODEL, a path or a name, into a folder for other programs: three nets as ONNX, every number as JSON.

    backbone.onnx, box_head.onnx, mask_head.onnx (where there are masks), model.json and a README.md that says what goes
    into each net and what comes out. `--model DIR` runs the same model again.
    """
    if output is None:
        raise UsageError("no folder is named to write the model to: give -o DIR")
    find_model(context)
    from mrcnn_cv.jobs.export import export as write

    params = context.params
    labels, config = (None if each is None else Path(each) for each in (params["labels"], params["pipeline_config"]))
    done = write(Path(params["model"]), Path(output), config, labels, overwrite)
    lines = [f"mrcnn-cv: warning: {warning}" for warning in done.warnings]
    lines += [f"{path}  {size / 1e6:.1f} MB" for path, size in done.files]
    for line in lines if not quiet else ():
        echo_message(line)


def _of_the_zoo(name: str) -> ZooModel:
    from mrcnn_cv.hub.catalog import entry
    from mrcnn_cv.hub.registry import zoo_model

    model = zoo_model(name)
    if model is None:
        entry(name)
        raise UsageError(f"{name} is not of the zoo, so there is nothing to pull: see 'mrcnn-cv models info {name}'")
    return model


def _setting(text: str) -> tuple[str, str]:
    """("score", "0.7") from "score=0.7", checked as the option itself would be."""
    from mrcnn_cv.cli.commands.predict import predict

    key, equals, value = text.partition("=")
    key = key.strip().lstrip("-")
    settable = {
        long_name(each): each
        for each in predict.params
        if getattr(each, "heading", None) in (MODEL, FILTER, STYLE) and not getattr(each, "is_flag", False)
    }
    settable = {name: each for name, each in settable.items() if name not in ("model", "labels", "pipeline-config")}
    if not equals or key not in settable:
        raise UsageError(
            f"--set takes OPTION=VALUE, not '{text}', where OPTION is one of {', '.join(sorted(settable))}"
        )
    try:
        parsed(click.Context(predict), settable[key], value)
    except click.BadParameter as error:
        raise UsageError(f"--set {key} {describe_bad_value(error)}") from error
    return key, value
