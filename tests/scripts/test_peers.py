"""scripts/benchmarks/peers.py: what it prints and writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.opencv import classic_only

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "peers.py"


def peers(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.long
@classic_only
def test_everything_at_once(tmp_path: Path, graphs: Path, photo_path: Path) -> None:
    model = graphs / "tiny_resnet101"
    command = [photo_path, "--model", model, "--backend", "cpu", "--threads", 1, "--kept", "2,4", "--rounds", 2]
    command += ["--against", "whole-graph,onnxruntime", "--json", tmp_path / "b.json", "--plot", tmp_path / "b.png"]
    done = peers(*command)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "b.json").read_text(encoding="ascii"))
    (group,) = record["groups"]
    assert [each["name"] for each in group["baselines"]] == ["OpenCV, whole graph"]
    assert all(len(each["runs_ms"]) == 2 for each in (*group["candidates"], *group["baselines"]))
    assert [each["candidate"] for each in group["ratios"]] == ["mrcnn-cv cpu, 2 kept", "mrcnn-cv cpu, 4 kept"]
    assert group["candidates"][0]["share_of_peak_gemm"] > 0
    assert list(record["left_out"]) == ["ONNX Runtime"]
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert "1 thread, image 240x160, which enters the model as 144x96" in done.stdout
    assert "left out: ONNX Runtime: it runs .onnx files" in done.stdout
    assert "round 2 of 2" in done.stderr


@pytest.mark.long
def test_unknown_baselines_and_models_are_refused() -> None:
    done = peers("--against", "torch")
    assert done.returncode == 2
    assert "there is no torch among whole-graph" in done.stderr
    done = peers("--model", "nothing.pb")
    assert done.returncode == 1
    assert "error: there is no model file nothing.pb" in done.stderr
