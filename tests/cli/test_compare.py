"""`mrcnn-cv compare` as a user runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Run, names_in, refusal, success
from tests.conftest import read_image


@pytest.fixture
def pictures(tmp_path: Path, photo_path: Path) -> Path:
    """Two images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(photo_path, folder / "a.png")
    cv2.imwrite(str(folder / "b.png"), np.ascontiguousarray(read_image(photo_path)[:, ::-1]))
    return folder


@pytest.fixture
def other(tmp_path: Path, graphs: Path) -> Path:
    """A model with other weights, and the same number of classes."""
    return graphs / "tiny_faster_rcnn" / "frozen_inference_graph.pb"


def test_a_model_agrees_with_itself(run: Run, pictures: Path, tmp_path: Path, tiny_graph: Path) -> None:
    copy = tmp_path / "copy.pb"
    shutil.copy(tiny_graph, copy)
    result = success(
        run("compare", tiny_graph, copy, "photos", "--score", "model", "--backend", "cpu", "--json", "all.json")
    )
    assert "2 images, agreement 1.0000" in result.stdout
    assert "first: frozen_inference_graph.pb, ran on cpu" in result.stdout
    assert "second: copy.pb, ran on cpu" in result.stdout
    assert "0 by the first alone, 0 by the second alone" in result.stdout
    record = json.loads((tmp_path / "all.json").read_bytes())
    assert record["agreement"] == 1
    assert record["found_by_both"] > 2
    assert set(record["differences"]) == {"score", "box_pixels", "box_iou_loss", "mask_iou_loss"}
    assert all(each["worst"] == 0 for each in record["differences"].values())
    # Nothing differs, so nothing has to be looked at.
    assert not (tmp_path / "mrcnn-compare").exists()


def test_two_models_that_differ(run: Run, pictures: Path, tmp_path: Path, tiny_graph: Path, other: Path) -> None:
    arguments: list[str | Path] = [
        "compare",
        tiny_graph,
        other,
        "photos",
        "--backend",
        "cpu",
        "--score",
        "0.1",
        "-o",
        "worst",
        "--worst",
        "1",
    ]
    result = success(run(*arguments, "--json", "-"))
    record = json.loads(result.stdout)
    assert record["agreement"] < 1
    assert record["only_first"] + record["only_second"] > 0
    assert [each["agreement"] for each in record["worst_first"]] == sorted(
        each["agreement"] for each in record["worst_first"]
    )
    (name,) = names_in(tmp_path / "worst")
    worst = Path(record["worst_first"][0]["source"]).stem
    assert name == f"001-{worst}.png"
    sheet = read_image(tmp_path / "worst" / name)
    # The image twice, 240 x 160 pixels, with a line of text above.
    assert sheet.shape[1] > 480
    assert sheet.shape[0] > 160
    # Drawings of an earlier run go, the user's own files stay.
    more = [*arguments[:-1], "2"]
    success(run(*more))
    assert len(names_in(tmp_path / "worst")) == 2
    (tmp_path / "worst" / "003-mine.png").write_bytes(b"mine")
    result = run(*arguments, "--min-agreement", "1", "--limit", "1")
    assert len(names_in(tmp_path / "worst")) == 2
    assert (tmp_path / "worst" / "003-mine.png").read_bytes() == b"mine"
    assert result.returncode == 7
    assert "below --min-agreement 1" in result.stderr
    assert "1 image, agreement 0." in result.stdout
    assert "the worst one is in worst" in result.stdout


def test_the_two_orders_mirror_each_other(
    run: Run, pictures: Path, tmp_path: Path, tiny_graph: Path, other: Path
) -> None:
    both = []
    for models in ((tiny_graph, other), (other, tiny_graph)):
        result = success(
            run(
                "compare",
                *models,
                "photos",
                "--backend",
                "cpu",
                "--score",
                "0.1",
                "--worst",
                "0",
                "--json",
                "-",
                "--min-agreement",
                "0",
            )
        )
        both.append(json.loads(result.stdout))
    assert both[0]["only_first"] == both[1]["only_second"]
    assert both[0]["agreement"] == both[1]["agreement"]
    assert both[0]["differences"] == both[1]["differences"]
    assert not (tmp_path / "mrcnn-compare").exists()


def test_pictures_that_cannot_be_used_are_left_out(run: Run, pictures: Path, tiny_graph: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    result = run("compare", tiny_graph, tiny_graph, "photos", "--backend", "cpu")
    assert result.returncode == 5
    assert "bad.png is not an image" in result.stderr
    assert "2 images, agreement 1.0000" in result.stdout
    for name in ("a.png", "b.png"):
        (pictures / name).unlink()
    result = run("compare", tiny_graph, tiny_graph, "photos", "--backend", "cpu")
    assert result.returncode == 5
    assert "none of the images could be used" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["photos"], 2, "give two models and then images, or images and --backends A,B"),
        (["a.pb", "b.pb"], 2, "give two models and then images"),
        (["photos", "--model", "a.pb"], 2, "--model goes with --backends A,B"),
        (["photos", "--backends", "cpu"], 2, "--backends takes two"),
        (["photos", "--backends", "cpu,gpu"], 2, "--backends does not know 'gpu'"),
        (["photos", "--backends", "cpu,cuda", "--backend", "cpu"], 2, "give one of them"),
        (["--backends", "cpu,cuda"], 2, "SOURCE is missing"),
        (["-", "--backends", "cpu,cuda"], 2, "name files"),
        (["a.pb", "b.pb", "photos"], 3, "a.pb"),
    ],
)
def test_what_is_wrong_with_the_arguments(run: Run, pictures: Path, arguments: list[str], code: int, says: str) -> None:
    assert says in refusal(run("compare", *arguments), code)


def test_backends_that_do_not_work_here_are_refused(run: Run, pictures: Path, tiny_graph: Path) -> None:
    result = run("compare", "photos", "--model", tiny_graph, "--backends", "cpu,cuda")
    if result.returncode == 4:
        assert "the backend cuda cannot run here" in result.stderr
    else:
        assert "second: cuda" in result.stdout
