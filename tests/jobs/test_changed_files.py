"""Inputs and outputs that somebody changed since the last run: each concerns its own image and no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mrcnn_cv.jobs import ImagesResult, ModelOptions, OutputOptions, RunOptions, annotate_images

NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture
def folder(tmp_path: Path, photo_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(photo_path, folder / name)
    return folder


@pytest.fixture
def model(tiny_graph: Path) -> ModelOptions:
    return ModelOptions(tiny_graph, backend="cpu")


def counts(result: ImagesResult) -> tuple[int, int, int, int]:
    """Done, done before, failed, exit code."""
    statistics = result.statistics
    return statistics.done_count, statistics.kept, statistics.failed_count, result.exit_code


def edit(path: Path) -> None:
    """Change an image in place, as some editors do: every hard link to it changes. What is added shows nothing."""
    with path.open("ab") as file:
        file.write(b"edited")


@pytest.mark.parametrize(("name", "images"), [("yolo", "yolo/images"), ("voc", "voc/JPEGImages")])
def test_an_input_that_was_edited_in_place_is_done_again(
    folder: Path, model: ModelOptions, tmp_path: Path, name: str, images: str
) -> None:
    output, again = OutputOptions(tmp_path / "out", formats=(name,)), RunOptions(workers=1, resume=True)
    annotate_images(folder, model, output=output)
    for _ in range(2):
        edit(folder / "b.png")
        assert counts(annotate_images(folder, model, output=output, run=again)) == (1, 2, 0, 0)
        assert (tmp_path / "out" / images / "b.png").read_bytes() == (folder / "b.png").read_bytes()
    # It is known as ours afterwards, without the input as well.
    edit(folder / "b.png")
    annotate_images(folder, model, output=output, run=again)
    (folder / "b.png").rename(tmp_path / "b.png")
    shutil.copy(tmp_path / "b.png", folder / "b.png")
    (tmp_path / "out" / images / "a.png").unlink()
    (tmp_path / "out" / name).joinpath(*{"yolo": ("labels", "b.txt"), "voc": ("Annotations", "b.xml")}[name]).unlink()
    assert counts(annotate_images(folder, model, output=output, run=again)) == (2, 1, 0, 0)


def test_an_output_that_somebody_changed_fails_its_image_alone(
    folder: Path, model: ModelOptions, tmp_path: Path
) -> None:
    output = OutputOptions(tmp_path / "out", formats=("overlay", "json"), records=tmp_path / "all.jsonl")
    annotate_images(folder, model, output=output)
    mine = tmp_path / "out" / "b.png"
    mine.write_bytes(b"mine")
    (tmp_path / "out" / "c.png").unlink()
    before = (tmp_path / "out" / "b.png.json").stat()
    result = annotate_images(folder, model, output=output, run=RunOptions(resume=True))
    assert counts(result) == (1, 1, 1, 6)
    ((_, reason),) = result.statistics.failures.values()
    assert reason.startswith(f"{mine} exists and is not an unchanged output of mrcnn-cv")
    assert mine.read_bytes() == b"mine"
    # Nor is anything else of this image made again.
    assert (tmp_path / "out" / "b.png.json").stat() == before
    assert (tmp_path / "out" / "c.png").is_file()


def test_what_lies_in_an_outputs_place_fails_its_image_alone(folder: Path, model: ModelOptions, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "a.png").mkdir(parents=True)
    (out / "b.png").write_bytes(b"mine")
    result = annotate_images([folder / name for name in NAMES], model, output=OutputOptions(out))
    assert counts(result) == (1, 0, 2, 6)
    reasons = [reason for _, reason in result.statistics.failures.values()]
    assert "a.png is a folder" in reasons[0]
    assert "b.png exists and is not an unchanged output" in reasons[1]
