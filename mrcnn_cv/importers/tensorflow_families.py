"""Frozen TensorFlow graphs: which family one is of, and what the others are in plain words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.config_schema import given_or_beside
from mrcnn_cv.importers.matterport import config as matterport_config
from mrcnn_cv.importers.matterport import family as matterport
from mrcnn_cv.importers.object_detection_api import family as object_detection_api
from mrcnn_cv.importers.object_detection_api.pipeline_config import PipelineConfig, read_pipeline_config
from mrcnn_cv.importers.object_detection_api.structure import (
    CONTROL_OPS,
    FUNCTION_OPS,
    LOWER_FUNCTIONS,
    PLAIN_SUPPRESSION,
)
from mrcnn_cv.importers.tensorflow.graphdef import NMS_OPS, Graph, read_graph
from mrcnn_cv.model.definition import ModelDefinition, with_source

CONFIG_NAME = "pipeline.config"

SUPPORTED = (
    "mrcnn-cv runs Mask R-CNN and Faster R-CNN: frozen graphs (.pb) of the TensorFlow Object Detection API and of"
    " matterport's Mask_RCNN, ONNX files of torchvision and Detectron2"
)


def read_tensorflow_model(path: Path, config: Path | None = None) -> ModelDefinition:
    """The ModelDefinition of a frozen graph; raises ModelFileError, one sentence with the path.

    config: a pipeline.config, or the values of a matterport Config; one beside the model is taken by itself.
    """
    graph = read_graph(path)
    if matterport.is_matterport(graph):
        return _read_matterport(path, graph, config)
    warnings: list[str] = []
    pipeline = _config(path, config, warnings)
    if not object_detection_api.is_region_cnn(graph):
        raise ModelFileError(f"{path} {_what_else(graph)}: {SUPPORTED}")
    try:
        spec = object_detection_api.read_model(graph, pipeline)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error
    return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), graph.file)


def _read_matterport(found: Path, graph: Graph, given: Path | None) -> ModelDefinition:
    """A matterport graph with the config that was given, or the one beside it; only a given one must be good."""
    config, warnings = given_or_beside(
        given, matterport_config.find_config(found), matterport_config.read_config, matterport_config.Config()
    )
    try:
        spec = matterport.read_model(graph, config, found.stem)
    except ModelFileError as error:
        raise ModelFileError(f"{found} {error}") from error
    return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), graph.file)


def _config(found: Path, given: Path | None, warnings: list[str]) -> PipelineConfig | None:
    """The config that was given, or the one beside the model; only a given one must be good."""
    if given is not None:
        return read_pipeline_config(given)
    beside = found.parent / CONFIG_NAME
    if not beside.is_file():
        return None
    try:
        return read_pipeline_config(beside)
    except ModelFileError as error:
        warnings.append(f"{error}; the graph alone is used")
        return None


def _what_else(graph: Graph) -> str:
    """A graph that is no Faster or Mask R-CNN, in plain words."""
    ops = {node.op for node in graph.nodes.values()}
    if ops & {"VariableV2", "VarHandleOp", "ReadVariableOp", "Variable"}:
        return "is a graph with variables, so it is not frozen"
    detector = any(name.endswith("detection_boxes") for name in graph.nodes)
    if detector and not ops & NMS_OPS and not ops & CONTROL_OPS:
        return f"suppresses boxes without NonMaxSuppression, which is not supported; {PLAIN_SUPPRESSION}"
    if functions := sorted(ops & FUNCTION_OPS):
        return f"keeps parts of its work in functions ({', '.join(functions)}), {LOWER_FUNCTIONS}"
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
