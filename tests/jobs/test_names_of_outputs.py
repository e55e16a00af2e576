"""Folders of images that are named like files of the run: nothing is lost, nothing ends the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mrcnn_cv.jobs import ModelOptions, OutputOptions, RunOptions, annotate_images

NAMES = ("Run.jsonl", "annotations.json", "failures.csv", "top.png.json", "yolo/images", "summary.json")
"""Of folders: files of the run, by one of its formats, of an image's own output, of a format's folder."""

IMAGES = {f"{name}/top.png" for name in NAMES} | {"top.png"}


@pytest.fixture
def folder(tmp_path: Path, photo_path: Path) -> Path:
    folder = tmp_path / "in"
    for name in IMAGES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo_path, folder / name)
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def overlays(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("top*.png") if path.is_file()}


def test_folders_named_like_outputs_get_another_name(folder: Path, tiny_graph: Path, tmp_path: Path) -> None:
    model, out = ModelOptions(tiny_graph, backend="cpu"), tmp_path / "out"
    output = OutputOptions(out, formats=("overlay", "json", "coco"), records=out / "yolo")
    result = annotate_images(folder, model, output=output, run=RunOptions(workers=1))
    assert (result.statistics.done_count, result.statistics.failed_count, result.exit_code) == (len(IMAGES), 1, 5)
    same = ("top.png.json",)
    moved = {name: f"{name}~" for name in NAMES if name not in same}
    moved["yolo/images"] = "yolo~/images"
    wanted = {f"{moved.get(name, name)}/top.png" for name in NAMES} | {"top.png"}
    assert overlays(out) == wanted
    assert (out / "top.png-2.json").is_file()
    assert len((out / "yolo").read_text().splitlines()) == len(IMAGES)
    # What the formats say of the images is what they are called, wherever their outputs are.
    coco = json.loads((out / "annotations.json").read_bytes())
    assert {image["file_name"] for image in coco["images"]} == IMAGES
    # The same places when it is resumed.
    (out / "annotations.json~" / "top.png").unlink()
    result = annotate_images(folder, model, output=output, run=RunOptions(workers=1, resume=True))
    assert (result.statistics.done_count, result.statistics.kept) == (1, len(IMAGES) - 1)
    assert overlays(out) == wanted


def test_folders_named_like_that_of_a_format_do_not_mix_with_it(folder: Path, tiny_graph: Path, tmp_path: Path) -> None:
    model, out = ModelOptions(tiny_graph, backend="cpu"), tmp_path / "out"
    annotate_images(folder, model, output=OutputOptions(out, formats=("overlay", "yolo")))
    assert {path.name for path in out.iterdir() if path.is_dir()} >= {"yolo", "yolo~"}
    copies = list((out / "yolo" / "images").rglob("*.png"))
    assert [path.read_bytes() for path in copies] == [(folder / "top.png").read_bytes()] * len(IMAGES)


def test_a_file_of_an_earlier_run_that_has_a_folders_name_stays(folder: Path, tiny_graph: Path, tmp_path: Path) -> None:
    model, out = ModelOptions(tiny_graph, backend="cpu"), tmp_path / "out"
    annotate_images(folder / "top.png", model, output=OutputOptions(out, formats=("coco",)))
    before = (out / "annotations.json").read_bytes()
    result = annotate_images(folder, model, output=OutputOptions(out))
    assert (result.statistics.done_count, result.statistics.failed_count) == (len(IMAGES), 1)
    assert (out / "annotations.json").read_bytes() == before
    assert (out / "annotations.json~" / "top.png").is_file()
