"""`mrcnn-cv inspect`, run as installed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, success
from tests.support.checkpoints import write_torch_zip
from tests.support.state_dicts import detectron2_weights


def look(run: Run, model: Path, *options: str) -> dict[str, Any]:
    done = run("inspect", str(model), "--json", *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_numbers_are_those_of_the_pipeline_config(run: Run, graphs: Path) -> None:
    """The expected ones are copied from tests/data/tiny_mask_rcnn/pipeline.config."""
    found = look(run, graphs / "tiny_mask_rcnn")
    assert (found["architecture"], found["backbone"]) == ("Mask R-CNN", "Inception v2")
    assert found["classes"]["count"] == 3
    assert (found["resize"]["min_dimension"], found["resize"]["max_dimension"]) == (96, 160)
    assert (len(found["anchors"]["sizes"]), found["anchors"]["stride"]) == (12, [16, 16])
    assert (found["proposals"]["iou_threshold"], found["proposals"]["max_total"]) == (0.7, 20)
    assert found["box_head"]["crop_size"] == [14, 14]
    limits = [found["detections"][key] for key in ("score_threshold", "iou_threshold", "max_per_class", "max_total")]
    assert limits == [0.3, 0.6, 10, 20]
    assert found["masks"]["size"] == [15, 15]
    assert found["unusual"] == []


def test_file_is_identified(run: Run, tiny_graph: Path) -> None:
    data = tiny_graph.read_bytes()
    assert look(run, tiny_graph)["file"] == {
        "path": str(tiny_graph),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@pytest.mark.parametrize(
    ("model", "sentences"),
    [
        ("tiny_faster_rcnn", ["no mask branch", "by sigmoid", "one fixed shape"]),
        ("tiny_mask_rcnn_agnostic", ["share one box", "share one mask", "padded"]),
    ],
)
def test_what_is_unusual_is_said(run: Run, graphs: Path, model: str, sentences: list[str]) -> None:
    unusual = look(run, graphs / model)["unusual"]
    assert len(unusual) == len(sentences)
    for sentence in sentences:
        assert any(sentence in text for text in unusual), sentence


def test_nets_are_counted_for_the_given_size(run: Run, tiny_graph: Path) -> None:
    found = look(run, tiny_graph, "--image-size", "320x160")
    trunk, box_head, mask_head = found["nets"]
    # 160 px become 96, 320 px at most 160: the longer side decides, and 16 pixels are a cell.
    assert found["image"] == {"size": [160, 320], "resized": [80, 160], "network_input": [80, 160]}
    assert [output["shape"][2:] for output in trunk["outputs"]] == [[5, 10]] * 3
    assert (box_head["regions"], mask_head["regions"]) == (20, 1)
    assert mask_head["outputs"][0]["shape"] == [1, 3, 15, 15]
    for net in found["nets"]:
        assert net["gflops"] == pytest.approx(sum(layer["flops"] for layer in net["layers"]) / 1e9, abs=1e-3)
    assert all(check["problem"] is None for check in found["opencv"])


def test_operations_of_a_convolution_by_hand(run: Run, tiny_graph: Path) -> None:
    trunk = look(run, tiny_graph)["nets"][0]
    layer = next(layer for layer in trunk["layers"] if layer["name"].endswith("BoxEncodingPredictor/Conv2D"))
    channels, height, width = layer["output"][1:]
    assert channels == 48
    # A bias of each channel is one of its parameters, and one more addition.
    inputs = layer["parameters"] // channels - 1
    assert layer["flops"] == height * width * channels * (2 * inputs + 1)


def test_table(run: Run, graphs: Path) -> None:
    done = run("inspect", str(graphs / "tiny_mask_rcnn"), "--layers")
    assert done.returncode == 0, done.stderr
    for text in (
        "Mask R-CNN, Inception v2",
        "shorter side 96, longer at most 160",
        "12 per cell, stride 16",
        "cpu: all nets",
    ):
        assert text in done.stdout
    assert "Conv2d FirstStageBoxPredictor/BoxEncodingPredictor/Conv2D" in done.stdout


def test_demo_model_by_name(run: Run) -> None:
    done = run("inspect", "demo")
    assert done.returncode == 0, done.stderr
    assert "1 circle, 2 triangle" in done.stdout


def test_a_file_that_cannot_run_is_named_for_what_it_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    done = run("inspect", "weights.h5")
    assert done.returncode == 3
    assert "Keras" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("size", ["640", "0x480", "axb", "640x"])
def test_a_size_that_is_none(run: Run, tiny_graph: Path, size: str) -> None:
    done = run("inspect", str(tiny_graph), "--image-size", size)
    assert done.returncode == 2
    assert "--image-size" in done.stderr


def test_weights_are_called_so(run: Run, tmp_path: Path) -> None:
    """With what was assumed of their model."""
    write_torch_zip(tmp_path / "model_final.pth", detectron2_weights("r50"))
    said = success(run("inspect", "model_final.pth")).stdout
    assert "Detectron2, weights, torch-zip" in said
    assert "Detectron2's defaults are assumed: INPUT.MIN_SIZE_TEST = 800" in said
