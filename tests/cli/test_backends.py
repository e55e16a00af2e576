"""--backend and `mrcnn-cv backends`: what is asked for runs or is refused, never something else in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mrcnn_cv.engines import select as backend
from mrcnn_cv.util.opencv import cv2
from tests.cli.conftest import Run, refusal, success
from tests.support.rows import sampled


@pytest.mark.parametrize("name", sampled([name for name in backend.BACKENDS if name != "cpu"], 3))
def test_a_backend_that_cannot_run_is_refused_with_what_can(
    find: Run, tmp_path: Path, photo_path: Path, name: str
) -> None:
    if backend.probe(name).problem is None:
        pytest.skip(f"{name} runs here")
    message = refusal(find(photo_path, "--backend", name), 4)
    assert f"the backend {name} cannot run here" in message
    assert "what works here: " in message
    assert backend.probe(name).backend.remedy in message
    assert not list(tmp_path.iterdir())


def test_table(find: Run) -> None:
    lines = success(find("backends")).stdout.splitlines()
    assert lines[0].startswith(f"OpenCV {cv2.__version__}; --backend auto takes ")
    table = lines[2 : 3 + len(backend.BACKENDS)]
    assert table[0].split() == ["backend", "in", "build", "works", "device"]
    assert [line.split()[0] for line in table[1:]] == list(backend.BACKENDS)
    (cpu,) = [line for line in table if line.startswith("cpu ")]
    assert cpu.split()[1:3] == ["yes", "yes"]
    for name in backend.BACKENDS:
        broken = backend.probe(name).problem is not None
        assert any(line.startswith(f"{name}: ") for line in lines) == broken


def test_json(find: Run) -> None:
    answer = json.loads(success(find("backends", "--json")).stdout)
    assert answer["opencv"] == cv2.__version__
    assert [each["name"] for each in answer["backends"]] == list(backend.BACKENDS)
    for each in answer["backends"]:
        probe = backend.probe(each["name"])
        assert each["works"] == (probe.problem is None)
        assert each["in_build"] == probe.in_build
        assert (each["remedy"] is None) == each["works"]
    assert answer["auto"] in [each["name"] for each in answer["backends"] if each["works"]]
