"""--model as a name: ask before a pull, and take over what was registered with the name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.console.messages import describe_bad_value, readable_size
from mrcnn_cv.errors import ModelFileError

if TYPE_CHECKING:
    from mrcnn_cv.hub.registry import ZooModel
    from mrcnn_cv.hub.resolve import ResolvedModel
    from mrcnn_cv.jobs.options import ModelOptions


def resolve_model(context: click.Context) -> bool:
    """Put the path of the model that is meant into the context's parameters, as `find_model` does.

    True where none was named: it is the demo model then.
    """
    params = context.params
    if params["model"] is None:
        # Not at the top: --help imports this module.
        from mrcnn_cv.hub.registry import demo_model

        params["model"] = str(demo_model())
        return True
    find_model(context, yes=params["yes"], quiet=params.get("quiet", False))
    return False


def model_options(context: click.Context, **others: Any) -> ModelOptions:
    """The model that the context's parameters name; others: fields that they do not have."""
    from mrcnn_cv.cli.options import from_params
    from mrcnn_cv.jobs.options import ModelOptions

    params = context.params
    return from_params(ModelOptions, params, path=params["model"], config=params["pipeline_config"], **others)


def find_model(context: click.Context, *, yes: bool = False, quiet: bool = False) -> ResolvedModel:
    """Replace the parameter `model` by the path that it means, pulled where the user agrees, and fill in the labels and
    options registered with the name where neither the command line nor the environment sets them.

    context   of the command
    yes       pull without asking
    """
    params = context.params
    text = params["model"]
    from mrcnn_cv.cli.console.download_progress import PullProgress
    from mrcnn_cv.hub.resolve import resolve_model as resolve

    with PullProgress(text, quiet=quiet) as progress:
        found = resolve(text, may_pull=lambda model: yes or _agreed(model), listener=progress)
    params["model"] = str(found.path)
    if found.labels is not None and params.get("labels") is None:
        params["labels"] = str(found.labels)
    for parameter in context.command.params:
        key = max(parameter.opts, key=len).lstrip("-")
        if key in found.defaults and is_unset(context, parameter):
            try:
                params[parameter.name or key] = parsed(context, parameter, found.defaults[key])
            except click.BadParameter as error:
                raise ModelFileError(
                    f"--{key}, as registered with the model {found.name}, {describe_bad_value(error)}: register it"
                    f" again with 'mrcnn-cv models add {found.name} PATH --overwrite'"
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
