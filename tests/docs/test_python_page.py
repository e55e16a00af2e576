"""docs/python.md: its programs run as they stand, each in a process of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mrcnn_cv import jobs
from tests.conftest import ROOT
from tests.support.rows import sampled

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", sampled(PROGRAMS, 2))
def test_programs(program: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("shapes.jpg", "again.jpg"):
        shutil.copy(ROOT / "examples" / "shapes.jpg", tmp_path / "photos" / name)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_every_job_is_on_the_page() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE))
    assert len(PROGRAMS) == 4
    functions = {name for name in jobs.__all__ if name.islower() and not name.startswith("plan_")}
    assert named == functions
