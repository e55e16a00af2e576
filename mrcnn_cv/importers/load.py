"""From a path to a ModelDefinition: find the file, say what it is, hand it to its family."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.definition_json import MODEL_JSON, holds_model_json
from mrcnn_cv.model.validate import check_model

GRAPH_NAME = "frozen_inference_graph.pb"

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
    spec: ModelDefinition


def open_model(path: Path, config: Path | None = None) -> ModelFile:
    """Open a `.pb` or `.onnx` file, or the folder that holds it, or one that `jobs.export` has written.

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
    if found.suffix.lower() == ".json" and holds_model_json(found):
        if config is not None:
            raise ModelFileError(f"{found} holds every number of its model, so that no config can be given with it")
        from mrcnn_cv.importers.exported.family import read_model

        return ModelFile(found, read_model(found))
    # Of the families only those are imported that the file may be of.
    if _refuse_other_kinds(found) == "onnx":
        from mrcnn_cv.importers.onnx_families import read_onnx_model

        return ModelFile(found, read_onnx_model(found, config))
    from mrcnn_cv.importers.tensorflow_families import read_tensorflow_model

    return ModelFile(found, read_tensorflow_model(found, config))


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
    if holds_model_json(folder / MODEL_JSON):
        return folder / MODEL_JSON
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
        raise ModelFileError(f"{path} is a Caffe2 model, which is not supported: export it to ONNX by tracing")
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ", b"BZh")):
        raise ModelFileError(f"{path} is a compressed archive: unpack it and name the .pb inside")
    if head.startswith(b"version https://git-lfs"):
        raise ModelFileError(f"{path} is a Git LFS pointer, not the model itself: run 'git lfs pull'")
    if _is_onnx(head, suffix):
        return "onnx"
    if _is_text(head):
        kind = "a text graph (.pbtxt)" if b"node" in head else "a text file"
        raise ModelFileError(f"{path} is {kind}; mrcnn-cv needs no .pbtxt, only the binary {GRAPH_NAME}: name that one")
    return "graph"


def _is_onnx(head: bytes, suffix: str) -> bool:
    """Whether a file that begins with `head` is an ONNX model: its first field is the format's version, a number."""
    return suffix == ".onnx" or (head[:1] == b"\x08" and head[2:3] in (b"\x12", b":", b"B"))


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head[:256])
