"""Which baselines can run what, and where their packages are looked for."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.bench.candidate import CandidateError
from mrcnn_cv.bench.run import Case
from mrcnn_cv.importers.load import open_model
from scripts.benchmarks.baselines import BASELINES, python_for
from tests.support.parity import Image


@pytest.fixture
def case(tiny_graph: Path, photo: Image, tmp_path: Path) -> Case:
    return Case(tiny_graph, open_model(tiny_graph).definition, photo, tmp_path, 2)


def test_a_baseline_whose_package_is_here_runs_here() -> None:
    assert python_for(replace(BASELINES["whole-graph"], attribute="dnn.Net"), ()) is None


def test_an_opencv_without_the_importer_is_not_enough() -> None:
    """As of 5.1, which runs no whole TensorFlow graph."""
    with pytest.raises(CandidateError, match=r"cv2 with dnn\.no_such_importer is not installed here"):
        python_for(replace(BASELINES["whole-graph"], attribute="dnn.no_such_importer"), ())


def test_a_package_is_looked_for_here_and_then_elsewhere() -> None:
    baseline = replace(BASELINES["tensorflow"], package="mrcnn_cv")
    assert python_for(baseline, ["/no/such/python"]) is None
    absent = replace(baseline, package="no_such_package_at_all")
    with pytest.raises(
        CandidateError, match=r"no_such_package_at_all is not installed here: install it, or .*--peer-python"
    ):
        python_for(absent, [])
    with pytest.raises(CandidateError, match="installed neither here nor for"):
        python_for(absent, ["/no/such/python", sys.executable])


def test_another_environment_that_has_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = replace(BASELINES["tensorflow"], package="json")
    assert python_for(found, ["/no/such/python", sys.executable]) == sys.executable


def test_tensorflow_is_given_the_image_as_it_is(case: Case, photo: Image) -> None:
    job = BASELINES["tensorflow"].job(case)
    assert job["threads"] == 2
    np.testing.assert_array_equal(np.load(job["image"])[0, :, :, ::-1], photo)


def test_frozen_graphs_are_not_for_onnxruntime(case: Case) -> None:
    with pytest.raises(CandidateError, match=r"\.onnx files, and this model is a frozen graph"):
        BASELINES["onnxruntime"].job(case)


def test_onnx_files_are_not_for_tensorflow_nor_for_opencv(case: Case) -> None:
    onnx = replace(case, model=Path("model.onnx"))
    for name in ("tensorflow", "whole-graph"):
        with pytest.raises(CandidateError, match="ONNX"):
            BASELINES[name].job(onnx)


@pytest.mark.parametrize(("family", "largest"), [("torchvision", 1.0), ("Detectron2", 255.0)])
def test_onnx_files_are_given_planes(case: Case, tmp_path: Path, family: str, largest: float) -> None:
    import lzma

    packed = Path(__file__).parents[1] / "data" / "torchvision" / "mask_rcnn.onnx.xz"
    path = tmp_path / "model.onnx"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    job = BASELINES["onnxruntime"].job(replace(case, model=path, definition=replace(case.definition, family=family)))
    planes = np.load(job["image"])
    assert planes.dtype == np.float32
    assert planes.shape[-3] == 3
    assert 0.5 * largest < planes.max() <= largest


def test_a_version_that_lacks_what_is_needed_is_not_enough() -> None:
    """OpenCV 5.1 is there, but does not read TensorFlow's graphs."""
    baseline = replace(BASELINES["whole-graph"], package="json", attribute="decoder.JSONDecoder")
    assert python_for(baseline, ()) is None
    absent = replace(baseline, attribute="decoder.no_such_thing")
    with pytest.raises(CandidateError, match=r"the package json with decoder\.no_such_thing is not installed here"):
        python_for(absent, ())
    with pytest.raises(CandidateError, match="is installed neither here nor for"):
        python_for(absent, (sys.executable,))
