"""matterport's Mask_RCNN as a family; what reads it is imported for a frozen graph alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mrcnn_cv.importers.base import CandidateFile, Family, named
from mrcnn_cv.model.definition import ModelDefinition, with_source


class Matterport(Family):
    """Frozen graphs of matterport's Mask_RCNN, with the config that was given, or the one beside the graph."""

    def detect(self, file: CandidateFile) -> bool:
        graph = file.find_frozen_graph()
        if graph is None:
            return False
        from mrcnn_cv.importers.matterport.family import is_matterport

        return is_matterport(graph)

    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        from mrcnn_cv.importers import config_schema
        from mrcnn_cv.importers.matterport.config import find_config, read_config
        from mrcnn_cv.importers.matterport.family import read_model

        graph = file.frozen_graph()
        given, warnings = config_schema.given_or_beside(
            config, find_config(file.path), read_config, config_schema.Config()
        )
        with named(file.path):
            spec = read_model(graph, given, file.path.stem)
        return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), graph.file)
