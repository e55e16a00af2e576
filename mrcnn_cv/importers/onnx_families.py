"""ONNX files: whether a file is one, which family it is of, and what the others are in plain words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.config_schema import given_or_beside
from mrcnn_cv.importers.onnx.constant_folding import OnnxEvaluator
from mrcnn_cv.importers.onnx.model import OnnxGraph, read_onnx
from mrcnn_cv.importers.pytorch import detectron2 as detectron2_onnx
from mrcnn_cv.importers.pytorch import detectron2_config
from mrcnn_cv.importers.pytorch import torchvision as torchvision_onnx
from mrcnn_cv.importers.pytorch.structure import find_parts
from mrcnn_cv.model.definition import ModelDefinition, with_source

SUPPORTED = (
    "mrcnn-cv runs torchvision's maskrcnn_* and fasterrcnn_* models in ONNX as torch.onnx.export(..., dynamo=False)"
    " writes them, and Detectron2's with a feature pyramid as its tools/deploy/export_model.py writes them by tracing"
)

_CAFFE2_OPS = frozenset(
    {
        *(
            "GenerateProposals",
            "BBoxTransform",
            "BoxWithNMSLimit",
            "CollectRpnProposals",
            "CollectAndDistributeFpnRpnProposals",
        ),
        *("AliasWithName", "RoIAlign", "RoIAlignRotated", "BatchPermutation", "CopyGPUToCPU", "CopyCPUToGPU"),
    }
)


def read_onnx_model(path: Path, config: Path | None = None) -> ModelDefinition:
    """The ModelDefinition of an ONNX file; raises ModelFileError, one sentence with the path.

    config: a Detectron2 config; one beside the model is taken by itself.
    """
    graph = read_onnx(path)
    if graph.producer.startswith("mrcnn-cv "):
        raise ModelFileError(
            f"{path} is one net of a model that mrcnn-cv has exported: name the folder that it was exported into"
        )
    other = _what_else(graph)
    if other is not None:
        raise ModelFileError(f"{path} {other}: {SUPPORTED}")
    values = OnnxEvaluator(graph)
    try:
        parts = find_parts(graph, values)
        if not detectron2_onnx.is_detectron2(graph, values, parts):
            return with_source(torchvision_onnx.read_model(graph, values, parts), graph.file)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error
    # A config that is given must be good, one that lies beside the model need not.
    given, warnings = given_or_beside(
        config, detectron2_config.find_config(path), detectron2_config.read_config, detectron2_config.Config()
    )
    try:
        spec = detectron2_onnx.read_model(graph, values, parts, given, path.stem)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error
    return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), graph.file)


def _what_else(graph: OnnxGraph) -> str | None:
    """A graph that is no Faster or Mask R-CNN, in plain words; None where it may be one."""
    ops = {node.op for node in graph.nodes}
    if ops & _CAFFE2_OPS:
        return "is a Caffe2 model in ONNX's clothes, which nothing but Caffe2 runs; trace it to plain ONNX instead"
    if "RoiAlign" in ops and "NonMaxSuppression" in ops:
        return None
    if "RoiAlign" in ops or "MaxRoiPool" in ops:
        return "crops regions but suppresses no boxes with NonMaxSuppression, so it is a part of a detector only"
    if "NonMaxSuppression" in ops:
        return "is a detector without region crops, such as SSD, RetinaNet, FCOS or YOLO"
    if "Conv" in ops:
        return "neither crops regions nor suppresses boxes: it is a classification or segmentation network, or a YOLO"
    return "is not a detector"
