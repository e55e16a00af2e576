"""Our own exports as a family: see `family.py`, which is imported for such a file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile, Family

if TYPE_CHECKING:
    from mrcnn_cv.model.definition import ModelDefinition


class ExportedFamily(Family):
    """What `mrcnn-cv models export` wrote."""

    def detect(self, file: CandidateFile) -> bool:
        return file.is_exported

    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        from mrcnn_cv.importers.exported.family import read_model

        if config is not None:
            raise ModelFileError(f"{file.path} holds every number of its model, so that no config can be given with it")
        return read_model(file.path)
