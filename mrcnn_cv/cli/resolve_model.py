"""--model as a name: ask before a pull, and take over what was registered with the name."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.console.messages import describe_bad_value, readable_size
from mrcnn_cv.cli.options import from_params, long_name
from mrcnn_cv.errors import ModelFileError

if TYPE_CHECKING:
    from mrcnn_cv.hub.registry import ZooModel
    from mrcnn_cv.jobs.options import ModelOptions


def resolve_model(context: click.Context, **others: Any) -> ModelOptions:
    """The model that the context's parameters name, found as `find_model` does. others: fields that they do not have.

    From here on numpy and OpenCV are imported.
    """
    find_model(context)
    # Several threads of numpy's BLAS spin while they wait, on processors that nets and encoders need.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mrcnn_cv.jobs.options import ModelOptions

    params = context.params
    return from_params(ModelOptions, params, path=params["model"], config=params["pipeline_config"], **others)


def find_model(context: click.Context) -> None:
    """Replace the parameter `model` by the path that it means, pulled where the user agrees, and fill in the labels and
    options registered with the name where neither the command line nor the environment sets them.

    Where no model is named it is the demo model.
    """
    params = context.params
    # Not at the top: --help imports this module.
    from mrcnn_cv.hub.registry import demo_model
    from mrcnn_cv.hub.resolve import resolve_model as resolve

    if params["model"] is None:
        params["model"] = str(demo_model())
        return
    from mrcnn_cv.cli.console.progress import PullProgress

    with PullProgress(params["model"], quiet=params.get("quiet", False)) as progress:
        found = resolve(params["model"], may_pull=lambda model: params.get("yes") or _agreed(model), listener=progress)
    params["model"] = str(found.path)
    if found.labels is not None and params.get("labels") is None:
        params["labels"] = str(found.labels)
    for parameter in context.command.params:
        key, name = long_name(parameter), parameter.name or ""
        if key in found.defaults and is_unset(context, name):
            try:
                params[name] = parsed(context, parameter, found.defaults[key])
            except click.BadParameter as error:
                raise ModelFileError(
                    f"--{key}, as registered with the model {found.name}, {describe_bad_value(error)}: register it"
                    f" again with 'mrcnn-cv models add {found.name} PATH --overwrite'"
                ) from error


def parsed(context: click.Context, parameter: click.Parameter, text: str) -> Any:
    """The value of an option from its text, as if it had been given; click.BadParameter where it cannot be one."""
    return parameter.process_value(context, (text,) if parameter.multiple else text)


def is_unset(context: click.Context, name: str) -> bool:
    """True where the value of a parameter is our own default."""
    return context.get_parameter_source(name) in (None, click.core.ParameterSource.DEFAULT)


def _agreed(model: ZooModel) -> bool:
    """Ask, where somebody can answer."""
    if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None or not sys.stderr.isatty():
        return False
    size = readable_size(model.size)
    return click.confirm(f"{model.name} is not on this machine yet. Pull {size} now?", default=True, err=True)
