"""Commands with grouped options, and a group with a default command."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

_LAST = "Messages"
_MEANT = {"help": "--help", "version": "--version"}


def option_sections(command: click.Command, context: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Options under their headings, in the order of their first appearance; --help comes with the messages."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            sections.setdefault(getattr(parameter, "heading", _LAST), []).append(record)
    if _LAST in sections:
        # Click puts --help first.
        sections[_LAST] = sorted(sections.pop(_LAST), key=lambda record: "--help" in record[0])
    return sections


def _write_sections(sections: dict[str, list[tuple[str, str]]], formatter: click.HelpFormatter) -> None:
    for heading, records in sections.items():
        with formatter.section(heading):
            formatter.write_dl(records)


class GroupedCommand(click.Command):
    """A command whose --help lists options under their headings."""

    def format_help(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        # Arguments are in the usage line; newer versions of click would list them once more.
        self.format_usage(context, formatter)
        self.format_help_text(context, formatter)
        self.format_options(context, formatter)
        self.format_epilog(context, formatter)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        _write_sections(option_sections(self, context), formatter)


class HelpfulGroup(click.Group):
    """Alone it shows its help; with exit code 2, since nothing was done."""

    command_class = GroupedCommand

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args and not context.resilient_parsing:
            click.echo(context.get_help(), err=True)
            context.exit(2)
        return super().parse_args(context, args)


class DefaultCommandGroup(HelpfulGroup):
    """A group that takes `default_command` when the first argument names none; commands are imported when used.

    Its --help shows the options of the default command as well, since that is what most people come for.
    """

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
        if args and args[0] in own:
            # --help and --version answer whatever comes after them.
            args = args[:1]
        elif args and args[0] not in self._lazy:
            if not context.resilient_parsing:
                self._refuse_misspelt(context, args[0])
            args = [self._default, *args]
        return super().parse_args(context, args)

    def _refuse_misspelt(self, context: click.Context, word: str) -> None:
        if word.startswith("-") or os.path.lexists(word) or os.path.splitext(word)[1]:
            return
        near = [_MEANT[word]] if word in _MEANT else get_close_matches(word, self._lazy, n=1, cutoff=0.75)
        if near:
            raise click.UsageError(f"there is no file or command '{word}': did you mean '{near[0]}'?", context)

    def format_usage(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(context.command_path, "SOURCE... [--model PATH] [OPTIONS]")
        formatter.write_usage(context.command_path, "COMMAND --help", prefix=" " * len("Usage: "))

    def format_help(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_usage(context, formatter)
        self.format_help_text(context, formatter)
        self.format_commands(context, formatter)
        default = self.get_command(context, self._default)
        assert default is not None
        sections = option_sections(default, context)
        sections[_LAST] = [*sections.get(_LAST, [])[:-1], *option_sections(self, context)[_LAST]]
        _write_sections(sections, formatter)
        self.format_epilog(context, formatter)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[Any]:
        """Commands and own options, then the options and files that the default command takes."""
        default = self.get_command(context, self._default)
        assert default is not None
        found = super().shell_complete(context, incomplete)
        inner = click.Context(default, parent=context, info_name=self._default)
        known = {item.value for item in found}
        found += [item for item in default.shell_complete(inner, incomplete) if item.value not in known]
        if not incomplete.startswith("-"):
            found += [item for item in default.params[0].shell_complete(inner, incomplete) if item.value not in known]
        return found
