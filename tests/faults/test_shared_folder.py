"""Two runs in one output folder: the second one is told, and the first one never notices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import pytest

from mrcnn_cv import cli, file_lock
from mrcnn_cv.cli import predict_job
from mrcnn_cv.cli.job_parts import load_model
from mrcnn_cv.errors import UsageError
from mrcnn_cv.rcnn.model import MaskRCNN
from mrcnn_cv.run import lock
from mrcnn_cv.run.lock import alone_at, alone_in
from tests.conftest import read_image
from tests.faults.conftest import NAMES, Batch, check_outputs
from tests.videos import seen_by_opencv, write_video


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


@pytest.mark.parametrize("option", ["--overwrite", "--resume"])
def test_a_second_run_leaves_alone_the_video_that_the_first_is_at(
    tmp_path: Path,
    photo_path: Path,
    tiny_graph: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    option: str,
) -> None:
    photo = read_image(photo_path)
    for name in ("one.mp4", "two.mp4"):
        write_video(tmp_path / name, [photo] * 12, rate=12)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MRCNN_CV_MODEL", str(tiny_graph))
    codes: list[int] = []
    calls: list[object] = []
    own = MaskRCNN.predict

    def predict(self: MaskRCNN, *arguments: object, **options: object) -> object:
        calls.append(self)
        if len(calls) == 5:
            codes.append(cli._run(["one.mp4", "two.mp4", "-o", "out", "-q", option]))
        return own(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskRCNN, "predict", predict)
    assert cli._run(["one.mp4", "-o", "out", "-q", "--workers", "1"]) == 0
    assert codes == [2]
    out = Path("out")
    wait = "wait until it has ended, or give another output folder (-o)"
    assert capfd.readouterr().err == f"mrcnn-cv: error: another run is at work at {out / 'one.mp4'}: {wait}\n"
    for name in ("one.mp4", "two.mp4"):
        assert len(seen_by_opencv(tmp_path / "out" / name)) == 12
    assert {path.name for path in out.iterdir() if not path.name.startswith(".mrcnn-cv")} == {"one.mp4", "two.mp4"}


def test_a_lock_on_one_output_leaves_no_file_and_its_neighbours_to_others(tmp_path: Path) -> None:
    one, two = tmp_path / "out" / "one.mp4", tmp_path / "out" / f"{'x' * 240}.mp4"
    with alone_at(one), alone_at(two), alone_in(tmp_path / "out"), pytest.raises(UsageError, match="another run"):
        alone_at(one).__enter__()
    with pytest.raises(RuntimeError), alone_at(one):
        raise RuntimeError
    with alone_at(one):
        pass
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".mrcnn-cv-run.lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="there an open file cannot be removed")
def test_a_lock_file_that_its_holder_removes_is_not_taken_for_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.mp4"
    holder = alone_at(path)
    holder.__enter__()
    tried: list[IO[bytes]] = []

    def try_lock(file: IO[bytes]) -> bool:
        if not tried:
            # The holder ends after the file was opened here and before it is locked.
            holder.__exit__(None, None, None)
        tried.append(file)
        return file_lock.try_lock(file)

    monkeypatch.setattr(lock, "try_lock", try_lock)
    with alone_at(path):
        monkeypatch.undo()
        with pytest.raises(UsageError), alone_at(path):
            pass
    assert len(tried) == 2
