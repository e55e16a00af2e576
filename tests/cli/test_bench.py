"""`mrcnn-cv bench`: the table, the files, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mrcnn_cv.bench.steps import STEPS
from tests.cli.conftest import Run, names_in, refusal, success


def test_everything_at_once(run: Run, tmp_path: Path, graphs: Path, photo_path: Path) -> None:
    model = graphs / "tiny_resnet101"
    command: list[str | Path] = ["bench", photo_path, "--model", model, "--backend", "cpu", "--threads", "1"]
    command += ["--kept", "2,4", "--rounds", "2", "--json", "b.json", "--plot", "b.png"]
    done = success(run(*command))
    record = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    (group,) = record["groups"]
    first, second = group["candidates"]
    assert [each["kept"] for each in (first, second)] == [2, 4]
    assert [each["found"] for each in (first, second)] == [2, 4]
    assert first["backend"] == "cpu"
    assert list(first["steps_ms"]) == list(STEPS)
    parts = sum(first["steps_ms"][name]["median"] for name in STEPS[1:-2])
    assert 0.3 * first["ms"]["median"] < parts < 3 * first["ms"]["median"]
    assert all(len(each["runs_ms"]) == 2 for each in group["candidates"])
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert "1 thread, image 240x160, which enters the model as 144x96" in done.stdout
    assert "round 2 of 2" in done.stderr
    # Nothing else is left behind, but for the record of what is ours.
    assert names_in(tmp_path) == {"b.json", "b.png"}


def test_json_on_stdout_takes_the_place_of_the_table(run: Run) -> None:
    done = success(run("bench", "--backend", "cpu", "--size", "320x240", "--rounds", "1", "--json", "-", "--quiet"))
    record = json.loads(done.stdout)
    assert record["image"] == "made up"
    assert record["groups"][0]["image"] == [240, 320]
    assert done.stderr == ""


@pytest.mark.long
def test_pooled_regions_and_fewer_proposals_are_candidates_of_their_own(run: Run) -> None:
    options = ("--backend", "cpu", "--size", "160x120", "--rounds", "1", "--roi", "pool", "--fast")
    record = json.loads(success(run("bench", *options, "--json", "-", "--quiet")).stdout)
    usual, fast = record["groups"][0]["candidates"]
    assert (usual["name"], fast["name"]) == ("mrcnn-cv cpu-pool", "mrcnn-cv cpu-pool-fast")
    assert (usual["proposals"], fast["proposals"]) == (64, 21)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--threads", "0"), 2, "--threads must be a whole number from 1 to 1024"),
        (("--kept", "5,many"), 2, "--kept must be a whole number from 1 to 1000, not 'many'"),
        (("--size", "640"), 2, "--size must be a size in pixels, for example 1280x720, not '640'"),
        (("--size", "99999x99999"), 2, "--size takes at most 134,217,728 pixels"),
        (("--backend", "cuda"), 4, "the backend cuda cannot run here"),
        (("--model", "nothing.pb"), 3, "there is no model file nothing.pb"),
        (("no-such-photo.jpg",), 5, "no-such-photo.jpg does not exist"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    from mrcnn_cv.engines import select as backend

    if "cuda" in arguments and backend.probe("cuda").problem is None:
        pytest.skip("cuda runs here")
    assert words in refusal(run("bench", *arguments), code)


@pytest.mark.long
def test_files_of_others_are_not_replaced_and_inputs_never(
    run: Run, tmp_path: Path, photo_path: Path, tiny_graph: Path
) -> None:
    shutil.copy(photo_path, tmp_path / "photo.png")
    shutil.copy(tiny_graph, tmp_path / "model.pb")
    (tmp_path / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    command = ("bench", "photo.png", "--model", "model.pb", "--rounds", "1")
    for option in ("--json", "--plot"):
        assert "exists and is not an unchanged output" in refusal(run(*command, option, "notes.txt"), 6)
        for name in ("photo.png", "model.pb"):
            message = refusal(run(*command, option, name, "--overwrite"), 6)
            assert f"{name} is an input of this run" in message
    assert "name the same file" in refusal(run(*command, "--json", "b.json", "--plot", "./b.json"), 2)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    success(run("bench", "--backend", "cpu", "--size", "64x64", "--rounds", "1", "--json", "notes.txt", "--overwrite"))
    assert json.loads((tmp_path / "notes.txt").read_text())["rounds"] == 1


def test_a_result_that_cannot_be_written_is_told_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "file is a file, not a folder" in refusal(run("bench", "--model", "demo", "--plot", "file/b.png"), 6)
