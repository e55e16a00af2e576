"""What a weights file gives, and what a reader of them is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.limits import MAX_FILE_BYTES
from mrcnn_cv.util.mapped_file import MappedFile, TooLarge

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""What JSON has."""

Place: TypeAlias = tuple[str, ...]
"""Keys, from the outside in; those of lists are numbers in words."""


@dataclass(frozen=True)
class CheckpointMetadata:
    """What a weights file says beside its weights, as plain values: sets and tuples are lists, bytes are texts.

    Attributes
    ----------
    values
        The parts of the file by name: configs, class names, epochs, authors. What only training needs (the state of an
        optimizer) is not among them.
    unread
        Place → what lies there, with an article: what is no plain value, which in `values` is left out.
    """

    values: Mapping[str, Plain] = field(default_factory=dict)
    unread: Mapping[Place, str] = field(default_factory=dict)

    def get(self, *place: str) -> Plain:
        """The value at a place, None where there is none.

        Raises ModelFileError, the end of a sentence that begins with the file, where it is not a plain value.
        """
        for unread, what in self.unread.items():
            if unread[: len(place)] == place[: len(unread)]:
                raise ModelFileError(
                    f"has {what} as its '{'.'.join(unread)}', which is not read, because that would run code of"
                    " the file: save it as plain values"
                )
        found: Plain = dict(self.values)
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        return found


@dataclass(frozen=True)
class ModelCheckpoint:
    """The weights of a model by their names, of whatever framework.

    Attributes
    ----------
    kind
        The reader's name.
    arrays
        Name → array, read-only. Of bool, whole numbers or floats of 2, 4 or 8 bytes, in the order of bytes of the file;
        bfloat16 is float32. Views of the file where they lie in it as they are, which may be unaligned and strided.
    metadata
        What else the file says.
    file
        The file, mapped.
    """

    kind: str
    arrays: Mapping[str, NDArray[Any]]
    metadata: CheckpointMetadata
    file: MappedFile


class CheckpointReader(ABC):
    """How weights files of one kind are recognised and read; made without arguments, and keeps nothing."""

    @abstractmethod
    def detect(self, file: CandidateFile) -> bool:
        """Whether the file is of this kind: by its first bytes and layout, in no time. False where it is damaged."""

    @abstractmethod
    def load(self, file: CandidateFile) -> ModelCheckpoint:
        """The weights in a file that `detect` took. Raises ModelFileError, one sentence without the path."""


def mapped(file: CandidateFile) -> MappedFile:
    """The file's bytes, mapped once for all readers. Raises ModelFileError without the path."""
    return file.once(_map)


def _map(file: CandidateFile) -> MappedFile:
    try:
        return MappedFile(file.path, MAX_FILE_BYTES)
    except TooLarge as error:
        raise ModelFileError(f"has {error.size:,} bytes; weights files of up to {MAX_FILE_BYTES:,} are read") from error
    except OSError as error:
        raise ModelFileError(f"cannot be read: {error.strerror or error}") from error
