"""Models get and lose their names by calls, as `mrcnn-cv models` makes them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mrcnn_cv.errors import LabelFileError, UsageError
from mrcnn_cv.hub import resolve_model
from mrcnn_cv.hub import user_models as registered
from mrcnn_cv.hub.manage import register, remove
from mrcnn_cv.hub.user_models import UserModel, user_models


def test_a_registered_model_is_found_by_its_name_until_it_is_removed(home: Path, tiny_graph: Path) -> None:
    assert register("mine", tiny_graph, defaults={"score": "0.7"}) is None
    assert resolve_model("mine").path == tiny_graph
    assert (user_models()["mine"].defaults, user_models()["mine"].classes) == ({"score": "0.7"}, 3)
    with pytest.raises(UsageError, match="already"):
        register("mine", tiny_graph, defaults={})
    assert "no longer registered" in (remove("mine") or "")
    assert remove("mine") is None
    assert tiny_graph.exists()


def test_labels_that_are_missing_register_nothing(home: Path, tiny_graph: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"missing\.txt"):
        register("mine", tiny_graph, tmp_path / "missing.txt", defaults={})
    assert user_models() == {}


KILLED = """
import os, signal, sys
from pathlib import Path

from mrcnn_cv.hub import user_models

left = int(sys.argv[1])


def watch(event, arguments):
    global left
    steps = ("open", "os.rename", "os.remove", "os.mkdir", "os.scandir")
    if event in steps and os.environ["MRCNN_CV_HOME"] in str(arguments):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(watch)
user_models.add(user_models.UserModel("mine", Path("/models/mine.pb")))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_what_is_killed_while_it_registers_a_model_leaves_nothing(home: Path) -> None:
    """At any of its steps with files: the next one that registers cleans up, and the list is whole at every moment."""
    half_written = 0
    for count in range(9):
        done = subprocess.run([sys.executable, "-c", KILLED, str(count)], capture_output=True, text=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        half_written += len(list(home.rglob("*.tmp")))
        assert set(user_models()) <= {"mine"}
        registered.remove("mine")
        registered.add(UserModel("other", Path("/models/other.pb")))
        assert list(home.rglob("*.tmp")) == []
        assert set(user_models()) == {"other"}
        registered.remove("other")
    assert half_written > 0
