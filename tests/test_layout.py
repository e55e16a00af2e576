"""Where tests are: in the folder that has the name of the package's folder that they test."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

TESTS, PACKAGE, SCRIPTS = (ROOT / name for name in ("tests", "mrcnn_cv", "scripts"))

OWN = {"data", "docs", "parity", "robustness", "scripts", "support"}
"""Tests of more than one part, by what they hold the program against; and what helps all tests."""

AT_THE_TOP = {
    *("test_architecture", "test_errors", "test_layout", "test_messages", "test_package"),
    *("test_pickling", "test_plugins", "test_timeouts"),
}
"""mrcnn_cv/errors.py, and what is about all files."""


def _folders() -> set[Path]:
    found = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    return {folder for folder in found if folder.parts and folder.parts[0] not in OWN}


def test_folders_mirror_the_package() -> None:
    folders = _folders()
    assert len(folders) > 15
    assert [str(folder) for folder in sorted(folders) if not (PACKAGE / folder / "__init__.py").is_file()] == []


def test_no_test_lies_loose() -> None:
    assert {path.stem for path in TESTS.glob("test_*.py")} == AT_THE_TOP


def test_scripts_make_measure_and_pack() -> None:
    assert [str(path) for path in SCRIPTS.rglob("*.py") if re.match("test_|fuzz|soak|fault", path.name)] == []
    assert {path.parent.name for path in SCRIPTS.rglob("*.py")}.isdisjoint({"fuzz", "soak", "faults"})
