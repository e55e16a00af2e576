"""A test that hangs is one that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, SECONDS

pytest.importorskip("pytest_timeout")

HANGS = """
import subprocess, sys, threading

def test_child():
    # It ends when its input does, which is when this process ends.
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE):
        threading.Event().wait()
"""


def test_a_hang_ends_its_process_and_shows_where_it_is(tmp_path: Path) -> None:
    """As pyproject.toml sets pytest up; xdist makes that a failure, and goes on with the rest."""
    path = tmp_path / "test_hangs.py"
    path.write_text(HANGS)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-n", "0", "--timeout", "1"]
    done = subprocess.run([*command, "-p", "no:cacheprovider", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "+ Timeout +" in done.stdout
    assert "threading.Event().wait()" in done.stdout


def test_marked_suites_have_limits_of_their_own(request: pytest.FixtureRequest) -> None:
    names = {line.partition(":")[0] for line in request.config.getini("markers")}
    assert SECONDS.keys() <= names
    assert min(SECONDS.values()) > int(request.config.getini("timeout"))
