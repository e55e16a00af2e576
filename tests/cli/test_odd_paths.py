"""Paths that nobody can look at: a sentence that is true, the documented exit code, and the rest is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Result, Run, execute, refusal

DEEP = "/".join(["d" * 24] * 200)
"""200 levels: more than a path may have on any system."""

LONG = "x" * 300


@pytest.mark.parametrize("name", [LONG, DEEP, f"{LONG}/out"])
def test_an_output_folder_whose_name_is_too_long(run: Run, photo_path: Path, tiny_graph: Path, name: str) -> None:
    message = refusal(run(photo_path, "--model", tiny_graph, "-o", name), 6)
    assert "its name is too long for this file system" in message


@pytest.mark.parametrize("name", [LONG, DEEP, f"{DEEP}.pb", f"{LONG}/model.pb"])
def test_a_model_whose_name_is_too_long(run: Run, photo_path: Path, name: str) -> None:
    message = refusal(run(photo_path, "--model", name), 3)
    assert "there is no model file" in message or "File name too long" in message


@pytest.mark.parametrize("name", [LONG, DEEP])
def test_an_image_whose_name_is_too_long_is_one_that_fails(
    run: Run, tmp_path: Path, photo_path: Path, tiny_graph: Path, name: str
) -> None:
    done = run(photo_path, name, "--model", tiny_graph, "-o", "out")
    assert done.returncode == 5
    assert "the name is longer than this file system allows" in done.stderr
    assert (tmp_path / "out" / photo_path.name).is_file()


@pytest.fixture
def run_without_rights(program: str, tmp_path: Path) -> Run:
    """The program as somebody who may not look into `locked` and only list `listed`, two folders with an image each."""
    before: list[str] = []
    if sys.platform == "win32":
        pytest.skip("Windows has other permissions")
    if os.geteuid() == 0:
        before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        if shutil.which("setpriv") is None or subprocess.run([*before, "true"], check=False).returncode:
            pytest.skip("root may do everything here")

    def run(*args: str | Path, **options: object) -> Result:
        return execute([*before, program, *args], None, cwd=tmp_path)

    return run


@pytest.fixture
def locked(tmp_path: Path, photo_path: Path, tiny_graph: Path) -> Path:
    for name, mode in (("locked", 0o000), ("listed", 0o444)):
        (tmp_path / name).mkdir()
        shutil.copy(photo_path, tmp_path / name)
        shutil.copy(tiny_graph, tmp_path / name)
        (tmp_path / name).chmod(mode)
    return tmp_path / "locked"


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["-o", "locked/out"], 6, "no permission to write into the folder locked"),
        pytest.param(["-o", "listed/out"], 6, "no permission to write into the folder listed", marks=pytest.mark.long),
        (["--model", "locked"], 3, "locked cannot be opened: Permission denied"),
        pytest.param(
            ["--model", "locked/graph.pb"], 3, "graph.pb cannot be opened: Permission denied", marks=pytest.mark.long
        ),
        (["listed"], 5, "cannot be read, permission denied"),
        (["listed/*"], 5, "cannot be read, permission denied"),
        pytest.param(["locked"], 5, "locked cannot be read, so what is in it is left out", marks=pytest.mark.long),
    ],
)
def test_where_nobody_may_look(
    run_without_rights: Run, locked: Path, photo_path: Path, tiny_graph: Path, args: list[str], code: int, says: str
) -> None:
    more = [] if "--model" in args else ["--model", str(tiny_graph)]
    more += [] if "-o" in args else ["-o", "out"]
    done = run_without_rights(photo_path, *args, *more)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert code != 5 or (locked.parent / "out" / photo_path.name).is_file()


def test_a_link_that_leads_nowhere_hides_nothing(run: Run, tmp_path: Path, photo_path: Path, tiny_graph: Path) -> None:
    """To itself, through a file, too long: each is a file that is left out, or one that fails if it is named as one."""
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(photo_path, folder / "a.png")
    for name, target in (("loop", "loop"), ("through", "a.png/x"), ("long", LONG), ("loop.png", "loop.png")):
        (folder / name).symlink_to(target)
    for source in ("in", "in/*"):
        done = run(source, "--model", tiny_graph, "-o", f"out-{len(source)}")
        assert done.returncode == 5
        assert "1 done" in done.stderr
        assert "loop.png" in done.stderr
        assert (tmp_path / f"out-{len(source)}" / "a.png").is_file()


def test_folders_that_are_named_like_outputs(run: Run, tmp_path: Path, photo_path: Path, tiny_graph: Path) -> None:
    names = ("annotations.json", "run.jsonl", "records.jsonl", "summary.json", "other")
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(photo_path, tmp_path / "in" / name / "a.png")
    command = ("in", "--model", tiny_graph, "--save", "overlay,coco,jsonl", "-o", "out")
    for more in ([], ["--resume"]):
        done = run(*command, *more)
        assert done.returncode == 0, done.stderr
    for name in names[:-1]:
        assert (tmp_path / "out" / name).is_file()
        assert (tmp_path / "out" / f"{name}~" / "a.png").is_file()
    assert (tmp_path / "out" / "other" / "a.png").is_file()
    # What the files say of the images is what these are called.
    assert '"annotations.json/a.png"' in (tmp_path / "out" / "annotations.json").read_text("utf-8")
