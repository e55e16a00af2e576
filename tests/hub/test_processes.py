"""Several processes, and processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from mrcnn_cv.hub import cache
from mrcnn_cv.hub.pull import pull
from mrcnn_cv.hub.registry import ZooModel
from tests.hub.conftest import HASTE, NAME, files_in
from tests.hub.server import Server, slowly, stall

PULL = """
import json, sys
from mrcnn_cv.hub.resolve import PullListener
from mrcnn_cv.hub.pull import pull
from mrcnn_cv.hub.registry import ZooModel

class Notes(PullListener):
    def note(self, text):
        print(text, file=sys.stderr)

print(pull(ZooModel(**json.loads(sys.argv[1])), listener=Notes()))
"""
INSTALLED = {f"zoo/{NAME}/{name}" for name in ("frozen_inference_graph.pb", "pipeline.config", "pulled.json")}


def start(model: ZooModel, code: str = PULL) -> subprocess.Popen[str]:
    """A process of its own that pulls the model."""
    command = [sys.executable, "-c", code, json.dumps(asdict(model))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(reached: object, seconds: float = 20) -> None:
    """Wait for a condition (a function)."""
    assert callable(reached)
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_of_several_processes_that_pull_at_once_one_does_the_work(model: ZooModel, server: Server, home: Path) -> None:
    server.script = [slowly(pieces=20, pause=0.1)]
    pulls = [start(model) for _ in range(3)]
    answers = [each.communicate(timeout=60) for each in pulls]
    assert [each.returncode for each in pulls] == [0, 0, 0], answers
    assert len(server.seen) == 1
    assert {out for out, _ in answers} == {f"{home / 'zoo' / NAME}\n"}
    assert any("another process is pulling" in err for _, err in answers)
    assert files_in(home) == INSTALLED


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_pull_that_was_killed_is_resumed(model: ZooModel, server: Server, home: Path) -> None:
    server.script = [stall(after=40_000)]
    first = start(model)
    part = home / "downloads" / f"{NAME}.part"
    until(lambda: part.exists() and part.stat().st_size == 40_000)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    pull(model, retry=HASTE)
    assert server.ranges() == [None, "bytes=40000-"]
    assert files_in(home) == INSTALLED


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_pull_that_was_killed_while_unpacking_leaves_no_half_model(
    model: ZooModel, server: Server, home: Path
) -> None:
    hang = """
import mrcnn_cv.hub.archive, time
mrcnn_cv.hub.archive._is_label_map = None
mrcnn_cv.hub.archive._Unpacking._config = lambda self: (print("here", flush=True), time.sleep(60))
"""
    first = start(model, hang + PULL)
    assert first.stdout is not None
    assert first.stdout.readline() == "here\n"
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not cache.is_pulled(NAME)
    assert any("~" in name for name in files_in(home))
    pull(model)
    assert len(server.seen) == 1
    assert files_in(home) == INSTALLED
    assert os.listdir(home / "zoo") == [NAME]
