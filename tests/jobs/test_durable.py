"""With `durable` a loss of power costs nothing that counts as done: whatever is not synced by then is gone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.jobs import ModelOptions, OutputOptions, RunOptions, annotate_images, annotate_video
from mrcnn_cv.jobs.report_file import ReportFile
from mrcnn_cv.jobs.state import manifest, video_checkpoints
from mrcnn_cv.outputs.storage.ownership import RECORD_NAME
from mrcnn_cv.outputs.storage.record_log import RECORDS_NAME, RecordLog
from mrcnn_cv.outputs.video import writer
from tests.support.power_loss import Disk, OnDisk
from tests.support.videos import stamp, write_video

pytestmark = pytest.mark.skipif(os.name == "nt", reason="syncs no folders")

NAMES = ("a/0.png", "a/1.png", "2.png")
FORMATS = ("overlay", "json", "coco", "voc", "csv")


@pytest.fixture
def model(tiny_graph: Path) -> ModelOptions:
    return ModelOptions(tiny_graph, backend="cpu")


@pytest.fixture
def folder(tmp_path: Path, photo_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo_path, tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    disk.install(monkeypatch)
    yield disk
    disk.close()


def entries(data: bytes, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in data.splitlines() if line]
    return [entry for entry in found if entry["kind"] == kind]


def output(root: Path, formats: tuple[str, ...], durable: bool = True) -> OutputOptions:
    return OutputOptions(root / "new" / "out", formats=formats, records=root / "all.jsonl", durable=durable)


def check_owned(now: OnDisk, path: Path, out: Path) -> None:
    """A file that takes its place is known to be ours, also if the power fails right then."""
    if out in path.parents:
        record = now.files()[f"new/out/{RECORD_NAME}"]
        assert path.relative_to(out).as_posix() in [json.loads(line)["name"] for line in record.splitlines()]


def check_images(now: OnDisk, written: bytes, places: int) -> None:
    """All that the manifest says, in memory, is on the disk."""
    files = now.files()
    lines = [json.loads(line)["source"] for line in files.get("all.jsonl", b"").splitlines()]
    records = [json.loads(line)["place"] for line in files.get(f"new/out/{RECORDS_NAME}", b"").splitlines()]
    for done in entries(written, "picture"):
        assert all(len(files[f"new/out/{name}"]) == size > 0 for name, size in done["files"])
        assert len(done["files"]) == places
        assert done["name"] in lines
        assert done["place"] in records


@pytest.mark.parametrize("formats", [FORMATS, ()], ids=["formats", "none"])
def test_an_image_is_on_the_disk_before_it_counts_as_done(
    folder: Path, model: ModelOptions, disk: Disk, formats: tuple[str, ...], tmp_path: Path
) -> None:
    options = output(disk.root, formats)
    state = disk.root / ("new/out" if formats else ".all.jsonl.mrcnn-cv") / manifest.NAME

    def before(what: str, path: Path) -> None:
        written = state.read_bytes() if state.exists() else b""
        on_disk = disk.now.files().get(state.relative_to(disk.root).as_posix(), b"")
        # The last line may be one that is being written.
        assert len(on_disk.splitlines()) >= len(written.splitlines()) - 1
        if formats:
            check_images(disk.now, written, 6)
        if what == "replace":
            check_owned(disk.now, path, Path(options.directory))

    disk.before = before
    annotate_images(folder, model, output=options, run=RunOptions(workers=1))
    left = disk.now.files()
    assert len(entries(left[state.relative_to(disk.root).as_posix()], "picture")) == len(NAMES)
    # After the run all is there, as it is in memory; locks are nobody's.
    there = {path.relative_to(disk.root).as_posix(): path for path in disk.root.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in there.items() if not name.endswith(".lock")} == {
        name: data for name, data in left.items() if not name.endswith((".lock", ".tmp"))
    }
    # From any moment on the same command goes on, and comes to the same end.
    for number in sorted({len(disk.history) * part // 5 for part in range(1, 5)}):
        again = output(disk.history[number].restore(tmp_path / f"after-{number}"), formats, durable=False)
        result = annotate_images(folder, model, output=again, run=RunOptions(workers=1, resume=True))
        assert result.exit_code == 0
        assert len(Path(again.records or "").read_bytes().splitlines()) == len(NAMES)


def test_frames_are_on_the_disk_before_their_checkpoint(
    model: ModelOptions, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    clip = write_video(tmp_path / "clip.mp4", [stamp(number) for number in range(6)])
    monkeypatch.setattr(writer, "SEGMENT_SECONDS", 0.1)
    options = output(disk.root, ("overlay", "frames", "coco"))
    log = Path(options.directory) / video_checkpoints.NAME

    def before(what: str, path: Path) -> None:
        files, written = disk.now.files(), log.read_bytes() if log.exists() else b""
        for entry in entries(written, "stretch"):
            part = entry["part"]
            name = f"new/out/clip.mp4.parts/{part['name']}"
            assert len(files[name]) == part["size"]
            assert all(files[f"new/out/clip/{number:06}.jpg"] for number in range(entry["last"]["taken"]))
            assert len(files["all.jsonl"].splitlines()) >= entry["last"]["taken"]
            assert len(files[f"new/out/{RECORDS_NAME}"].splitlines()) >= entry["last"]["taken"]
        if entries(written, "end"):
            assert files["new/out/clip.mp4"]
        if what == "replace":
            check_owned(disk.now, path, Path(options.directory))

    disk.before = before
    annotate_video(clip, model, output=options, run=RunOptions(workers=1))
    left = disk.now.files()
    assert len(entries(left[f"new/out/{video_checkpoints.NAME}"], "stretch")) == 2
    assert len(entries(left[f"new/out/{video_checkpoints.NAME}"], "end")) == 1
    assert left["new/out/clip.mp4"] == (Path(options.directory) / "clip.mp4").read_bytes()
    assert json.loads(left["new/out/annotations.json"])["images"][5]["file_name"] == "clip/000005.jpg"


def test_a_record_is_on_the_disk_when_it_was_added(disk: Disk) -> None:
    records = RecordLog(disk.root / "new", durable=True)
    records.open()
    records.add({"place": "a.png", "index": 0})
    assert disk.now.files()[f"new/{RECORDS_NAME}"] == b'{"place": "a.png", "index": 0}\n'
    records.close()


def test_a_report_is_on_the_disk(disk: Disk) -> None:
    path = disk.root / "reports" / "new" / "report.json"
    ReportFile(path, overwrite=False, protected=[], durable=True).write(b"{}")
    assert disk.now.files()["reports/new/report.json"] == b"{}"


def test_nothing_is_synced_unless_that_is_asked_for(
    folder: Path, model: ModelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = output(tmp_path, FORMATS, durable=False)
    monkeypatch.setattr(os, "fsync", lambda handle: pytest.fail("synced"))
    annotate_images(folder, model, output=options, run=RunOptions(workers=1))
    ReportFile(tmp_path / "report.json", overwrite=False, protected=[]).write(b"{}")
