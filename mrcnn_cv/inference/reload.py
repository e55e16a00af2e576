"""How a model travels to another process: as what it was loaded from, and there it is loaded again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn_cv.errors import ModelFileError, UsageError

if TYPE_CHECKING:
    from mrcnn_cv.inference.predictor import MaskRCNN

_PATHS = ("path", "labels", "pipeline_config")


@dataclass(frozen=True)
class LoadedFrom:
    """The arguments of `MaskRCNN.load`, with absolute paths; (size, time of change) of the model file at that time."""

    file: Path
    version: tuple[int, int]
    arguments: dict[str, Any]

    @classmethod
    def now(cls, file: Path, arguments: dict[str, Any]) -> LoadedFrom:
        """Of a model that was just loaded from `file`."""
        absolute = {name: None if arguments[name] is None else os.path.abspath(arguments[name]) for name in _PATHS}
        file = Path(os.path.abspath(file))
        return cls(file, _version(file), {**arguments, **absolute})


def load_again(loaded: LoadedFrom) -> MaskRCNN:
    """The same model, with nets of its own; ModelFileError where its file was changed since."""
    from mrcnn_cv.inference.predictor import MaskRCNN

    if _version(loaded.file) != loaded.version:
        raise ModelFileError(f"{loaded.file} is not the file any more that the model was loaded from: load it anew")
    return MaskRCNN.load(**loaded.arguments)


def check_travels(loaded: LoadedFrom | None) -> LoadedFrom:
    """UsageError for a model that was not loaded from a file."""
    if loaded is None:
        raise UsageError(
            "this model was put together from parts, so it cannot be pickled or copied: make it in the other process,"
            " or fork a process that has it"
        )
    return loaded


def _version(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise ModelFileError(f"{file} cannot be opened: {error.strerror or error}") from error
    return status.st_size, status.st_mtime_ns
