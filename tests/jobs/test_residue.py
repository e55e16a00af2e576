"""What a run that was killed had half written goes when the same command is given again, and nobody else's does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mrcnn_cv.jobs import (
    ComparisonOptions,
    EvaluationOptions,
    ModelOptions,
    OutputOptions,
    RunOptions,
    annotate_images,
    compare,
    evaluate,
)
from mrcnn_cv.jobs.report_file import ReportFile
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from tests.conftest import read_image


@pytest.fixture
def model(tiny_graph: Path) -> ModelOptions:
    return ModelOptions(tiny_graph, backend="cpu")


@pytest.fixture
def images(tmp_path: Path, photo_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    shutil.copy(photo_path, tmp_path / "in" / "0.png")
    return tmp_path / "in"


def killed_at(path: Path) -> Path:
    """What a run leaves that is killed while it writes this file."""
    folder = OutputDirectory(path.parent)
    before = set(path.parent.glob(".mrcnn-cv-*.tmp"))
    with folder.placing(path.parent / path.name) as temporary:
        temporary.write_bytes(b"")
        (left,) = set(path.parent.glob(".mrcnn-cv-*.tmp")) - before
    path.unlink()
    left.write_bytes(b"half of it")
    return left


def test_one_file_of_a_folder_that_others_use(tmp_path: Path) -> None:
    ours, theirs = killed_at(tmp_path / "a.json"), killed_at(tmp_path / "b.json")
    ReportFile(tmp_path / "a.json", overwrite=False, protected=[]).write(b"{}")
    assert not ours.exists()
    assert theirs.exists()
    OutputDirectory(tmp_path).sweep()
    assert not theirs.exists()


def test_records_and_the_state_beside_them(tmp_path: Path, images: Path, model: ModelOptions) -> None:
    output = OutputOptions(formats=(), records=tmp_path / "all.jsonl")
    run = RunOptions(workers=1, resume=True)
    annotate_images(images, model, output=output, run=run)
    left = [killed_at(tmp_path / ".all.jsonl.mrcnn-cv" / name) for name in ("summary.json", "failures.csv")]
    ours, theirs = killed_at(tmp_path / "all.jsonl"), killed_at(tmp_path / "other.jsonl")
    annotate_images(images, model, output=output, run=run)
    assert not any(path.exists() for path in [*left, ours])
    assert theirs.exists()


def test_an_evaluation(tmp_path: Path, images: Path, model: ModelOptions) -> None:
    pytest.importorskip("pycocotools")
    data = {
        "images": [{"id": 1, "file_name": "0.png", "width": 240, "height": 160}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}],
    }
    (tmp_path / "data.json").write_text(json.dumps(data))
    (tmp_path / "labels.txt").write_text("cup\nspoon\nplate\n")
    (tmp_path / "out").mkdir()
    left = killed_at(tmp_path / "out" / "results.json")
    report = killed_at(tmp_path / "report.json")
    evaluate(
        tmp_path / "data.json",
        images,
        ModelOptions(model.path, backend="cpu", labels=tmp_path / "labels.txt"),
        options=EvaluationOptions(directory=tmp_path / "out", report=tmp_path / "report.json"),
        run=RunOptions(workers=1, resume=True),
    )
    assert not left.exists()
    assert not report.exists()


def test_a_comparison(tmp_path: Path, images: Path, model: ModelOptions, graphs: Path) -> None:
    (tmp_path / "out").mkdir()
    cv2.imwrite(str(images / "0.png"), np.ascontiguousarray(read_image(images / "0.png")[:, ::-1]))
    left = killed_at(tmp_path / "out" / "001-0.png")
    other = ModelOptions(graphs / "tiny_faster_rcnn", backend="cpu")
    options = ComparisonOptions(directory=tmp_path / "out", score=None)
    assert compare(model, other, images, options=options).drawn == 1
    assert not left.exists()
