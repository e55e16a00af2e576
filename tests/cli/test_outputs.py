"""Files on disk: whose they are, what is never touched, and what is said where they cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Run, names_in, refusal, success
from tests.conftest import DATA, read_image

ASTRONAUT = DATA / "images" / "astronaut.png"

on_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX file systems")


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own at `folder`, where the tests run with the rights to make one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if not sys.platform.startswith("linux") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems can be mounted by root on Linux alone")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_same_name_in_two_folders(find: Run, tmp_path: Path, photo_path: Path) -> None:
    for folder, source in (("a", photo_path), ("b", ASTRONAUT)):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "photo.png")
    success(find("a/photo.png", "b/photo.png", "--save", "overlay,json"))
    out = tmp_path / "mrcnn-out"
    assert names_in(out) == {"photo.png", "photo.png.json", "photo-2.png", "photo-2.png.json"}
    assert read_image(out / "photo.png").shape == read_image(photo_path).shape
    assert read_image(out / "photo-2.png").shape == read_image(ASTRONAUT).shape


def test_inputs_are_never_overwritten(find: Run, tmp_path: Path, photo_path: Path) -> None:
    source = Path(shutil.copy(photo_path, tmp_path))
    before = source.read_bytes()
    success(find("coffee.png", "-o", ".", "--overwrite"))
    success(find("coffee.png", "-o", "."))
    assert source.read_bytes() == before
    assert names_in(tmp_path) == {"coffee.png", "coffee-masks.png"}
    message = refusal(find("coffee.png", "--save", "none", "--json", "coffee.png", "--overwrite"), 6)
    assert message.startswith("coffee.png is an input of this run and is never overwritten")
    assert source.read_bytes() == before


def test_the_model_and_its_labels_are_inputs_too(
    run: Run, tmp_path: Path, tiny_graph: Path, labels_path: Path, photo_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    files = [Path(shutil.copy(path, folder)) for path in (tiny_graph, labels_path)]
    before = [path.read_bytes() for path in files]
    for path in files:
        for model in (files[0], folder):
            arguments: list[str | Path] = [
                "--model",
                model,
                "--labels",
                files[1],
                "--json",
                path,
                "--save",
                "none",
                "--overwrite",
            ]
            assert "is an input of this run" in refusal(run(photo_path, *arguments), 6)
    assert [path.read_bytes() for path in files] == before


def test_an_earlier_run_is_replaced_and_the_users_files_are_not(find: Run, tmp_path: Path, photo_path: Path) -> None:
    arguments: list[str | Path] = [photo_path, "--save", "overlay,json", "--json", "all.jsonl"]
    success(find(*arguments))
    first = (tmp_path / "mrcnn-out" / "coffee.png").read_bytes()
    success(find(*arguments, "--hide", "labels"))
    assert (tmp_path / "mrcnn-out" / "coffee.png").read_bytes() != first
    for name in ("mrcnn-out/coffee.png", "all.jsonl"):
        (tmp_path / name).write_bytes(b"precious")
        message = refusal(find(*arguments), 6)
        assert Path(message.split()[0]) == Path(name)
        assert "--overwrite" in message
        assert (tmp_path / name).read_bytes() == b"precious"
        success(find(*arguments, "--overwrite"))
        assert (tmp_path / name).read_bytes() != b"precious"


@on_posix
def test_an_earlier_run_is_known_in_another_locale(find: Run, tmp_path: Path, photo_path: Path) -> None:
    shutil.copy(photo_path, tmp_path / "照片.png")
    success(find("照片.png"))
    success(find("照片.png", "--hide", "labels", env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}))


@pytest.mark.parametrize(
    "name",
    ["run.jsonl", "summary.json", ".mrcnn-cv-outputs.jsonl", "annotations.json", "a.png", "a.png.json", "masks/a.png"],
)
def test_lines_do_not_go_where_the_run_itself_writes(find: Run, tmp_path: Path, photo_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(photo_path, tmp_path / "in" / "a.png")
    # The model does not exist either: this is told before it is loaded.
    options = ("--save", "overlay,json,masks,coco", "-o", "out", "--overwrite", "--json", f"out/{name}")
    message = refusal(find("in", *options, env={"MRCNN_CV_MODEL": "missing.pb"}), 2)
    assert message.endswith("is a file that this run writes itself: choose another file for the records (--json)")


def test_places_that_cannot_hold_results(find: Run, tmp_path: Path, photo_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    # The model does not exist either: what is wrong with the output is told before a large model is loaded.
    env = {"MRCNN_CV_MODEL": "missing.pb"}
    assert "file is a file, not a folder" in refusal(find(photo_path, "-o", "file", env=env), 6)
    assert "file is a file, not a folder" in refusal(find(photo_path, "-o", "file/in/it", env=env), 6)
    for place, says, remedy in (
        ("folder", "is a folder", "--json"),
        ("file/x.jsonl", "is a file", "--json"),
        ("file", "exists and is not", "--overwrite"),
    ):
        message = refusal(find(photo_path, "--save", "none", "--json", place, env=env), 6)
        assert says in message
        assert remedy in message
    (tmp_path / "mrcnn-out" / "coffee.png").mkdir(parents=True)
    assert "coffee.png is a folder" in refusal(find(photo_path), 6)


def test_a_full_disk_keeps_what_was_written(find: Run, tmp_path: Path, photo_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=100k"):
        result = find(photo_path, ASTRONAUT, "-o", "disk")
        assert result.returncode == 6
        lines = result.stderr.splitlines()
        assert "disk/astronaut.png cannot be written, the disk is full: free some space" in lines[-1]
        assert lines[-2] == "results in disk"
        assert names_in(tmp_path / "disk") == {"coffee.png"}
        assert not list((tmp_path / "disk").glob(".*.tmp"))
        assert read_image(tmp_path / "disk" / "coffee.png").shape == (160, 240, 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_the_lines(find: Run, photo_path: Path) -> None:
    result = find(photo_path, "-q", "--save", "none", "--json", "/dev/full")
    assert refusal(result, 6).startswith("/dev/full cannot be written, the disk is full")
    with open("/dev/full", "wb") as full:
        result = find(photo_path, "-q", "--json", "-", stdout=full, stderr=subprocess.PIPE)
        assert "standard output cannot be written, the disk is full" in refusal(result, 6)
        for arguments in (["--help"], ["backends"]):
            result = find(*arguments, stdout=full, stderr=subprocess.PIPE)
            assert "standard output cannot be written" in refusal(result, 6)


def test_a_folder_without_permission(find: Run, tmp_path: Path, photo_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro"):
        assert "folder disk: choose another output folder (-o)" in refusal(find(photo_path, "-o", "disk"), 6)
        message = refusal(find(photo_path, "--save", "none", "--json", "disk/x.jsonl"), 6)
        assert "folder disk: choose another file for the records (--json)" in message


def test_a_name_too_long_for_its_record_is_cut(find: Run, tmp_path: Path, photo_path: Path) -> None:
    name = "b" * 248 + ".png"
    shutil.copy(photo_path, tmp_path / name)
    success(find(name, "--save", "overlay,json"))
    (record,) = names_in(tmp_path / "mrcnn-out") - {name}
    assert record.startswith("b" * 200)
    assert record.endswith(".png.json")


@on_posix
def test_lines_go_into_devices_and_pipes(find: Run, photo_path: Path) -> None:
    success(find(photo_path, "--save", "none", "--json", "/dev/null"))
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as lines:
        success(find(photo_path, "--save", "none", "--json", f"/dev/fd/{writing}", pass_fds=(writing,)))
        os.close(writing)
        assert lines.read().startswith('{"source": ')
