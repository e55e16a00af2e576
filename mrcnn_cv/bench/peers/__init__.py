"""The peers of `mrcnn-cv bench --against`: other ways of running the same model file on the same picture."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.bench.contestant import CannotRun
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.object_detection_api.text_graph import DETECTIONS, MASKS, text_graph
from mrcnn_cv.importers.onnx.model import read_onnx
from mrcnn_cv.importers.tensorflow.graphdef import read_graph
from mrcnn_cv.inference.preprocess.resize import prepare
from mrcnn_cv.model.definition import ModelDefinition

_FAMILY = "Object Detection API"
_IMAGE_TENSOR = "image_tensor"
_SECONDS_TO_LOOK = 60


@dataclass(frozen=True)
class Case:
    """What all contestants are given: a model, a picture (H, W, 3) uint8 BGR, a folder for what is handed over."""

    model: Path
    spec: ModelDefinition
    picture: NDArray[np.uint8]
    folder: Path
    threads: int


@dataclass(frozen=True)
class Peer:
    """A peer. package: what has to be installed; file: the module beside this one that has its `Runner`.

    job: what the runner is told; CannotRun where the peer has no use for the model. attribute: what not every version
    of the package has.
    """

    title: str
    package: str
    file: str
    job: Callable[[Case], dict[str, Any]]
    attribute: str | None = None

    @property
    def question(self) -> str:
        """A program that fails where the package is not installed, or not as it is needed."""
        if self.attribute is None:
            return f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{self.package}') is None)"
        return f"import {self.package}; {self.package}.{self.attribute}"


def python_for(peer: Peer, pythons: Sequence[str]) -> str | None:
    """The interpreter with the peer's package: None for this one, else the first of `pythons` that has it.

    Raises CannotRun where none has.
    """
    if _is_here(peer):
        return None
    question = peer.question
    for python in pythons:
        try:
            if subprocess.run([python, "-c", question], capture_output=True, timeout=_SECONDS_TO_LOOK).returncode == 0:
                return python
        except (OSError, subprocess.TimeoutExpired):
            continue
    wanted = f"the package {peer.package}"
    if peer.attribute is not None:
        wanted += f" with {peer.attribute}"
    if pythons:
        raise CannotRun(f"{wanted} is installed neither here nor for {' or '.join(pythons)}")
    raise CannotRun(
        f"{wanted} is not installed here: install it, or give --peer-python the Python of an environment that has it"
    )


def _is_here(peer: Peer) -> bool:
    if importlib.util.find_spec(peer.package) is None:
        return False
    if peer.attribute is None:
        return True
    try:
        attrgetter(peer.attribute)(importlib.import_module(peer.package))
    except AttributeError:
        return False
    return True


def _whole_graph(case: Case) -> dict[str, Any]:
    if case.model.suffix.lower() == ".onnx":
        raise CannotRun("OpenCV does not run ONNX files of detectors as a whole")
    try:
        layers = text_graph(read_graph(case.model), case.spec)
    except ModelFileError as error:
        raise CannotRun(f"the model {error}") from error
    prepared = prepare(case.picture, case.spec.resize, case.spec.pixels).pixels
    return {
        "model": str(case.model),
        "text_graph": layers,
        "outputs": [DETECTIONS] if case.spec.mask is None else [DETECTIONS, MASKS],
        "prepared": _saved(case, "prepared", prepared),
        "threads": case.threads,
    }


def _tensorflow(case: Case) -> dict[str, Any]:
    if case.model.suffix.lower() == ".onnx":
        raise CannotRun("TensorFlow does not run ONNX files")
    return {**_frozen_graph(case), "input": _IMAGE_TENSOR}


def _openvino(precision: str) -> Callable[[Case], dict[str, Any]]:
    def job(case: Case) -> dict[str, Any]:
        is_onnx = case.model.suffix.lower() == ".onnx"
        return {**(_onnx(case) if is_onnx else _frozen_graph(case)), "precision": precision}

    return job


def _frozen_graph(case: Case) -> dict[str, Any]:
    """A graph of the Object Detection API takes the picture as it is, RGB."""
    graph = read_graph(case.model)
    if case.spec.family != _FAMILY or _IMAGE_TENSOR not in graph.nodes:
        raise CannotRun(f"of frozen graphs only those of the {_FAMILY} with an '{_IMAGE_TENSOR}' can be fed")
    picture = np.ascontiguousarray(case.picture[np.newaxis, :, :, ::-1])
    return {"model": str(case.model), "picture": _saved(case, "picture", picture), "threads": case.threads}


def _onnx(case: Case) -> dict[str, Any]:
    """torchvision's files take the picture as it is, from 0 to 1; Detectron2's take it resized."""
    if case.model.suffix.lower() != ".onnx":
        raise CannotRun("it runs .onnx files, and this model is a frozen graph")
    shapes = list(read_onnx(case.model).inputs.values())
    if case.spec.family.startswith("torchvision"):
        planes = case.picture[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    else:
        planes = prepare(case.picture, replace(case.spec.resize, pad_multiple=None), ()).pixels[0]
    picture = planes if len(shapes) == 1 and len(shapes[0]) == 3 else planes[np.newaxis]
    return {"model": str(case.model), "picture": _saved(case, "planes", picture), "threads": case.threads}


def _saved(case: Case, name: str, array: NDArray[Any]) -> str:
    path = case.folder / f"{name}.npy"
    np.save(path, np.ascontiguousarray(array))
    return str(path)


PEERS = {
    # OpenCV 5.1 and later do not read TensorFlow's graphs.
    "whole-graph": Peer("OpenCV, whole graph", "cv2", "whole_graph.py", _whole_graph, "dnn.readNetFromTensorflow"),
    "tensorflow": Peer("TensorFlow", "tensorflow", "tensorflow_session.py", _tensorflow),
    "openvino": Peer("OpenVINO f32", "openvino", "openvino_graph.py", _openvino("f32")),
    "openvino-bf16": Peer("OpenVINO bf16", "openvino", "openvino_graph.py", _openvino("bf16")),
    "onnxruntime": Peer("ONNX Runtime", "onnxruntime", "onnx_session.py", _onnx),
}
"""By the names of `--against`."""
