"""Files that are plainly no model that is read here: what they are, by their first bytes or their names."""

from __future__ import annotations

import os
from pathlib import Path

from mrcnn_cv.importers.standalone import FREEZE_SCRIPT

GRAPH_NAME = "frozen_inference_graph.pb"

WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors")
"""Of files that are looked for in a folder."""

_PYTORCH_SUFFIXES = (*WEIGHTS_SUFFIXES, ".ts", ".torchscript", ".pkl")
_CAFFE2_FILES = ("model.pb", "model_init.pb")

FREEZE = (
    "export it with the Object Detection API's export_inference_graph.py, which writes a frozen_inference_graph.pb, or"
    " freeze it with TensorFlow 2's convert_variables_to_constants_v2"
)


def what_else(path: Path, head: bytes) -> str | None:
    """What a file is that begins with `head`, as a sentence with its path; None where it may be a model."""
    suffix = path.suffix.lower()
    if not head:
        return f"{path} is empty: copy or download it again"
    if head.startswith(b"\x89HDF\r\n") or suffix in (".h5", ".hdf5", ".keras"):
        return (
            f"{path} is a Keras file, not a frozen TensorFlow graph: for a matterport Mask R-CNN run"
            f" 'python {FREEZE_SCRIPT} {path.name}' in the environment where the model runs"
        )
    if path.name == "saved_model.pb":
        return f"{path} is a SavedModel, not a frozen graph: {FREEZE}"
    if is_named_as_weights(path) or b"data.pkl" in head:
        return f"{path} is a PyTorch file, and not one of weights that are read"
    if path.name in _CAFFE2_FILES and all(os.path.isfile(path.parent / name) for name in _CAFFE2_FILES):
        return f"{path} is a Caffe2 model, which is not supported: export it to ONNX by tracing"
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ", b"BZh")):
        return f"{path} is a compressed archive: unpack it and name the .pb inside"
    if head.startswith(b"version https://git-lfs"):
        return f"{path} is a Git LFS pointer, not the model itself: run 'git lfs pull'"
    if is_onnx(head, path):
        return None
    if _is_text(head):
        kind = "a text graph (.pbtxt)" if b"node" in head else "a text file"
        return f"{path} is {kind}; mrcnn-cv needs no .pbtxt, only the binary {GRAPH_NAME}: name that one"
    return None


def is_named_as_weights(path: Path) -> bool:
    """Whether a file is called as torch's weights and checkpoints are, and numpy's."""
    return path.suffix.lower() in (*_PYTORCH_SUFFIXES, ".npz")


def is_onnx(head: bytes, path: Path) -> bool:
    """Whether a file that begins with `head` is an ONNX model: its first field is the format's version, a number."""
    return path.suffix.lower() == ".onnx" or (head[:1] == b"\x08" and head[2:3] in (b"\x12", b":", b"B"))


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head[:256])
