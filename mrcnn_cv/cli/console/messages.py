"""Messages for people, on stderr, each on one line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from typing import BinaryIO

import click
from click.core import ParameterSource

from mrcnn_cv.errors import one_line


def sanitize(text: str) -> str:
    """Text on one line without control characters: file names and labels may hold terminal escape sequences."""
    return "".join(character if character.isprintable() else "�" for character in text)


def echo_message(message: str) -> None:
    """Print one line on stderr; a terminal that has gone away is no reason to fail."""
    with suppress(OSError):
        click.echo(sanitize(message), err=True)


def own_stdout() -> BinaryIO:
    """Standard output for records alone: what a C library prints there (OpenCL drivers do) now goes to stderr."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


def format_click_error(error: click.ClickException) -> str:
    """What click has to say about the command line, as one sentence that names the option and where to look."""
    context = getattr(error, "ctx", None)
    command = context.command_path if isinstance(context, click.Context) else "mrcnn-cv"
    return one_line(f"{_problem(error, context).rstrip('.')} (see {command} --help)")


def _problem(error: click.ClickException, context: click.Context | None) -> str:
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        near = get_close_matches(name, error.possibilities or (), n=1, cutoff=0.7)
        hint = f": did you mean {near[0]}?" if near else "; a file of this name comes after --"
        return f"there is no option {name}{hint}"
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument):
        if error.param.name == "sources":
            return "SOURCE is missing: name an image file"
        return f"{(error.param.metavar or error.param.name or 'an argument').upper().rstrip('.')} is missing"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_origin(error.param, context)} {_wrong_value(error.param, error.message)}"
    if isinstance(error, click.BadOptionUsage):
        return f"{error.option_name} needs a value" if "requires an argument" in error.message else error.message
    message = error.format_message()
    # SOURCE stays as it is.
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


def _origin(parameter: click.Parameter, context: click.Context | None) -> str:
    """The option as the user gave it: on the command line or in the environment."""
    longest = max(parameter.opts, key=len)
    source = None if context is None else context.get_parameter_source(parameter.name or "")
    if source is ParameterSource.DEFAULT_MAP:
        return f"{longest} in the configuration file"
    if source is not ParameterSource.ENVIRONMENT:
        return longest if isinstance(parameter, click.Option) else _argument(parameter)
    return f"{parameter.envvar} in the environment ({longest})"


def _wrong_value(parameter: click.Parameter, message: str) -> str:
    return "must be 1 or 0" if getattr(parameter, "is_flag", False) else message


def _argument(parameter: click.Parameter) -> str:
    return "a source" if parameter.name == "sources" else (parameter.name or "an argument").upper()
