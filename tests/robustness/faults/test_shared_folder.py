"""Two runs in one output folder: the second one is told, and the first one never notices."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from mrcnn_cv import cli
from mrcnn_cv.errors import UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.jobs import session
from mrcnn_cv.jobs.options import ModelOptions
from mrcnn_cv.jobs.session import load_model
from mrcnn_cv.jobs.state.run_lock import lock_directory
from mrcnn_cv.outputs.storage import locks as lock
from mrcnn_cv.outputs.storage.locks import lock_output
from mrcnn_cv.util import file_lock
from tests.conftest import read_image
from tests.robustness.faults.conftest import NAMES, Batch, check_outputs
from tests.support.videos import seen_by_opencv, write_video


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

    def load(options: ModelOptions) -> MaskRCNN:
        if not codes:
            codes.append(0)
            codes[0] = batch()
        return load_model(options)

    monkeypatch.setattr(session, "load_model", load)
    assert batch() == 2
    assert codes == [0]
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)


def test_the_lock_is_held_once_and_free_afterwards(tmp_path: Path) -> None:
    with (
        lock_directory(tmp_path / "out"),
        pytest.raises(UsageError, match="another run"),
        lock_directory(tmp_path / "out"),
    ):
        pass
    with lock_directory(tmp_path / "out"):
        pass


@pytest.mark.parametrize("option", [pytest.param("--overwrite", marks=pytest.mark.long), "--resume"])
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
    monkeypatch.setenv("MRCNN_CV_BACKEND", "cpu")
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
    wait = "wait until it has ended, or choose another output folder (-o)"
    assert capfd.readouterr().err == f"mrcnn-cv: error: another run is at work at {out / 'one.mp4'}: {wait}\n"
    for name in ("one.mp4", "two.mp4"):
        assert len(seen_by_opencv(tmp_path / "out" / name)) == 12
    assert {path.name for path in out.iterdir() if not path.name.startswith(".mrcnn-cv")} == {"one.mp4", "two.mp4"}


Ask = Callable[[list[str], list[str]], tuple[int, int]]


@pytest.fixture
def second_at_work(photo_path: Path, tmp_path: Path, tiny_graph: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run one command, and another one while it is at its third image; (exit code of the first, of the second)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MRCNN_CV_MODEL", str(tiny_graph))
    monkeypatch.setenv("MRCNN_CV_BACKEND", "cpu")
    for name in NAMES:
        shutil.copy(photo_path, tmp_path / name)
    write_video(tmp_path / "clip.mp4", [read_image(photo_path)] * 5, rate=12)
    own = MaskRCNN.predict

    def ask(first: list[str], second: list[str]) -> tuple[int, int]:
        codes: list[int] = []
        calls: list[object] = []

        def predict(self: MaskRCNN, *arguments: object, **options: object) -> object:
            calls.append(self)
            if len(calls) == 3:
                codes.append(cli._run([*second, "-q"]))
            return own(self, *arguments, **options)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(MaskRCNN, "predict", predict)
            return cli._run([*first, "-q", "--workers", "1"]), codes[0]

    return ask


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((*NAMES, "--save", "coco,csv"), ("0.png", "1.png", "--save", "csv")),
        pytest.param((*NAMES, "--save", "coco"), ("clip.mp4", "--save", "overlay,coco,json"), marks=pytest.mark.long),
        pytest.param(("clip.mp4", "--save", "coco"), (".", "--save", "coco"), marks=pytest.mark.long),
    ],
    ids=["files", "files and a video", "a video and a folder"],
)
def test_a_file_for_all_pictures_belongs_to_one_run_at_a_time(
    second_at_work: Ask,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    first: tuple[str, ...],
    second: tuple[str, ...],
) -> None:
    assert second_at_work([*first, "-o", "out"], [*second, "-o", "out"]) == (0, 2)
    wait = "wait until it has ended, or choose another output folder (-o)"
    assert capfd.readouterr().err == f"mrcnn-cv: error: another run is at work in out: {wait}\n"
    assert len(json.loads((tmp_path / "out" / "annotations.json").read_bytes())["images"]) == 5
    # Books would keep the command from being given again.
    assert not (tmp_path / "out" / "run.jsonl").exists()
    assert cli._run([*second, "-o", "out", "-q"]) == 0


def test_a_second_evaluation_leaves_the_first_ones_books_alone(second_at_work: Ask, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    images = [{"id": number, "file_name": name, "width": 240, "height": 160} for number, name in enumerate(NAMES)]
    categories = [{"id": 1, "name": "1"}]
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    data = {"images": images, "annotations": [box], "categories": categories}
    (tmp_path / "data.json").write_text(json.dumps(data))
    command = ["eval", "data.json", ".", "-o", "out", "--overwrite"]
    assert second_at_work(command, command) == (0, 2)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "out" / "run.jsonl").read_bytes().splitlines()]
    assert kinds == ["run", *["picture"] * 5, "end"]


def test_a_lock_on_one_output_leaves_no_file_and_its_neighbours_to_others(tmp_path: Path) -> None:
    one, two = tmp_path / "out" / "one.mp4", tmp_path / "out" / f"{'x' * 240}.mp4"
    with (
        lock_output(one),
        lock_output(two),
        lock_directory(tmp_path / "out"),
        pytest.raises(UsageError, match="another run"),
    ):
        lock_output(one).__enter__()
    with pytest.raises(RuntimeError), lock_output(one):
        raise RuntimeError
    with lock_output(one):
        pass
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".mrcnn-cv-run.lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="there an open file cannot be removed")
def test_a_lock_file_that_its_holder_removes_is_not_taken_for_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.mp4"
    holder = lock_output(path)
    holder.__enter__()
    tried: list[IO[bytes]] = []

    def try_lock(file: IO[bytes]) -> bool:
        if not tried:
            # The holder ends after the file was opened here and before it is locked.
            holder.__exit__(None, None, None)
        tried.append(file)
        return file_lock.try_lock(file)

    monkeypatch.setattr(lock, "try_lock", try_lock)
    with lock_output(path):
        monkeypatch.undo()
        with pytest.raises(UsageError), lock_output(path):
            pass
    assert len(tried) == 2
