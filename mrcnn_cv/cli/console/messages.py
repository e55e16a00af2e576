"""Messages for people, on stderr, each on one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches

import click
from click.core import ParameterSource

from mrcnn_cv.cli.param_types import CommaList
from mrcnn_cv.errors import MrcnnCvError, Remedy, one_line

_REFUSED = re.compile(r"^'?(.*?)'? is not (?:in the range|one of|a valid)", re.DOTALL)
"""How click words that a value is no number, out of range, or none of the choices."""

REMEDIES: Mapping[Remedy, str] = {
    Remedy.OVERWRITE: "--overwrite",
    Remedy.RESUME: "--resume",
    Remedy.OUTPUT_DIRECTORY: "-o",
    Remedy.RECORDS_FILE: "--json",
    Remedy.REPORT_FILE: "--json or --plot",
    Remedy.IMAGE_LIST: "--list",
    Remedy.FILE_PATTERNS: "--include-files",
    Remedy.START: "--start",
    Remedy.CAMERA_SIZE: "--camera-size",
    Remedy.MODEL: "--model",
    Remedy.REGISTER_MODEL: "mrcnn-cv models add NAME PATH --overwrite",
    Remedy.ARCHIVE: "--from",
    Remedy.LABELS: "--labels",
    Remedy.BACKEND: "--backend",
    Remedy.CPU_BACKEND: "--backend cpu",
    Remedy.DEVICE: "--device",
    Remedy.CODEC: "--codec",
    Remedy.CRF: "--crf",
    Remedy.ONE_WORKER: "--workers 1",
    Remedy.NO_WINDOW: "without --show",
    Remedy.SERVE: "--serve 8080",
    Remedy.SERVE_ADDRESS: "--serve",
}
"""What the library asks for, as options of the command line."""


def sanitize(text: str) -> str:
    """Text on one line without control characters: file names and labels may hold terminal escape sequences."""
    return "".join(character if character.isprintable() else "�" for character in text)


def echo_message(message: str) -> None:
    """Print one line on stderr; a terminal that has gone away is no reason to fail."""
    with suppress(OSError):
        click.echo(sanitize(message), err=True)


def echo_error(message: str) -> None:
    """Print on stderr what went wrong."""
    echo_message(f"mrcnn-cv: error: {message}")


def counted(count: int, noun: str) -> str:
    """1 image, 1,200 images."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Minutes and seconds for people: 4:07, 2:04:07."""
    whole = min(round(seconds), 359_999)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def readable_size(size: int) -> str:
    """Bytes for people: 178 MB, 1.2 GB."""
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.1f} {unit}" if value < 9.95 and unit != "bytes" else f"{value:.0f} {unit}"


def format_click_error(error: click.ClickException) -> str:
    """What click has to say about the command line, as one sentence that names the option and where to look."""
    context = getattr(error, "ctx", None)
    command = context.command_path if isinstance(context, click.Context) else "mrcnn-cv"
    return one_line(f"{_problem(error, context).rstrip('.')} (see {command} --help)")


def describe_bad_value(error: click.BadParameter) -> str:
    """What the value of an option must be, to be put behind its name."""
    if getattr(error.param, "is_flag", False):
        return "must be 1 or 0"
    kind = None if error.param is None else error.param.type
    kind = kind.item if isinstance(kind, CommaList) else kind
    match = _REFUSED.match(error.message)
    if match is not None and isinstance(kind, click.IntRange):
        return f"must be a whole number from {kind.min} to {kind.max}, not '{match[1]}'"
    if match is not None and isinstance(kind, click.Choice):
        near = get_close_matches(match[1].lower(), kind.choices, n=1, cutoff=0.7)
        hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(kind.choices)}"
        return f"does not know '{match[1]}': {hint}"
    return error.message


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
        return f"{_origin(error.param, context)} {describe_bad_value(error)}"
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


def _argument(parameter: click.Parameter) -> str:
    return "a source" if parameter.name == "sources" else (parameter.name or "an argument").upper()


def with_options(error: Exception) -> str:
    """The text of an error, with the options for what it tells the user to do in parentheses."""
    options = [REMEDIES[remedy] for remedy in error.remedies] if isinstance(error, MrcnnCvError) else []
    if not options:
        return str(error)
    *others, last = options
    return f"{error} ({', '.join(others)} or {last})" if others else f"{error} ({last})"
