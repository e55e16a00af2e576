"""The main job on good input: what is found, where it is written, what is said."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from pycocotools import mask as coco

from mrcnn_cv import Instances, MaskRCNN
from tests.cli.conftest import LABELS, Result, Run, execute, names_in, refusal, success
from tests.conftest import DATA, read_image
from tests.support.rows import sampled

ASTRONAUT = DATA / "images" / "astronaut.png"

SCHEMA = json.loads((resources.files("mrcnn_cv") / "schemas" / "record.schema.json").read_text(encoding="utf-8"))


def records(text: str) -> list[dict[str, Any]]:
    """Every line a valid record, and nothing but records."""
    assert text.endswith("\n")
    found = [json.loads(line) for line in text.split("\n")[:-1]]
    for record in found:
        jsonschema.Draft202012Validator(SCHEMA).validate(record)
    return found


def one(result: Result) -> dict[str, Any]:
    (record,) = records(success(result).stdout)
    return record


@pytest.fixture(scope="module")
def model(tiny_graph: Path) -> MaskRCNN:
    return MaskRCNN.load(tiny_graph, labels=None, backend="cpu")


def assert_same(record: dict[str, Any], found: Instances) -> None:
    assert [entry["class_id"] for entry in record["instances"]] == found.class_ids.tolist()
    assert np.allclose([entry["score"] for entry in record["instances"]], found.scores, atol=1e-5)
    assert np.allclose([entry["box"] for entry in record["instances"]], found.boxes, atol=1e-2)
    for index, entry in enumerate(record["instances"]):
        assert np.array_equal(coco.decode(entry["mask"]), found.full_mask(index))


def test_overlay_under_its_own_name_and_a_line_about_it(find: Run, tmp_path: Path, photo_path: Path) -> None:
    result = success(find(photo_path))
    assert result.stdout == ""
    line, end = result.stderr.splitlines()
    assert re.fullmatch(
        rf"{re.escape(str(photo_path))}  240x160  4 instances \(2 cup, 2 plate\)  \d+ ms"
        r"  (cpu|openvino|onnxruntime) \(.+\)",
        line,
    )
    assert end == "results in mrcnn-out"
    assert names_in(tmp_path / "mrcnn-out") == {"coffee.png"}
    overlay = read_image(tmp_path / "mrcnn-out" / "coffee.png")
    assert overlay.shape == (160, 240, 3)
    assert np.any(overlay != read_image(photo_path))


def test_the_command_may_be_named_and_options_may_come_first(
    run: Run, tmp_path: Path, tiny_graph: Path, labels_path: Path, photo_path: Path
) -> None:
    options: list[str | Path] = ["--model", tiny_graph.parent, "--labels", labels_path, "--output"]
    success(run(photo_path, *options, "a"))
    success(run(*options, "b", photo_path))
    success(run("predict", *options, "c", photo_path))
    success(execute([*_module(), *options, "d", photo_path], None, cwd=tmp_path))
    assert len({(tmp_path / folder / "coffee.png").read_bytes() for folder in "abcd"}) == 1


def _module() -> list[str]:
    import sys

    return [sys.executable, "-m", "mrcnn_cv"]


def test_json_lines_on_stdout_are_what_the_python_api_finds(
    run: Run, photo_path: Path, tiny_graph: Path, labels_path: Path
) -> None:
    options = ("--model", tiny_graph, "--labels", labels_path, "--json", "-", "--save", "none")
    result = success(run(photo_path, ASTRONAUT, *options))
    model = MaskRCNN.load(tiny_graph)
    lines = records(result.stdout)
    assert [line["source"] for line in lines] == [str(photo_path), str(ASTRONAUT)]
    for line, path in zip(lines, (photo_path, ASTRONAUT), strict=True):
        found = model.predict(read_image(path))
        assert_same(line, found)
        assert {entry["label"] for entry in line["instances"]} <= set(LABELS)
        assert found.backend is not None
        assert line["backend"] == dataclasses.asdict(found.backend)
        assert line["backend"]["requested"] == "auto"
        assert line["model"] == "frozen_inference_graph.pb"
        assert {"read", "resize", "trunk", "proposals", "box_head", "detections", "mask_head"} == set(
            line["timings_ms"]
        )


def test_save_json_and_a_file_of_lines(find: Run, tmp_path: Path, photo_path: Path) -> None:
    success(find(photo_path, ASTRONAUT, "--save", "json,overlay", "--json", "deep/all.jsonl"))
    assert names_in(tmp_path / "mrcnn-out") == {"coffee.png", "coffee.png.json", "astronaut.png", "astronaut.png.json"}
    lines = records((tmp_path / "deep" / "all.jsonl").read_text(encoding="utf-8"))
    single = records((tmp_path / "mrcnn-out" / "coffee.png.json").read_text(encoding="utf-8"))
    assert lines[0] == single[0]
    assert lines[0]["timings_ms"]["draw"] > 0


def test_save_none_writes_nothing(find: Run, tmp_path: Path, photo_path: Path) -> None:
    result = success(find(photo_path, "--save", "none"))
    assert "4 instances" in result.stderr
    assert "results in" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "asked"),
    sampled(
        [
            (["--score", "model"], {"score_threshold": None}),
            (["--score", "0.05", "--nms", "0.9", "--max-instances", "7"], "lower"),
            (["--mask-threshold", "0.9"], {"mask_threshold": 0.9}),
            (["--classes", "PLATE"], {"classes": ["plate"]}),
            (["--classes", "3", "--classes", "cup"], {"classes": [1, 3]}),
            (["--exclude", "cup,2"], {"classes": [3]}),
            (["--classes", "cup,plate", "--exclude", "cup"], {"classes": [3]}),
        ],
        3,
    ),
)
def test_options_ask_what_the_python_api_asks(
    find: Run, photo_path: Path, tiny_graph: Path, labels_path: Path, arguments: list[str], asked: Any
) -> None:
    model = MaskRCNN.load(tiny_graph, labels=labels_path, backend="cpu")
    if asked == "lower":
        asked = {"score_threshold": 0.05, "nms_threshold": 0.9, "max_instances": 7}
    record = one(find(photo_path, "--json", "-", "--save", "none", "--threads", "1", *arguments))
    expected = model.predict(read_image(photo_path), **asked)
    assert len(expected) > 0
    assert_same(record, expected)


def test_classes_that_the_model_does_not_know(find: Run, tmp_path: Path, photo_path: Path) -> None:
    message = refusal(find(photo_path, "--classes", "cupp"), 2)
    assert "no class 'cupp'" in message
    assert "did you mean cup?" in message
    assert "ids go from 1 to 3" in refusal(find(photo_path, "--exclude", "4"), 2)
    assert "every class is excluded" in refusal(find(photo_path, "--classes", "cup", "--exclude", "1"), 2)
    assert not list(tmp_path.iterdir())


def test_environment_sets_options_and_the_command_line_wins(find: Run, tmp_path: Path, photo_path: Path) -> None:
    env = {
        "MRCNN_CV_CLASSES": "plate",
        "MRCNN_CV_OUTPUT": "from env",
        "MRCNN_CV_QUIET": "1",
        "MRCNN_CV_JSON": "lines.jsonl",
        "MRCNN_CV_SAVE": "",
        "MRCNN_CV_BACKEND": "cuda",
    }
    assert success(find(photo_path, "--backend", "cpu", env=env)).stderr == ""
    (record,) = records((tmp_path / "lines.jsonl").read_text(encoding="utf-8"))
    assert {entry["label"] for entry in record["instances"]} == {"plate"}
    assert record["backend"]["requested"] == "cpu"
    assert names_in(tmp_path / "from env") == {"coffee.png"}
    # A table of backends has nothing to do with a file of records.
    assert success(find("backends", env=env)).stdout.startswith("OpenCV")


def test_quiet_is_silent_and_verbose_says_where_the_time_went(find: Run, photo_path: Path) -> None:
    assert success(find(photo_path, "-q")).stderr == ""
    failed = find(photo_path, "missing.png", "-q")
    assert failed.returncode == 5
    assert [line.split(":")[0] for line in failed.stderr.splitlines()] == ["mrcnn-cv"] * 2
    lines = success(find(photo_path, "-v")).stderr.splitlines()
    assert lines[0].endswith("Mask R-CNN, 3 classes")
    assert re.search(r"  read \d+, resize \d+, trunk \d+, .*mask_head \d+, draw \d+ ms", lines[2])


def test_look_of_the_overlay(find: Run, tmp_path: Path, photo_path: Path) -> None:
    success(find(photo_path, "-o", "plain"))
    success(find(photo_path, "-o", "class", "--color-by", "class"))
    success(find(photo_path, "-o", "bold", "--line-width", "9", "--opacity", "0.9"))
    success(find(photo_path, "-o", "no-text", "--hide", "labels,scores"))
    success(find(photo_path, "-o", "nothing", "--hide", "labels,boxes,scores", "--hide", "masks,contours"))
    images = {folder: read_image(tmp_path / folder / "coffee.png") for folder in ("plain", "class", "bold", "no-text")}
    assert len({image.tobytes() for image in images.values()}) == 4
    assert np.array_equal(read_image(tmp_path / "nothing" / "coffee.png"), read_image(photo_path))


def test_the_same_source_many_times(find: Run, tmp_path: Path, photo_path: Path) -> None:
    result = success(find(*[photo_path] * 20, "--json", "-"))
    lines = records(result.stdout)
    assert len(lines) == 20
    assert all(line["instances"] == lines[0]["instances"] for line in lines)
    assert names_in(tmp_path / "mrcnn-out") == {"coffee.png"}
    assert "20 images done; results in mrcnn-out" in result.stderr


def test_nothing_found_is_no_error(find: Run, tmp_path: Path, photo_path: Path) -> None:
    record = one(find(photo_path, "--score", "1", "--json", "-"))
    assert record["instances"] == []
    assert np.array_equal(read_image(tmp_path / "mrcnn-out" / "coffee.png"), read_image(photo_path))


def test_model_without_masks_gives_boxes_and_says_so(run: Run, graphs: Path, tmp_path: Path, photo_path: Path) -> None:
    result = run(photo_path, "--model", graphs / "tiny_faster_rcnn", "--score", "model", "--json", "-")
    record = one(result)
    assert record["instances"]
    assert all(entry["mask"] is None for entry in record["instances"])
    assert "Faster R-CNN without a mask branch: boxes only" in result.stderr
    assert names_in(tmp_path / "mrcnn-out") == {"coffee.png"}


def test_without_a_model_the_demo_model_runs_and_how_to_name_another_is_told(
    run: Run, tmp_path: Path, photo_path: Path
) -> None:
    lines = success(run(photo_path)).stderr.splitlines()
    (note,) = [line for line in lines if "demo model" in line]
    assert note.startswith("mrcnn-cv: note: no model is named, so this is the demo model")
    assert "--model mask_rcnn_inception_v2_coco" in note
    assert lines[-1] == "results in mrcnn-out"
    assert names_in(tmp_path / "mrcnn-out") == {"coffee.png"}
    assert success(run(photo_path, "-q")).stderr == ""
