"""A fault of our own: one sentence and exit code 1 for the user, the traceback for whoever looks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrcnn_cv import cli


@pytest.fixture(autouse=True)
def fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_graph: Path) -> None:
    """A command line that runs into an error that nobody thought of."""

    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("nobody thought\nof \x1b[31mthis")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mrcnn_cv.inference.predictor.prepare", fail)
    monkeypatch.setenv("MRCNN_CV_MODEL", str(tiny_graph))
    monkeypatch.setenv("MRCNN_CV_BACKEND", "cpu")
    monkeypatch.setenv("MRCNN_CV_QUIET", "1")


def test_one_sentence(photo_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli._run([str(photo_path)]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("mrcnn-cv: internal error (ZeroDivisionError: nobody thought")
    assert "internal error" in err
    assert "MRCNN_CV_DEBUG=1" in err
    assert "\x1b" not in err


def test_the_traceback_for_a_report(photo_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRCNN_CV_DEBUG", "1")
    with pytest.raises(ZeroDivisionError) as caught:
        cli._run([str(photo_path)])
    assert "predict" in {entry.name for entry in caught.traceback}
