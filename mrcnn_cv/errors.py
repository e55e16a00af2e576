"""Every way in which mrcnn-cv refuses: one class per kind, each with its exit code.

A message is one sentence that names the file or option, says what is wrong and what to do about it.
Nothing below `cli` exits or prints; it raises one of these.
"""

from __future__ import annotations

from typing import ClassVar


class MrcnnCvError(Exception):
    """Base of all errors that a user can cause."""

    exit_code: ClassVar[int] = 1


class UsageError(MrcnnCvError):
    """An option or argument that cannot be meant (exit code 2)."""

    exit_code = 2


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
