"""Every way in which mrcnn-cv refuses: one class per kind, each with its exit code.

A message is one sentence that names the file or option, says what is wrong and what to do about it.
Nothing below `cli` exits or prints; it raises one of these.
"""

from __future__ import annotations

from typing import ClassVar

MAX_CHARACTERS = 600
"""Of a message: the names and values in it may come from strangers."""


def one_line(text: str) -> str:
    """Text as a message may show it: one line without control characters, of a long one the beginning and the end."""
    line = "".join(character if character.isprintable() else "�" for character in text)
    if len(line) <= MAX_CHARACTERS:
        return line
    # What to do about it stands at the end.
    end = MAX_CHARACTERS // 3
    return f"{line[: MAX_CHARACTERS - end - 5]} ... {line[-end:]}"


class MrcnnCvError(Exception):
    """Base of all errors that a user can cause. The message is made one line of printable characters."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


class UsageError(MrcnnCvError):
    """An option or argument that cannot be meant (exit code 2)."""

    exit_code = 2


class PluginError(UsageError):
    """A plug-in of another package that cannot be used (exit code 2)."""


class ModelFileError(MrcnnCvError):
    """A model file that cannot be read, or is of a kind that is not supported (exit code 3)."""

    exit_code = 3


class LabelFileError(MrcnnCvError):
    """A label file that cannot be read (exit code 3)."""

    exit_code = 3


class BackendError(MrcnnCvError):
    """A backend that this machine or this OpenCV build cannot run (exit code 4)."""

    exit_code = 4


class InputError(MrcnnCvError):
    """One image that cannot be read; the others go on (exit code 5 at the end)."""

    exit_code = 5


class OutputError(MrcnnCvError):
    """A result that cannot be written (exit code 6)."""

    exit_code = 6


INTERRUPTED_EXIT_CODE = 130
"""Exit code after Ctrl-C, as shells report it (128 + SIGINT)."""
