"""Messages for people, on stderr."""

from __future__ import annotations

from contextlib import suppress

import click


def plain(text: str) -> str:
    """Text on one line without control characters: file names and labels may hold terminal escape sequences."""
    return "".join(character if character.isprintable() else "�" for character in text)


def say(message: str) -> None:
    """Print one line on stderr; a terminal that has gone away is no reason to fail."""
    with suppress(OSError):
        click.echo(plain(message), err=True)
