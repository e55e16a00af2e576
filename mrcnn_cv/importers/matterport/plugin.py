"""matterport's Mask_RCNN as a family; what reads it is imported for a frozen graph alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile, Family
from mrcnn_cv.model.definition import ModelDefinition, with_source


class Matterport(Family):
    """Frozen graphs of matterport's Mask_RCNN, with the config that was given, or the one beside the graph."""

    def detect(self, file: CandidateFile) -> bool:
        if not file.is_frozen_graph:
            return False
        try:
            graph = file.frozen_graph()
        except ModelFileError:
            return False
        from mrcnn_cv.importers.matterport.family import is_matterport

        return is_matterport(graph)

    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        from mrcnn_cv.importers.config_schema import given_or_beside
        from mrcnn_cv.importers.matterport import config as configs
        from mrcnn_cv.importers.matterport.family import read_model

        graph = file.frozen_graph()
        # A config that is given must be good, one that lies beside the model need not.
        given, warnings = given_or_beside(
            config, configs.find_config(file.path), configs.read_config, configs.MatterportConfig()
        )
        try:
            spec = read_model(graph, given, file.path.stem)
        except ModelFileError as error:
            raise ModelFileError(f"{file.path} {error}") from error
        return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), graph.file)
