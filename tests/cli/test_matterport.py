"""A matterport model on the command line: its config, its weights, what is shown of it."""

from __future__ import annotations

import json
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import DATA

FOLDER = DATA / "matterport"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph without a config beside it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "frozen.pb").write_bytes(lzma.decompress((FOLDER / "plain.pb.xz").read_bytes()))
    return folder / "frozen.pb"


def test_values_of_a_config_are_kept_beside_the_graph(run: Run, graph: Path, tmp_path: Path) -> None:
    home = {"MRCNN_CV_HOME": str(tmp_path / "home")}
    values = ["IMAGE_MAX_DIM=192", "RPN_ANCHOR_SCALES=16,32,64,96,128", "IMAGE_RESIZE_MODE=square", "score=0.6"]
    done = run("models", "add", "mine", graph, *(part for value in values for part in ("--set", value)), env=home)
    assert done.returncode == 0
    kept = graph.with_suffix(".json")
    assert f"the values are kept in {kept}" in done.stderr
    again = run("models", "add", "mine", graph.parent, "--overwrite", "--set", "IMAGE_MIN_DIM=128", env=home)
    assert again.returncode == 0
    assert json.loads(kept.read_text()) == {
        "IMAGE_MAX_DIM": 192,
        "RPN_ANCHOR_SCALES": [16, 32, 64, 96, 128],
        "IMAGE_RESIZE_MODE": "square",
        "IMAGE_MIN_DIM": 128,
    }
    shown = run("inspect", "mine", env=home).stdout
    assert "matterport Mask R-CNN" in shown
    assert "shorter side at least 128, longer at most 192, padded (640x480 becomes 192x192)" in shown
    assert "3 per cell on 5 levels" in shown
    assert "stride 64, sizes (h x w) 181x91, 128x128, 91x181" in shown
    assert "IMAGE_MIN_SCALE = 0, MEAN_PIXEL" in shown


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ("IMAGE_MAX_DIM=big", 2, "IMAGE_MAX_DIM must be a whole number from 64 to 8192, not 'big'"),
        ("STEPS_PER_EPOCH=5", 2, "STEPS_PER_EPOCH is no value of a matterport Config that mrcnn-cv needs"),
        # A number, but not one for this model.
        ("IMAGE_MAX_DIM=100", 3, "needs a multiple of 64"),
    ],
)
def test_values_that_cannot_be_meant_change_nothing(
    run: Run, graph: Path, tmp_path: Path, value: str, code: int, message: str
) -> None:
    done = run("models", "add", "mine", graph, "--set", value, env={"MRCNN_CV_HOME": str(tmp_path / "home")})
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())
    assert not graph.with_suffix(".json").exists()


def test_such_values_are_for_matterports_models(run: Run, tiny_graph: Path, tmp_path: Path) -> None:
    home = {"MRCNN_CV_HOME": str(tmp_path / "home")}
    done = run("models", "add", "mine", tiny_graph, "--set", "IMAGE_MAX_DIM=128", env=home)
    assert done.returncode == 3
    assert not tiny_graph.with_suffix(".json").exists()


def test_assumptions_are_said_once(run: Run, graph: Path, photo_path: Path) -> None:
    done = run(photo_path, "--model", graph, "--output", "results")
    assert done.returncode == 0
    said = [line for line in done.stderr.splitlines() if "matterport's defaults are assumed" in line]
    assert len(said) == 1
    assert "IMAGE_MAX_DIM = 1024" in said[0]


def test_weights_alone_are_refused_with_the_way_to_freeze_them(run: Run, tmp_path: Path, photo_path: Path) -> None:
    (tmp_path / "mask_rcnn_coco.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    done = run(photo_path, "--model", "mask_rcnn_coco.h5")
    assert done.returncode == 3
    script = re.search(r"'python (\S+freeze_matterport\.py) mask_rcnn_coco\.h5' in the environment", done.stderr)
    assert script is not None
    # It needs nothing of mrcnn-cv, and no TensorFlow to say what it takes.
    command = [sys.executable, "-I", script[1], "--help"]
    assert "WEIGHTS.h5" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(done.stderr.strip().splitlines()) == 1
