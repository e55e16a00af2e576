"""Mutated images, videos, archives and texts by the thousand; the long version is tests/robustness/fuzz/run.py."""

from __future__ import annotations

import pytest

from tests.robustness.fuzz.run import fuzz

pytestmark = pytest.mark.fuzz

COUNTS = {
    "images": 3000,
    "videos": 1500,
    "image_archives": 500,
    "model_archives": 500,
    "label_files": 800,
    "configs": 1200,
    "annotations": 250,
    "run_state": 400,
    "image_lists": 600,
    "checkpoints": 1500,
}


@pytest.mark.parametrize("target", COUNTS)
def test_no_file_crashes_hangs_or_fills_the_memory(target: str) -> None:
    summary = fuzz(target, 0, range(COUNTS[target]))
    assert not summary.findings
    assert sum(summary.results.values()) == COUNTS[target]
    # Not all of them are refused at the door.
    assert summary.results["accepted"] > COUNTS[target] / 50
