"""`--durable` reaches what writes, in every command that has it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv import cli
from mrcnn_cv.errors import UsageError
from mrcnn_cv.hub import demo_model
from mrcnn_cv.jobs import compare_models, evaluate_model, report_file
from mrcnn_cv.jobs import outputs as run_outputs
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory

MODEL = str(demo_model())

COMMANDS = {
    "predict": ["photo.png", "-o", "out"],
    "records": ["photo.png", "--save", "none", "--json", "all.jsonl"],
    "eval": ["eval", "data.json", ".", "-o", "out", "--json", "report.json"],
    "compare": ["compare", MODEL, MODEL, "photo.png", "--json", "report.json"],
    "bench": ["bench", "--json", "report.json"],
}
DATA = {
    "images": [{"id": 1, "file_name": "photo.png", "width": 240, "height": 160}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "cup"}],
}


@pytest.fixture
def asked(tmp_path: Path, photo_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each thing that writes was asked for it; the last one ends the run."""
    found: list[bool] = []

    def make(*arguments: Any, durable: bool = False, **more: Any) -> OutputDirectory:
        found.append(durable)
        return OutputDirectory(*arguments, durable=durable, **more)

    def refuse(*_: Any, durable: bool = False, **__: Any) -> None:
        found.append(durable)
        raise UsageError("seen")

    shutil.copy(photo_path, tmp_path / "photo.png")
    (tmp_path / "data.json").write_text(json.dumps(DATA))
    monkeypatch.chdir(tmp_path)
    for module in (evaluate_model, compare_models):
        monkeypatch.setattr(module, "OutputDirectory", make)
    for module in (run_outputs, report_file):
        monkeypatch.setattr(module, "OutputDirectory", refuse)
    monkeypatch.setattr(run_outputs, "JsonLinesFile", refuse)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str, asked: list[bool]) -> None:
    if command == "eval":
        pytest.importorskip("pycocotools")
    assert cli._run([*COMMANDS[command], "--durable"]) == UsageError.exit_code
    assert cli._run(COMMANDS[command]) == UsageError.exit_code
    count = 2 if command in ("eval", "compare") else 1
    assert asked == [True] * count + [False] * count


def test_in_a_file_of_options(asked: list[bool], tmp_path: Path) -> None:
    (tmp_path / "mrcnn-cv.toml").write_text("durable = true\n")
    cli._run(COMMANDS["predict"])
    assert asked == [True]
