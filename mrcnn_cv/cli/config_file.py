"""mrcnn-cv.toml: defaults for options, read where the command line and the environment say nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from mrcnn_cv.cli.options import long_name
from mrcnn_cv.util.files import UnfitFile, read_text

NAME = "mrcnn-cv.toml"


def read_config(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Of --config: take what the file says as defaults, before the other options are looked at."""
    context.default_map = defaults(context.command, value)
    return value


def defaults(command: click.Command, given: str | None) -> dict[str, str | list[str]]:
    """What the file says, by parameter name, as text for the options to parse.

    given: the value of --config; None: the file of that name in the current folder, if any. click.UsageError for a file
    that cannot be used, or that sets an option which does not exist.
    """
    path = Path(NAME if given is None else given)
    content = _read(path, is_named=given is not None)
    options = {
        long_name(each): each for each in command.params if isinstance(each, click.Option) and each.name != "config"
    }
    found: dict[str, str | list[str]] = {}
    for key, value in content.items():
        name = key.replace("_", "-")
        if name not in options:
            near = get_close_matches(name, options, n=1, cutoff=0.7)
            hint = f": did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"{path} sets '{key}', but there is no option --{name}{hint}")
        text = _as_text(path, key, value)
        found[options[name].name or name] = [text] if options[name].multiple else text
    return found


def _read(path: Path, *, is_named: bool) -> dict[str, Any]:
    from mrcnn_cv.importers.config_schema import MAX_TOML_BYTES, parse_toml

    try:
        if not is_named and not os.path.isfile(path):
            return {}
        text = read_text(path, "a file of options", MAX_TOML_BYTES)
    except UnfitFile as error:
        raise click.UsageError(f"{path} {error}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.UsageError(f"{path} cannot be read: {reason}; check --config") from error
    try:
        return parse_toml(text)
    except ValueError as error:
        raise click.UsageError(f"{path} is not valid TOML: {error}") from error


def _as_text(path: Path, key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    with suppress(ValueError):
        # Python spells no number of thousands of digits.
        if isinstance(value, (str, int, float)):
            return str(value)
        if isinstance(value, Sequence) and all(isinstance(item, (str, int)) for item in value):
            return ",".join(map(str, value))
    raise click.UsageError(f"{path} gives '{key}' a value that is no text, number, switch or list of names")
