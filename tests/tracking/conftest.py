"""The scripts that measure tracking, as modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

from tests.conftest import ROOT

NAMES = ("backgrounds", "evaluate", "geometry", "metrics", "moving", "paint", "scenes")


@pytest.fixture(scope="module")
def evaluate() -> Iterator[ModuleType]:
    """scripts/tracking/evaluate.py; what it imports is found by plain names, as when it is run."""
    before = list(sys.path)
    sys.path.insert(0, str(ROOT / "scripts" / "tracking"))
    yield import_module("evaluate")
    sys.path[:] = before
    for name in NAMES:
        sys.modules.pop(name, None)
