"""The exceptions of mrcnn-cv: one class per kind of error, each with its exit code.

A message is one sentence that names the file or value, says what is wrong and what to do about it. It names no options
of the command line: those belong to its `remedies`, and `cli` appends them. Nothing below `cli` exits or prints; it
raises one of these.
"""

from __future__ import annotations

from enum import Enum
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


def brief(error: BaseException) -> str:
    """What somebody else's error says, on one line and short enough for a part of a sentence."""
    return " ".join(str(error).split())[:300]


class Remedy(Enum):
    """What a user can change about a run that failed. The value is its words; the command line knows its option."""

    OVERWRITE = "allow overwriting"
    RESUME = "resume the run"
    OUTPUT_DIRECTORY = "choose another output folder"
    RECORDS_FILE = "choose another file for the records"
    REPORT_FILE = "choose another file for the report"
    IMAGE_LIST = "check the list of images"
    FILE_PATTERNS = "say which files are images"
    START = "choose an earlier start"
    CAMERA_SIZE = "choose another image size of the camera"
    MODEL = "give a model"
    REGISTER_MODEL = "register the model again"
    ARCHIVE = "get the archive from elsewhere"
    LABELS = "give the class names"
    BACKEND = "choose another backend"
    CPU_BACKEND = "use the backend cpu"
    DEVICE = "choose another device"
    CODEC = "choose another codec"
    CRF = "choose another quality"
    ONE_WORKER = "use one worker"
    NO_WINDOW = "show no window"
    SERVE = "serve a live view"
    SERVE_ADDRESS = "serve the live view at another address"

    def __str__(self) -> str:
        return self.value


class MrcnnCvError(Exception):
    """Base of all errors that a user can cause.

    Parameters
    ----------
    message
        One sentence that names the thing, says what is wrong and what to do; it is reduced to one line of printable
        characters.
    remedies
        What the sentence tells the user to change.

    Attributes
    ----------
    exit_code
        With which the command line ends.
    remedies
        As given.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: object = "", *remedies: Remedy) -> None:
        super().__init__(one_line(str(message)))
        self.remedies = remedies


class UsageError(MrcnnCvError):
    """An invalid option or argument (exit code 2)."""

    exit_code = 2


class PluginError(UsageError):
    """A plug-in of another package that cannot be used (exit code 2)."""


class ModelFileError(MrcnnCvError):
    """A model file that cannot be read, or is of an unsupported kind (exit code 3)."""

    exit_code = 3


class LabelFileError(MrcnnCvError):
    """A label file that cannot be read (exit code 3)."""

    exit_code = 3


class BackendError(MrcnnCvError):
    """A backend that is not available on this machine or in this build of OpenCV (exit code 4)."""

    exit_code = 4


class InputError(MrcnnCvError):
    """An image that cannot be read; a run continues with the others (exit code 5 at its end)."""

    exit_code = 5


class OutputError(MrcnnCvError):
    """A result that cannot be written (exit code 6)."""

    exit_code = 6


class OutputConflict(OutputError):
    """An output of one image that cannot be written, for what lies in its place; a run over images continues with the
    others (exit code 6 at its end)."""


INTERRUPTED_EXIT_CODE = 130
"""Exit code after Ctrl-C, as shells report it (128 + SIGINT)."""
