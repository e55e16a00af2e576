"""Two runs in one output folder: the second one is told, and the first one never notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.cli import predict_job
from mrcnn_cv.cli.job_parts import load_model
from mrcnn_cv.errors import UsageError
from mrcnn_cv.rcnn.model import MaskRCNN
from mrcnn_cv.run.lock import alone_in
from tests.faults.conftest import NAMES, Batch, check_outputs


@pytest.mark.parametrize("option", ["--resume", pytest.param("--overwrite", marks=pytest.mark.long)])
def test_a_second_run_is_refused_while_the_first_is_at_work(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], option: str
) -> None:
    codes: list[int] = []
    own = MaskRCNN.predict

    def predict(self: MaskRCNN, *arguments: object, **options: object) -> object:
        if not codes:
            codes.append(batch(option))
        return own(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskRCNN, "predict", predict)
    assert batch("--workers", 1) == 0
    assert codes == [2]
    said = capfd.readouterr().err
    assert "mrcnn-cv: error: another run is at work in out: wait until it has ended" in said
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)


def test_a_run_that_ended_while_another_one_was_loading_is_seen(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []

    def load(options: dict[str, Any]) -> MaskRCNN:
        if not codes:
            codes.append(0)
            codes[0] = batch()
        return load_model(options)

    monkeypatch.setattr(predict_job, "load_model", load)
    assert batch() == 2
    assert codes == [0]
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)


def test_the_lock_is_held_once_and_free_afterwards(tmp_path: Path) -> None:
    with alone_in(tmp_path / "out"), pytest.raises(UsageError, match="another run"), alone_in(tmp_path / "out"):
        pass
    with alone_in(tmp_path / "out"):
        pass
