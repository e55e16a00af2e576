"""A batch run in this process, which a test makes go wrong, and what must hold of its outputs whatever went wrong."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mrcnn_cv import cli
from tests.cli.conftest import program as program
from tests.conftest import read_image

NAMES = tuple(f"{number}.png" for number in range(5))

Batch = Callable[..., int]


@pytest.fixture
def batch(tmp_path: Path, photo_path: Path, tiny_graph: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Run the program over the folder `in` of five images, into `out`; its exit code."""
    (tmp_path / "in").mkdir()
    for name in NAMES:
        shutil.copy(photo_path, tmp_path / "in" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MRCNN_CV_MODEL", str(tiny_graph))
    monkeypatch.setenv("MRCNN_CV_BACKEND", "cpu")
    # Tests put their faults into OpenCV's nets.
    monkeypatch.setenv("MRCNN_CV_BACKEND", "cpu")
    monkeypatch.delenv("MRCNN_CV_DEBUG", raising=False)
    base = ("in", "-o", "out", "--save", "overlay,json,coco,csv,jsonl")
    return lambda *arguments: cli._run([*base, *map(str, arguments)])


def check_outputs(out: Path, complete: bool) -> set[str]:
    """The images that are done, after every file was read back; complete: the run, or its last one, came to its end.

    Whatever a run was ended by: files of their own are whole or not there, those for all images are whole, and no
    half-written file is left where the process could still see to it.
    """
    entries = [json.loads(line) for line in (out / "run.jsonl").read_bytes().splitlines() if line]
    last = {entry["place"]: entry["status"] for entry in entries if entry["kind"] == "picture"}
    done = {place for place, status in last.items() if status == "done"}
    assert not list(out.rglob("*.tmp"))
    for place in done:
        assert read_image(out / place).shape == (160, 240, 3)
        json.loads((out / f"{place}.json").read_bytes())
    images = [image["file_name"] for image in json.loads((out / "annotations.json").read_bytes())["images"]]
    records = [json.loads(line)["source"] for line in (out / "records.jsonl").read_bytes().splitlines()]
    assert len(images) == len(set(images))
    assert sorted(images) == sorted(record.removeprefix("in/").replace("in\\", "") for record in records)
    failed = out / "failures.csv"
    if complete:
        assert set(images) == done
        # It is made when the first one fails, and keeps its head when a later run could read all of them.
        rows = csv.DictReader(failed.read_text("utf-8-sig").splitlines()) if failed.exists() else ()
        assert {row["place"] for row in rows} == last.keys() - done
    return done
