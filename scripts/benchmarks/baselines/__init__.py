"""Baselines: other ways of running the same model file on the same image."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.bench.candidate import CandidateError
from mrcnn_cv.bench.run import Case
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.onnx.model import read_onnx
from mrcnn_cv.importers.tensorflow.graphdef import read_graph
from mrcnn_cv.inference.preprocess.resize import prepare
from scripts.benchmarks.text_graph import DETECTIONS, MASKS, text_graph

_FAMILY = "Object Detection API"
_IMAGE_TENSOR = "image_tensor"
_SECONDS_TO_LOOK = 60


@dataclass(frozen=True)
class Baseline:
    """One baseline.

    package: what has to be installed. file: the module beside this one that has its `Runner`. job: what the runner is
    told; CandidateError where the baseline cannot run the model. attribute: what not every version of the package has.
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


def python_for(baseline: Baseline, pythons: Sequence[str]) -> str | None:
    """The interpreter with the baseline's package: None for this one, else the first of `pythons` that has it.

    Raises CandidateError where none has.
    """
    if _is_here(baseline):
        return None
    question = baseline.question
    for python in pythons:
        try:
            if subprocess.run([python, "-c", question], capture_output=True, timeout=_SECONDS_TO_LOOK).returncode == 0:
                return python
        except (OSError, subprocess.TimeoutExpired):
            continue
    wanted = f"the package {baseline.package}"
    if baseline.attribute is not None:
        wanted += f" with {baseline.attribute}"
    if pythons:
        raise CandidateError(f"{wanted} is installed neither here nor for {' or '.join(pythons)}")
    raise CandidateError(
        f"{wanted} is not installed here: install it, or give --peer-python the Python of an environment that has it"
    )


def _is_here(baseline: Baseline) -> bool:
    if importlib.util.find_spec(baseline.package) is None:
        return False
    if baseline.attribute is None:
        return True
    try:
        attrgetter(baseline.attribute)(importlib.import_module(baseline.package))
    except AttributeError:
        return False
    return True


def _whole_graph(case: Case) -> dict[str, Any]:
    if case.model.suffix.lower() == ".onnx":
        raise CandidateError("OpenCV does not run ONNX files of detectors as a whole")
    try:
        layers = text_graph(read_graph(case.model), case.definition)
    except ModelFileError as error:
        raise CandidateError(f"the model {error}") from error
    prepared = prepare(case.image, case.definition.resize, case.definition.pixels).pixels
    return {
        "model": str(case.model),
        "text_graph": layers,
        "outputs": [DETECTIONS] if case.definition.mask is None else [DETECTIONS, MASKS],
        "prepared": _saved(case, "prepared", prepared),
        "threads": case.threads,
    }


def _tensorflow(case: Case) -> dict[str, Any]:
    if case.model.suffix.lower() == ".onnx":
        raise CandidateError("TensorFlow does not run ONNX files")
    return {**_frozen_graph(case), "input": _IMAGE_TENSOR}


def _openvino(precision: str) -> Callable[[Case], dict[str, Any]]:
    def job(case: Case) -> dict[str, Any]:
        is_onnx = case.model.suffix.lower() == ".onnx"
        return {**(_onnx(case) if is_onnx else _frozen_graph(case)), "precision": precision}

    return job


def _frozen_graph(case: Case) -> dict[str, Any]:
    """A graph of the Object Detection API takes the image as it is, RGB."""
    graph = read_graph(case.model)
    if case.definition.family != _FAMILY or _IMAGE_TENSOR not in graph.nodes:
        raise CandidateError(f"of frozen graphs only those of the {_FAMILY} with an '{_IMAGE_TENSOR}' can be fed")
    image = np.ascontiguousarray(case.image[np.newaxis, :, :, ::-1])
    return {"model": str(case.model), "image": _saved(case, "image", image), "threads": case.threads}


def _onnx(case: Case) -> dict[str, Any]:
    """torchvision's files take the image as it is, from 0 to 1; Detectron2's take it resized."""
    if case.model.suffix.lower() != ".onnx":
        raise CandidateError("it runs .onnx files, and this model is a frozen graph")
    shapes = list(read_onnx(case.model).inputs.values())
    if case.definition.family.startswith("torchvision"):
        planes = case.image[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    else:
        planes = prepare(case.image, replace(case.definition.resize, pad_multiple=None), ()).pixels[0]
    image = planes if len(shapes) == 1 and len(shapes[0]) == 3 else planes[np.newaxis]
    return {"model": str(case.model), "image": _saved(case, "planes", image), "threads": case.threads}


def _saved(case: Case, name: str, array: NDArray[Any]) -> str:
    path = case.folder / f"{name}.npy"
    np.save(path, np.ascontiguousarray(array))
    return str(path)


BASELINES = {
    # OpenCV 5.1 and later do not read TensorFlow's graphs.
    "whole-graph": Baseline("OpenCV, whole graph", "cv2", "whole_graph.py", _whole_graph, "dnn.readNetFromTensorflow"),
    "tensorflow": Baseline("TensorFlow", "tensorflow", "tensorflow_session.py", _tensorflow),
    "openvino": Baseline("OpenVINO f32", "openvino", "openvino_graph.py", _openvino("f32")),
    "openvino-bf16": Baseline("OpenVINO bf16", "openvino", "openvino_graph.py", _openvino("bf16")),
    "onnxruntime": Baseline("ONNX Runtime", "onnxruntime", "onnx_session.py", _onnx),
}
"""By the names of `--against`."""
