"""The Object Detection API as a family, and what other frozen graphs are in plain words.

What reads them is imported for a frozen graph alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile, Family, named
from mrcnn_cv.model.definition import ModelDefinition, with_source

if TYPE_CHECKING:
    from mrcnn_cv.importers.tensorflow.graphdef import Graph

SUPPORTED = (
    "mrcnn-cv runs Mask R-CNN and Faster R-CNN: frozen graphs (.pb) of the TensorFlow Object Detection API and of"
    " matterport's Mask_RCNN, ONNX files of torchvision and Detectron2"
)


class ObjectDetectionApi(Family):
    """Frozen graphs that crop regions and suppress boxes, with the pipeline.config given, or the one beside them."""

    def detect(self, file: CandidateFile) -> bool:
        graph = file.find_frozen_graph()
        if graph is None:
            return False
        from mrcnn_cv.importers.object_detection_api.family import is_region_cnn

        return is_region_cnn(graph)

    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        from mrcnn_cv.importers.config_schema import find_beside, given_or_beside
        from mrcnn_cv.importers.object_detection_api.family import read_model
        from mrcnn_cv.importers.object_detection_api.pipeline_config import PipelineConfig, read_pipeline_config

        graph = file.frozen_graph()
        beside = find_beside(file.path, ["pipeline"], [".config"])
        given, warnings = given_or_beside(config, beside, read_pipeline_config, PipelineConfig())
        with named(file.path):
            spec = read_model(graph, given)
        return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), graph.file)


def refuse(file: CandidateFile) -> NoReturn:
    """Raise the ModelFileError that says what a frozen graph is that no family here detects."""
    raise ModelFileError(f"{file.path} {_what_else(file.frozen_graph())}: {SUPPORTED}")


def _what_else(graph: Graph) -> str:
    """A graph that is no Faster or Mask R-CNN, in plain words."""
    from mrcnn_cv.importers.object_detection_api import structure
    from mrcnn_cv.importers.tensorflow.graphdef import NMS_OPS

    ops = {node.op for node in graph.nodes.values()}
    if ops & {"VariableV2", "VarHandleOp", "ReadVariableOp", "Variable"}:
        return "is a graph with variables, so it is not frozen"
    detector = any(name.endswith("detection_boxes") for name in graph.nodes)
    if detector and not ops & NMS_OPS and not ops & structure.CONTROL_OPS:
        return f"suppresses boxes without NonMaxSuppression, which is not supported; {structure.PLAIN_SUPPRESSION}"
    if functions := sorted(ops & structure.FUNCTION_OPS):
        return f"keeps parts of its work in functions ({', '.join(functions)}), {structure.LOWER_FUNCTIONS}"
    if any("MatMulCropAndResize" in name for name in graph.nodes):
        return (
            "crops regions without CropAndResize, which is not supported; export it again without"
            " use_matmul_crop_and_resize and use_static_shapes in its pipeline.config"
        )
    if ops & NMS_OPS:
        return "is a detector without region crops, such as SSD, EfficientDet or YOLO"
    if "Softmax" in ops and ops & {"Conv2D", "MatMul"}:
        return "is a classification or segmentation network: it finds no boxes"
    return "is not a detector"
