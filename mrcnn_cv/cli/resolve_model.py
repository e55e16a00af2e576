"""--model as a name: ask before a pull, and take over what was registered with the name."""

from __future__ import annotations

import sys
from typing import Any

import click

from mrcnn_cv.cli.console.download_progress import PullProgress, readable_size
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.hub.registry import ZooModel
from mrcnn_cv.hub.resolve import ResolvedModel, resolve_model


def find_model(
    context: click.Context, options: dict[str, Any], *, yes: bool = False, quiet: bool = False
) -> ResolvedModel:
    """Replace options["model"] by the path that it means, pulled where the user agrees, and fill in the labels and
    options  registered with the name where neither the command line nor the environment sets them.

    context  of the command whose `options` these are
    yes      pull without asking
    """
    text = options["model"]
    with PullProgress(text, quiet=quiet) as progress:
        found = resolve_model(text, may_pull=lambda model: yes or _agreed(model), listener=progress)
    options["model"] = str(found.path)
    if found.labels is not None and options.get("labels") is None:
        options["labels"] = str(found.labels)
    for parameter in context.command.params:
        key = max(parameter.opts, key=len).lstrip("-")
        if key in found.defaults and is_unset(context, parameter):
            try:
                options[parameter.name or key] = parsed(context, parameter, found.defaults[key])
            except click.BadParameter as error:
                raise ModelFileError(
                    f"--{key}, as registered with the model {found.name}, {error.message}: register it again with"
                    f" 'mrcnn-cv models add {found.name} PATH --overwrite'"
                ) from error
    return found


def parsed(context: click.Context, parameter: click.Parameter, text: str) -> Any:
    """The value of an option from its text, as if it had been given; click.BadParameter where it cannot be one."""
    return parameter.process_value(context, (text,) if parameter.multiple else text)


def is_unset(context: click.Context, parameter: click.Parameter) -> bool:
    """True where the value of an option is our own default."""
    source = context.get_parameter_source(parameter.name or "")
    return source in (None, click.core.ParameterSource.DEFAULT)


def _agreed(model: ZooModel) -> bool:
    """Ask, where somebody can answer."""
    if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None or not sys.stderr.isatty():
        return False
    size = readable_size(model.size)
    return click.confirm(f"{model.name} is not on this machine yet. Pull {size} now?", default=True, err=True)
