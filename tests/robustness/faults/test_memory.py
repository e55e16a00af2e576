"""The memory does not suffice: for one image, for the model, or for the program as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mrcnn_cv.drawing.annotate import draw
from mrcnn_cv.engines.opencv import net as opencv_net
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.jobs import session
from mrcnn_cv.jobs.options import ModelOptions
from mrcnn_cv.outputs.formats import image_files
from tests.cli.fork_server import environment
from tests.robustness.faults.conftest import NAMES, Batch, check_outputs
from tests.robustness.faults.test_threads import Once
from tests.support.opencv import classic_only


@pytest.mark.parametrize(
    "where", [pytest.param("nets", marks=classic_only), "overlay", pytest.param("steps", marks=pytest.mark.long)]
)
def test_one_picture_that_does_not_fit_is_one_that_fails(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], where: str
) -> None:
    with monkeypatch.context() as patch:
        if where == "steps":
            predict = Once(MaskRCNN.predict, 3, MemoryError())
            patch.setattr(MaskRCNN, "predict", lambda self, *a, **o: predict(self, *a, **o))
        elif where == "nets":
            full = cv2.error("(-4:Insufficient memory) Failed to allocate 800000000 bytes")
            full.code = cv2.Error.StsNoMem
            run_out_of_memory(patch, full)
        else:
            patch.setattr(image_files, "draw", Once(draw, 3, MemoryError()))
        assert batch("--workers", 1) == 5
    assert "(240 x 160) does not fit into the memory that is left: make the image smaller" in capfd.readouterr().err
    assert len(check_outputs(tmp_path / "out", complete=True)) == len(NAMES) - 1
    assert batch("--resume") == 0
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)


def run_out_of_memory(patch: pytest.MonkeyPatch, error: cv2.error) -> None:
    """Let one of OpenCV's nets raise once, in the middle of the run."""
    own = opencv_net.CvNet._net_for
    count = 0

    class Full:
        def setInput(self, *_: object) -> None:
            raise error

    def net_for(self: Any, kind: Any) -> Any:
        nonlocal count
        # One that has run before.
        count += bool(self._nets)
        return Full() if count == 3 and self._nets else own(self, kind)

    patch.setattr(opencv_net.CvNet, "_net_for", net_for)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "the memory that is left does not suffice: close other programs"),
        (
            RuntimeError("can't start new thread"),
            "no more threads can be started: close other programs, raise the limit",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_a_sentence(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, says: str
) -> None:
    def fail(options: ModelOptions) -> MaskRCNN:
        raise error

    monkeypatch.setattr(session, "load_model", fail)
    assert batch() == 4
    said = capfd.readouterr().err
    assert said.startswith(f"mrcnn-cv: error: {says}")
    assert said.count("\n") == 1


@pytest.mark.long
def test_a_second_worker_that_does_not_fit_ends_the_run(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model is loaded when it has its first image."""
    with monkeypatch.context() as patch:
        patch.setattr(session, "load_model", Once(session.load_model, 2, MemoryError()))
        assert batch("--workers", 2) == 4
    check_outputs(tmp_path / "out", complete=False)
    assert batch("--resume") == 0
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_any_limit_on_memory_leaves_whole_outputs(program: str, batch: Batch, tmp_path: Path, tiny_graph: Path) -> None:
    """From too little to start up to enough. Native code may abort where it gets nothing; outputs are whole even so."""
    image = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "in" / "large.png"), image)
    codes = {}
    for limit in range(300_000, 1_800_001, 50_000):
        script = f'ulimit -v {limit}; exec "$0" in -o out --save overlay,json,coco,csv,jsonl --resume --workers 2 -q'
        done = subprocess.run(
            ["sh", "-c", script, program],
            cwd=tmp_path,
            env=environment({"MRCNN_CV_MODEL": str(tiny_graph)}),
            capture_output=True,
            timeout=120,
        )
        codes[limit] = done.returncode
        assert b"Traceback" not in done.stderr, done.stderr
        for path in (tmp_path / "out").rglob("*.json"):
            json.loads(path.read_bytes())
    assert codes[1_800_000] == 0, codes
    assert any(code != 0 for code in codes.values())
    (tmp_path / "in" / "large.png").unlink()
    assert batch("--resume") == 0
    assert check_outputs_of_small(tmp_path / "out") == set(NAMES)


def check_outputs_of_small(out: Path) -> set[str]:
    """Without the large image, which has another size."""
    entries = [json.loads(line) for line in (out / "run.jsonl").read_bytes().splitlines() if line]
    return {entry["place"] for entry in entries if entry.get("status") == "done"} - {"large.png"}
