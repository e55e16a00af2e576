"""Weights files as families: one of each system, by the names of its weights.

What reads them is imported for a weights file alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers import config_schema
from mrcnn_cv.importers.base import CandidateFile, Family, named
from mrcnn_cv.model.definition import ModelDefinition, with_source

if TYPE_CHECKING:
    from mrcnn_cv.importers.checkpoints.base import ModelCheckpoint


class TorchvisionWeights(Family):
    """A state_dict of torchvision's detectors, with the arguments that lie beside it."""

    def detect(self, file: CandidateFile) -> bool:
        checkpoint = _checkpoint(file)
        if checkpoint is None:
            return False
        from mrcnn_cv.importers.architectures.torchvision import is_torchvision

        return is_torchvision(checkpoint)

    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        from mrcnn_cv.importers.architectures.torchvision import read_model
        from mrcnn_cv.importers.architectures.torchvision_config import find_config, read_config
        from mrcnn_cv.importers.checkpoints.load import read_checkpoint

        checkpoint = read_checkpoint(file)
        given, warnings = config_schema.given_or_beside(
            config, find_config(file.path), read_config, config_schema.Config()
        )
        with named(file.path):
            spec = read_model(checkpoint, given, file.path.stem)
        return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), checkpoint.file)


class Detectron2Weights(Family):
    """A checkpoint of Detectron2, with the config that was given, or the one beside it."""

    def detect(self, file: CandidateFile) -> bool:
        checkpoint = _checkpoint(file)
        if checkpoint is None:
            return False
        from mrcnn_cv.importers.architectures.detectron2 import is_detectron2

        return is_detectron2(checkpoint)

    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        from mrcnn_cv.importers.architectures.detectron2 import WEIGHTS_SETTINGS, read_model
        from mrcnn_cv.importers.checkpoints.load import read_checkpoint
        from mrcnn_cv.importers.pytorch.detectron2_config import find_config, read_config

        checkpoint = read_checkpoint(file)
        given, warnings = config_schema.given_or_beside(
            config, find_config(file.path), lambda path: read_config(path, WEIGHTS_SETTINGS), config_schema.Config()
        )
        with named(file.path):
            spec = read_model(checkpoint, given, file.path.stem)
        return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), checkpoint.file)


def _checkpoint(file: CandidateFile) -> ModelCheckpoint | None:
    from mrcnn_cv.importers.checkpoints.load import is_checkpoint, read_checkpoint

    try:
        return read_checkpoint(file) if is_checkpoint(file) else None
    except ModelFileError:
        return None


def refuse(file: CandidateFile) -> NoReturn:
    """Say what a file is that is, or is named as, one of weights, and that no family detects."""
    from mrcnn_cv.importers.checkpoints.load import read_checkpoint

    arrays = read_checkpoint(file).arrays
    raise ModelFileError(
        f"{file.path} holds {len(arrays)} weights, '{next(iter(arrays), '')}' first, which are not those of"
        " torchvision's or Detectron2's Faster or Mask R-CNN: export the model to ONNX in the environment where it runs"
    )
