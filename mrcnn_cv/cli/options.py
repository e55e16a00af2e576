"""Options that are grouped in --help, read from the environment, and shared by commands."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option with a heading in --help; `MRCNN_CV_<NAME>` sets it in the environment."""

    def __init__(self, *args: Any, heading: str = "Other", **kwargs: Any) -> None:
        kwargs.setdefault("show_default", True)
        super().__init__(*args, **kwargs)
        self.heading = heading
        if self.envvar is None and not self.hidden:
            name = max(self.opts, key=len).lstrip("-").replace("-", "_").upper()
            self.envvar = f"MRCNN_CV_{name}"


class GroupedCommand(click.Command):
    """A command whose --help lists options under their headings, in the order of their first appearance."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                sections.setdefault(getattr(parameter, "heading", "Other"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class DefaultCommandGroup(click.Group):
    """A group that takes `default_command` when the first argument names none; commands are imported when used."""

    def __init__(self, *args: Any, default_command: str, lazy_commands: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._default = default_command
        self._lazy = lazy_commands

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self._lazy:
            return None
        module, _, attribute = self._lazy[name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        own = {option for parameter in self.get_params(context) for option in parameter.opts}
        if args and args[0] not in self._lazy and args[0] not in own:
            args = [self._default, *args]
        return super().parse_args(context, args)


def option(heading: str, *names: str, **kwargs: Any) -> Callable[[Function], Function]:
    """A grouped option."""
    return click.option(*names, cls=GroupedOption, heading=heading, **kwargs)


def model_options(function: Function) -> Function:
    """Options of every command that loads a model."""
    heading = "Model"
    for decorate in reversed(
        (
            option(
                heading,
                "--model",
                metavar="PATH",
                help="Frozen graph (.pb), or the folder that holds it.",
                show_envvar=True,
            ),
            option(
                heading,
                "--labels",
                metavar="FILE",
                help="Names of the classes: .pbtxt, .names, .txt or .json.  [default: the label map beside the model,"
                " COCO's for 90 classes]",
                show_default=False,
            ),
            option(
                heading,
                "--pipeline-config",
                metavar="FILE",
                help="The model's pipeline.config, to cross-check it.  [default: the one beside the model]",
                show_default=False,
            ),
            option(
                heading,
                "--backend",
                default="auto",
                metavar="NAME",
                help="auto, cpu, opencl, opencl-fp16, cuda, cuda-fp16 or openvino; `mrcnn-cv backends` says which"
                " work here.",
            ),
            option(
                heading,
                "--threads",
                type=click.IntRange(min=1),
                help="Threads for OpenCV.  [default: all processors]",
                show_default=False,
            ),
        )
    ):
        function = decorate(function)
    return function
