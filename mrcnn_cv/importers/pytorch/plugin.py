"""ONNX files of torchvision and Detectron2 as families, and what other ONNX files are in plain words.

What reads them is imported for an ONNX file alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile, Family, named
from mrcnn_cv.model.definition import ModelDefinition, with_source

if TYPE_CHECKING:
    from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
    from mrcnn_cv.importers.onnx.model import OnnxGraph
    from mrcnn_cv.importers.pytorch.structure import PyTorchStructure

SUPPORTED = (
    "mrcnn-cv runs torchvision's maskrcnn_* and fasterrcnn_* models in ONNX as torch.onnx.export(..., dynamo=False)"
    " writes them, and Detectron2's with a feature pyramid as its tools/deploy/export_model.py writes them by tracing"
)

_CAFFE2_OPS = frozenset(
    {
        *("GenerateProposals", "BBoxTransform", "BoxWithNMSLimit", "CollectRpnProposals"),
        "CollectAndDistributeFpnRpnProposals",
        *("AliasWithName", "RoIAlign", "RoIAlignRotated", "BatchPermutation", "CopyGPUToCPU", "CopyCPUToGPU"),
    }
)


class _Detector(NamedTuple):
    """An ONNX graph with the structure of a Faster or Mask R-CNN."""

    graph: OnnxGraph
    values: OnnxConstantFolder
    structure: PyTorchStructure


class Torchvision(Family):
    """torchvision's exports; it takes every detector of this structure that is not Detectron2's."""

    def detect(self, file: CandidateFile) -> bool:
        return _found(file) is not None

    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        from mrcnn_cv.importers.pytorch.torchvision import read_model

        found = find_detector(file)
        with named(file.path):
            return with_source(read_model(*found), found.graph.file)


class Detectron2(Family):
    """Detectron2's exports, with the config that was given, or the one beside the model."""

    def detect(self, file: CandidateFile) -> bool:
        found = _found(file)
        if found is None:
            return False
        from mrcnn_cv.importers.pytorch.detectron2 import is_detectron2

        return is_detectron2(*found)

    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        from mrcnn_cv.importers import config_schema
        from mrcnn_cv.importers.pytorch.detectron2 import read_model
        from mrcnn_cv.importers.pytorch.detectron2_config import find_config, read_config

        found = find_detector(file)
        given, warnings = config_schema.given_or_beside(
            config, find_config(file.path), read_config, config_schema.Config()
        )
        with named(file.path):
            spec = read_model(*found, given, file.path.stem)
        return with_source(replace(spec, warnings=(*warnings, *spec.warnings)), found.graph.file)


def find_detector(file: CandidateFile) -> _Detector:
    """The structure of a detector in an ONNX file; ModelFileError, one sentence that says what the file is instead."""
    return file.once(_find_detector)


def _found(file: CandidateFile) -> _Detector | None:
    try:
        return find_detector(file) if file.is_onnx else None
    except ModelFileError:
        return None


def _find_detector(file: CandidateFile) -> _Detector:
    from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
    from mrcnn_cv.importers.pytorch.structure import find_structure

    graph = file.onnx_graph()
    with named(file.path):
        if graph.exporter.startswith("mrcnn-cv "):
            raise ModelFileError(
                "is one net of a model that mrcnn-cv has exported: name the folder that it was exported into"
            )
        other = _what_else(graph)
        if other is not None:
            raise ModelFileError(f"{other}: {SUPPORTED}")
        values = OnnxConstantFolder(graph)
        return _Detector(graph, values, find_structure(graph, values))


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
