"""Some hundred mutated models of each kind: nothing crashes, hangs, fills the memory or fails without a sentence.

At length: `python tests/robustness/fuzz/run.py object_detection --count 7000` (and `matterport`, `onnx`, `exported`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mrcnn_cv.errors import BackendError, ModelFileError
from tests.robustness.fuzz.run import fuzz
from tests.robustness.fuzz.worker import judged

CASES = 250


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", ["object_detection", "matterport", "onnx", "exported"])
def test_mutated_models(kind: str) -> None:
    summary = fuzz(kind, seed=0, numbers=range(CASES))
    assert summary.findings == []
    # Not all of them are so broken that nothing is tried, nor all so whole that nothing is refused.
    assert summary.results["accepted"] > CASES / 10
    assert summary.results["refused"] > CASES / 10


def refuse(path: Path) -> str:
    raise ModelFileError(f"{path} is none")


def fall_back(path: Path) -> str:
    raise BackendError(f"{path} failed inside the net")


def stumble(path: Path) -> str:
    return str(1 // 0)


@pytest.mark.parametrize(
    ("attempt", "result", "text"),
    [
        (lambda path: "accepted", "accepted", ""),
        (lambda path: "refused: for a reason", "refused", "for a reason"),
        (refuse, "refused", "ModelFileError (3): model.pb is none"),
        (fall_back, "message", "BackendError (4): model.pb failed inside the net"),
        (stumble, "traceback", "ZeroDivisionError"),
    ],
)
def test_what_counts_as_a_finding(attempt: object, result: str, text: str, tmp_path: Path) -> None:
    found = judged(attempt, tmp_path / "model.pb", frozenset({3}))  # type: ignore[arg-type]
    assert found[0] == result
    assert text in found[1]
