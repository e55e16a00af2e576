"""`mrcnn-cv eval` as a user runs it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import OutputError
from mrcnn_cv.evaluation.results import DatasetResults
from mrcnn_cv.jobs import evaluate_model
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from tests.cli.conftest import LABELS, Run, execute, names_in, refusal, success
from tests.conftest import read_image

pytest.importorskip("pycocotools")

Data = dict[str, Any]


@pytest.fixture
def pictures(tmp_path: Path, photo_path: Path) -> Path:
    """Three images: the photo, the photo mirrored, the photo darkened."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    photo = read_image(photo_path)
    cv2.imwrite(str(folder / "a.png"), photo)
    cv2.imwrite(str(folder / "b.png"), np.ascontiguousarray(photo[:, ::-1]))
    cv2.imwrite(str(folder / "more" / "c.png"), photo // 2)
    return folder


@pytest.fixture
def data(pictures: Path, tiny_model: MaskRCNN) -> Data:
    """A data set whose annotations are what the model finds, so that all its figures are 1."""
    images: list[Data] = []
    annotations: list[Data] = []
    for number, name in enumerate(("a.png", "b.png", "more/c.png"), start=7):
        found = tiny_model.predict(read_image(pictures / name), score_threshold=None)
        height, width = found.image_size
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for instance in found.to_dict()["instances"]:
            left, top, right, bottom = instance["box"]
            if not instance["area"]:
                continue
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": instance["class_id"],
                    "bbox": [left, top, right - left, bottom - top],
                    "area": instance["area"],
                    "iscrowd": 0,
                    "segmentation": instance["mask"],
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(LABELS, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def written(folder: Path, data: Any) -> Path:
    path = folder / "data.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def figures(text: str, row: str) -> list[float]:
    """AP, AP50 and AP75 of the table."""
    (line,) = (line for line in text.splitlines() if line.startswith(row))
    return [float(each) for each in line.split()[1:4]]


def test_what_the_model_itself_found_has_an_ap_of_one(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    written(tmp_path, data)
    result = success(find("eval", "data.json", "images", "--backend", "cpu", "--json", "all.json", "--plot", "p.png"))
    assert "3 images, cpu" in result.stdout
    assert figures(result.stdout, "boxes")[0] > 0.999
    assert figures(result.stdout, "masks")[0] > 0.999
    assert {row.split()[0] for row in result.stdout.splitlines()[-3:]} == set(LABELS)
    assert "3 images: 3 done" in result.stderr
    record = json.loads((tmp_path / "all.json").read_bytes())
    assert (record["pictures"], record["roi"], record["notes"]) == (3, "align", [])
    assert record["masks"]["AP"] > 0.999
    assert [each["name"] for each in record["boxes"]["classes"]] == list(LABELS)
    counts = np.array(record["confusion"]["counts"])
    # Nothing is taken for something else; what has a low score counts as missed.
    assert np.count_nonzero(counts[:-1, :-1]) == np.count_nonzero(np.diag(counts)) == 3
    assert not counts[-1].any()
    image = read_image(tmp_path / "p.png")
    assert image.shape == (1080, 1920, 3)
    assert names_in(tmp_path / "mrcnn-eval") == {"results.json", "run.jsonl", "summary.json"}


def test_results_are_what_pycocotools_reads(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # Half of the annotations: the figures are none that could be guessed.
    data["annotations"] = data["annotations"][::2]
    path = written(tmp_path, data)
    result = success(find("eval", path, "images", "-o", "out", "--backend", "cpu"))
    for row in data["annotations"]:
        row["id"] += 1
    path.write_text(json.dumps(data))
    truth = COCO(str(path))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "out" / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    np.testing.assert_allclose(figures(result.stdout, "boxes"), evaluation.stats[:3], atol=6e-5)


def test_json_on_standard_output_is_nothing_but_json(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    written(tmp_path, data)
    result = success(find("eval", "data.json", "images", "--limit", "1", "--json", "-", "-q"))
    record = json.loads(result.stdout)
    assert (record["pictures"], record["pictures_in_file"]) == (1, 3)
    assert not result.stderr


@pytest.mark.long
def test_resume_goes_on_and_a_limit_may_grow(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    written(tmp_path, data)
    success(find("eval", "data.json", "images", "--limit", "1"))
    assert "--resume" in refusal(find("eval", "data.json", "images"), 2)
    result = success(find("eval", "data.json", "images", "--resume"))
    assert "3 images: 2 done, 1 were done before" in result.stderr
    again = success(find("eval", "data.json", "images", "--resume"))
    assert "3 images: 0 done, 3 were done before" in again.stderr
    assert again.stdout == result.stdout
    # Fewer of them: the others are left alone, and do not count.
    assert "1 of 3 images" in success(find("eval", "data.json", "images", "--resume", "--limit", "1")).stdout
    # Other annotations of the same images need no other run; other images do.
    data["annotations"] = data["annotations"][:5]
    written(tmp_path, data)
    assert "3 were done before" in success(find("eval", "data.json", "images", "--resume")).stderr
    data["images"][0]["file_name"], data["images"][1]["file_name"] = "b.png", "a.png"
    written(tmp_path, data)
    assert "the run in mrcnn-eval was another one" in refusal(find("eval", "data.json", "images", "--resume"), 2)


def test_a_threshold_for_looking_at_pictures_is_not_one_for_measuring(
    find: Run, data: Data, pictures: Path, tmp_path: Path
) -> None:
    written(tmp_path, data)
    result = success(find("eval", "data.json", "images", env={"MRCNN_CV_SCORE": "0.99"}))
    assert figures(result.stdout, "boxes")[0] > 0.999
    result = success(find("eval", "data.json", "images", "--score", "0.99", "-o", "less"))
    assert figures(result.stdout, "boxes")[0] < 0.5


def test_other_ids_are_matched_by_name(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    for row in (*data["annotations"], *data["categories"]):
        key = "category_id" if "category_id" in row else "id"
        row[key] = 50 - row[key]
    written(tmp_path, data)
    result = success(find("eval", "data.json", "images"))
    assert "matched by name" in result.stderr
    assert figures(result.stdout, "boxes")[0] > 0.999
    stored = json.loads((tmp_path / "mrcnn-eval" / "results.json").read_bytes())
    assert {row["category_id"] for row in stored} <= {47, 48, 49}


def test_names_that_were_shuffled_are_noticed(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    for row, name in zip(data["categories"], reversed(LABELS), strict=True):
        row["name"] = name
    written(tmp_path, data)
    result = find("eval", "data.json", "images")
    assert result.returncode == 0
    assert "(plate as cup, cup as plate): do the labels belong to this model?" in result.stderr
    assert figures(result.stdout, "boxes")[0] < 0.6


def test_a_faster_rcnn_is_judged_by_boxes(
    run: Run, data: Data, pictures: Path, tmp_path: Path, graphs: Path, labels_path: Path
) -> None:
    written(tmp_path, data)
    model = graphs / "tiny_faster_rcnn" / "frozen_inference_graph.pb"
    result = success(run("eval", "data.json", "images", "--model", model, "--labels", labels_path))
    assert "boxes" in result.stdout
    assert "masks" not in result.stdout


def test_annotations_without_masks_are_judged_by_boxes(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    del data["annotations"][0]["segmentation"]
    written(tmp_path, data)
    result = success(find("eval", "data.json", "images"))
    assert "not every annotation in data.json has a mask, so only boxes are evaluated" in result.stderr
    assert "masks" not in result.stdout


def test_roi_pooling_finds_other_things(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    written(tmp_path, data)
    result = success(find("eval", "data.json", "images", "--roi", "pool", "--workers", "2"))
    assert figures(result.stdout, "masks")[0] < 0.999
    assert "roi was" in refusal(find("eval", "data.json", "images", "--resume"), 2)


def test_a_picture_of_another_size_is_not_judged(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(pictures / "b.png"), np.zeros((50, 60, 3), np.uint8))
    written(tmp_path, data)
    result = find("eval", "data.json", "images")
    assert result.returncode == 5
    assert "b.png has 60 x 50 pixels, and data.json says 240 x 160" in result.stderr.replace("\\", "/")
    assert "2 of 3 images" in result.stdout
    assert figures(result.stdout, "boxes")[0] > 0.999
    assert "b.png" in (tmp_path / "mrcnn-eval" / "failures.csv").read_text("utf-8-sig")


def test_no_picture_that_can_be_used(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "more/c.png"):
        (pictures / name).write_bytes(b"no picture")
    written(tmp_path, data)
    result = find("eval", "data.json", "images")
    assert result.returncode == 5
    assert "none of the 3 images could be read" in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(
    ("removed", "says"),
    [
        (["b.png"], "lacks 1 of the 3 images that data.json names, such as b.png"),
        (["a.png", "b.png", "more/c.png"], "holds none of the 3 images that data.json names, such as a.png"),
    ],
)
def test_pictures_that_are_missing_are_told_before_any_work(
    find: Run, data: Data, pictures: Path, tmp_path: Path, removed: Sequence[str], says: str
) -> None:
    for name in removed:
        (pictures / name).unlink()
    written(tmp_path, data)
    assert says in refusal(find("eval", "data.json", "images"), 5)
    assert not (tmp_path / "mrcnn-eval").exists()


def test_what_is_wrong_with_the_arguments(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    written(tmp_path, data)
    assert "IMAGES is missing" in refusal(find("eval", "data.json"), 2)
    assert "is not a folder" in refusal(find("eval", "data.json", "data.json"), 5)
    assert "does not exist" in refusal(find("eval", "data.jsn", "images"), 5)
    assert "is not JSON" in refusal(find("eval", "images/a.png", "images"), 5)
    assert "--plot draws PNG files" in refusal(find("eval", "data.json", "images", "--plot", "plot.jpg"), 2)
    assert "--roi does not know 'max'" in refusal(find("eval", "data.json", "images", "--roi", "max"), 2)
    (tmp_path / "mine.png").write_bytes(b"mine")
    message = refusal(find("eval", "data.json", "images", "--plot", "mine.png"), 6)
    assert "mine.png exists and is not an unchanged output" in message
    message = refusal(find("eval", "data.json", "images", "--json", "data.json", "--overwrite"), 6)
    assert "data.json is an input of this run" in message
    assert not (tmp_path / "mrcnn-eval").exists()


def test_inputs_and_results_are_not_written_over(find: Run, data: Data, pictures: Path, tmp_path: Path) -> None:
    written(tmp_path, data)
    photo = (pictures / "a.png").read_bytes()
    for option in ("--json", "--plot"):
        message = refusal(find("eval", "data.json", "images", option, "images/a.png", "--overwrite"), 6)
        assert "a.png is an input of this run and is never overwritten" in message
    assert (pictures / "a.png").read_bytes() == photo
    for name in ("results.json", "run.jsonl"):
        message = refusal(find("eval", "data.json", "images", "-o", "out", "--json", f"out/{name}"), 2)
        assert "is a file that this run writes itself: choose another file for the report (--json or --plot)" in message
    message = refusal(find("eval", "data.json", "images", "--json", "x.png", "--plot", "./x.png"), 2)
    assert "two reports name the same file" in message
    assert not (tmp_path / "out").exists()


def test_records_that_hold_fewer_pictures_than_are_done_are_told(tmp_path: Path) -> None:
    found = DatasetResults({"1": 1, "2": 2}, {})
    found.seen = {1}
    folder = OutputDirectory(tmp_path)
    evaluate_model._check_records(found, RunStatistics(kept=1), folder)
    with pytest.raises(OutputError, match="another program has changed the records"):
        evaluate_model._check_records(found, RunStatistics(kept=1, done_count=1), folder)


def test_without_the_library_the_command_says_how_to_get_it(
    data: Data, pictures: Path, tmp_path: Path, tiny_graph: Path
) -> None:
    written(tmp_path, data)
    (tmp_path / "pycocotools").mkdir()
    (tmp_path / "pycocotools" / "__init__.py").write_text("raise ImportError('not here')")
    command = [sys.executable, "-m", "mrcnn_cv", "eval", "data.json", "images", "--model", str(tiny_graph)]
    message = refusal(execute(command, {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path), 2)
    # It is there, so that to install it by its name would change nothing.
    assert message.startswith(
        "eval needs the package pycocotools, which cannot be imported though installed (not here)"
    )


def test_the_help_imports_nothing_heavy_and_names_the_defaults(run: Run) -> None:
    for command in ("eval", "compare"):
        text = success(run(command, "--help")).stdout
        assert max(map(len, text.splitlines())) <= 80
        entries = [" ".join(entry.split()) for entry in re.split(r"^  (?=-)", text, flags=re.MULTILINE)[1:]]
        assert all("[default: " in entry or entry.startswith("-h") for entry in entries)
        result = execute([sys.executable, "-X", "importtime", "-m", "mrcnn_cv", command, "--help"], None)
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
        assert not imported & {"numpy", "cv2", "google", "pycocotools"}
