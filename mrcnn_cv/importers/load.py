"""From a path to a ModelSpec: find the file, say what it is, hand it to its family."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

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
    NMS_OPS,
    PLAIN_SUPPRESSION,
)
from mrcnn_cv.importers.onnx_families import is_onnx, read_onnx_model
from mrcnn_cv.importers.tensorflow.graphdef import Graph, read_graph
from mrcnn_cv.model.definition import ModelSpec
from mrcnn_cv.model.validate import check_model

GRAPH_NAME = "frozen_inference_graph.pb"
CONFIG_NAME = "pipeline.config"

SUPPORTED = (
    "mrcnn-cv runs Mask R-CNN and Faster R-CNN: frozen graphs (.pb) of the TensorFlow Object Detection API and of"
    " matterport's Mask_RCNN, ONNX files of torchvision and Detectron2 (docs/models.md)"
)

_PYTORCH_SUFFIXES = (".pt", ".pth", ".ts", ".torchscript", ".pkl")
_CAFFE2_FILES = ("model.pb", "model_init.pb")
_SAVED_MODEL_FILES = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb")

_FREEZE = (
    "export it with the Object Detection API's export_inference_graph.py, which writes a frozen_inference_graph.pb, or"
    " freeze it with TensorFlow 2's convert_variables_to_constants_v2 (docs/models.md)"
)


@dataclass(frozen=True)
class ModelFile:
    """A model as found on disk: the file, its graph in our terms, and what was odd about it."""

    path: Path
    spec: ModelSpec


def open_model(path: Path, config: Path | None = None) -> ModelFile:
    """Open a `.pb` or `.onnx` file, or the folder that holds it.

    config: a pipeline.config, or the values of a matterport Config or a Detectron2 config; one in the same folder is
    taken by itself.
    Raises ModelFileError, one sentence that names the file and says what it is and what to do.
    """
    found = find_model_file(path)
    try:
        file = _read(found, config)
        _check(file)
    except (ArithmeticError, LookupError, ValueError, TypeError, RecursionError) as error:
        # A last net: what readers know to be wrong they say themselves.
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ModelFileError(f"{found} contradicts itself in a way that mrcnn-cv does not know ({what})") from error
    return file


def _check(file: ModelFile) -> None:
    try:
        check_model(file.spec)
    except ModelFileError as error:
        raise ModelFileError(f"{file.path} {error}") from error


def _read(found: Path, config: Path | None) -> ModelFile:
    """Hand a file to its family."""
    if _refuse_other_kinds(found) == "onnx":
        return ModelFile(found, read_onnx_model(found, config))
    graph = read_graph(found)
    if matterport.is_matterport(graph):
        return _open_matterport(found, graph, config)
    warnings: list[str] = []
    pipeline = _config(found, config, warnings)
    if not object_detection_api.is_region_cnn(graph):
        raise ModelFileError(f"{found} {_what_else(graph)}: {SUPPORTED}")
    try:
        spec = object_detection_api.read_model(graph, pipeline)
    except ModelFileError as error:
        raise ModelFileError(f"{found} {error}") from error
    return ModelFile(found, replace(spec, warnings=(*warnings, *spec.warnings)))


def _open_matterport(found: Path, graph: Graph, given: Path | None) -> ModelFile:
    """A matterport graph with the config that was given, or the one beside it; only a given one must be good."""
    config, warnings = given_or_beside(
        given, matterport_config.find_config(found), matterport_config.read_config, matterport_config.Config()
    )
    try:
        spec = matterport.read_model(graph, config, found.stem)
    except ModelFileError as error:
        raise ModelFileError(f"{found} {error}") from error
    return ModelFile(found, replace(spec, warnings=(*warnings, *spec.warnings)))


def find_model_file(path: Path) -> Path:
    """The model that a path means: the file itself, or the one in a folder; ModelFileError where there is none."""
    try:
        if path.is_dir():
            return _in_folder(path)
        if not path.exists():
            raise ModelFileError(f"there is no model file {path}: check its name and folder")
        if not path.is_file():
            raise ModelFileError(f"{path} is not a regular file, so it is not a model")
    except OSError as error:
        raise ModelFileError(f"{path} cannot be opened: {error.strerror or error}") from error
    return path


def _in_folder(folder: Path) -> Path:
    if (folder / GRAPH_NAME).is_file():
        return folder / GRAPH_NAME
    graphs = sorted(file for file in folder.glob("*.pb") if file.name not in _SAVED_MODEL_FILES)
    graphs = graphs or sorted(folder.glob("*.onnx"))
    if len(graphs) == 1:
        return graphs[0]
    if graphs:
        names = ", ".join(file.name for file in graphs[:5])
        raise ModelFileError(f"the folder {folder} holds several models ({names}): name one of them")
    if (folder / "saved_model.pb").exists() or (folder / "saved_model").is_dir():
        raise ModelFileError(f"the folder {folder} holds a SavedModel, not a frozen graph: {_FREEZE}")
    raise ModelFileError(f"the folder {folder} holds no {GRAPH_NAME}: name the model file itself")


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


def _refuse_other_kinds(path: Path) -> Literal["onnx", "graph"]:
    """The kind of a file, by its first bytes or its name; says plainly what it is when it is of another."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
    suffix = path.suffix.lower()
    if not head:
        raise ModelFileError(f"{path} is empty: copy or download it again")
    if head.startswith(b"\x89HDF\r\n") or suffix in (".h5", ".hdf5", ".keras"):
        raise ModelFileError(
            f"{path} is a Keras file, not a frozen TensorFlow graph: for a matterport Mask R-CNN run"
            f" 'python scripts/freeze_matterport.py {path.name}' where the model runs (docs/models.md)"
        )
    if path.name == "saved_model.pb":
        raise ModelFileError(f"{path} is a SavedModel, not a frozen graph: {_FREEZE}")
    if suffix in _PYTORCH_SUFFIXES or b"data.pkl" in head:
        raise ModelFileError(
            f"{path} is a PyTorch file (weights, a checkpoint or TorchScript), not ONNX: export the model to ONNX"
            " (docs/models.md)"
        )
    if path.name in _CAFFE2_FILES and all((path.parent / name).is_file() for name in _CAFFE2_FILES):
        raise ModelFileError(
            f"{path} is a Caffe2 model, which is not supported: export it with --export-method tracing --format onnx"
            " (docs/models.md)"
        )
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ", b"BZh")):
        raise ModelFileError(f"{path} is a compressed archive: unpack it and name the .pb inside")
    if head.startswith(b"version https://git-lfs"):
        raise ModelFileError(f"{path} is a Git LFS pointer, not the model itself: run 'git lfs pull'")
    if is_onnx(head, suffix):
        return "onnx"
    if _is_text(head):
        kind = "a text graph (.pbtxt)" if b"node" in head else "a text file"
        raise ModelFileError(f"{path} is {kind}; mrcnn-cv needs no .pbtxt, only the binary {GRAPH_NAME}: name that one")
    return "graph"


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head[:256])


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
