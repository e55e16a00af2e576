"""A file of records that a run writes is complete, and has nothing twice, however often the run ended and went on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.errors import OutputError
from mrcnn_cv.jobs import (
    CancellationToken,
    ImageSelection,
    JobObserver,
    ModelOptions,
    OutputOptions,
    RunOptions,
    annotate_images,
    annotate_video,
)
from mrcnn_cv.outputs.storage.ownership import OwnershipLog
from mrcnn_cv.outputs.video import writer
from mrcnn_cv.pipeline import FrameResult
from tests.support.videos import stamp, write_video

Act = Callable[[], object]

NAMES = [f"{number}.png" for number in range(6)]
"""More than are in work at the same time."""

FRAMES = 9


class At(JobObserver):
    """Does something once so many images are done."""

    def __init__(self, count: int, act: Act) -> None:
        self._left = count
        self._act = act

    def done(self, done: FrameResult) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()


@pytest.fixture
def model(tiny_graph: Path) -> ModelOptions:
    return ModelOptions(tiny_graph, backend="cpu")


@pytest.fixture
def folder(tmp_path: Path, photo_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(photo_path, folder / name)
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    pytest.importorskip("av")
    return write_video(tmp_path / "clip.mp4", [stamp(number) for number in range(FRAMES)])


def records(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in found:
        del record["timings_ms"]
    return found


class Place:
    """Where a run writes to. formats: besides its file of records."""

    def __init__(self, root: Path, *formats: str) -> None:
        self.root = root
        self.output = OutputOptions(root / "out", formats=formats, records=root / "all.jsonl")

    def killed(self) -> Place:
        """What a run that is killed in this moment would leave."""
        return Place(Path(shutil.copytree(self.root, self.root.with_name(f"{self.root.name}-killed"))), *self.formats)

    @property
    def formats(self) -> tuple[str, ...]:
        return tuple(self.output.formats)

    @property
    def records(self) -> list[dict[str, Any]]:
        return records(self.root / "all.jsonl")


FORMATS = pytest.mark.parametrize(
    "formats",
    [("overlay",), pytest.param(("coco",), marks=pytest.mark.long), ()],
    ids=["overlay", "coco", "nothing else"],
)


def images(folder: Path, model: ModelOptions, place: Place, observer: JobObserver | None = None, **options: Any) -> int:
    token = options.pop("token", None)
    run = RunOptions(workers=1, **options)
    result = annotate_images(folder, model, output=place.output, run=run, observer=observer, cancellation=token)
    return result.statistics.done_count


@FORMATS
def test_a_batch_that_was_ended_keeps_its_lines(
    folder: Path, model: ModelOptions, tmp_path: Path, formats: tuple[str, ...]
) -> None:
    place, token = Place(tmp_path / "a", *formats), CancellationToken()
    done = images(folder, model, place, At(1, token.cancel), token=token)
    assert 1 <= done < len(NAMES)
    assert len(place.records) == done
    assert images(folder, model, place, resume=True) == len(NAMES) - done
    assert [Path(record["source"]).name for record in place.records] == NAMES
    # All of it is there: nothing is done again, nothing is gone.
    assert images(folder, model, place, resume=True) == 0
    assert len(place.records) == len(NAMES)
    # Anew without --resume.
    if not formats:
        assert images(folder, model, place) == len(NAMES)
        assert len(place.records) == len(NAMES)


@FORMATS
def test_a_batch_that_was_killed_keeps_its_lines(
    folder: Path, model: ModelOptions, tmp_path: Path, formats: tuple[str, ...]
) -> None:
    place = Place(tmp_path / "a", *formats)
    left: list[Place] = []
    images(folder, model, place, At(2, lambda: left.append(place.killed())))
    with (left[0].root / "all.jsonl").open("ab") as file:
        file.write(b'{"source": "half a li')
    images(folder, model, left[0], resume=True)
    assert left[0].records == place.records
    assert [Path(record["source"]).name for record in place.records] == NAMES


def test_what_a_killed_run_left_is_written_anew_by_the_same_command(
    photo_path: Path, model: ModelOptions, tmp_path: Path
) -> None:
    place = Place(tmp_path / "a")
    left: list[Place] = []
    images(photo_path, model, place, At(1, lambda: left.append(place.killed())))
    images(photo_path, model, left[0])
    assert len(left[0].records) == 1
    # Not what somebody wrote into it.
    (left[0].root / "all.jsonl").write_text("my own")
    with pytest.raises(OutputError, match="not an unchanged output"):
        images(photo_path, model, left[0])
    assert (left[0].root / "all.jsonl").read_text() == "my own"


def test_a_run_that_is_killed_before_its_first_line_leaves_a_file_that_is_known(
    photo_path: Path, model: ModelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, left = Place(tmp_path / "a"), list[Place]()
    add = OwnershipLog.add

    def killed(log: OwnershipLog, path: Path, *content: Any) -> None:
        if path.name == "all.jsonl" and not left:
            left.append(place.killed())
        add(log, path, *content)

    place.root.mkdir()
    monkeypatch.setattr(OwnershipLog, "add", killed)
    images(photo_path, model, place)
    images(photo_path, model, left[0], resume=True)
    assert len(left[0].records) == 1


def test_lines_that_are_gone_and_outputs_that_are_gone_are_made_again_in_order(
    folder: Path, model: ModelOptions, tmp_path: Path
) -> None:
    place = Place(tmp_path / "a", "overlay")
    images(folder, model, place)
    whole = place.records
    (place.root / "out" / "1.png").unlink()
    assert images(folder, model, place, resume=True) == 1
    assert place.records == whole
    (place.root / "all.jsonl").unlink()
    assert images(folder, model, place, resume=True) == len(NAMES)
    assert place.records == whole
    other = OutputOptions(place.root / "out", formats=("overlay",), records=place.root / "other.jsonl")
    annotate_images(folder, model, output=other, run=RunOptions(workers=1, resume=True))
    assert records(place.root / "other.jsonl") == whole


def test_a_folder_that_is_watched_keeps_its_lines(folder: Path, model: ModelOptions, tmp_path: Path) -> None:
    place = Place(tmp_path / "a", "overlay")
    for resume, name in ((False, None), (True, "new.png")):
        if name is not None:
            shutil.copy(folder / "0.png", folder / name)
        token = CancellationToken()
        annotate_images(
            folder,
            model,
            selection=ImageSelection(watch=True),
            output=place.output,
            run=RunOptions(workers=1, resume=resume),
            observer=At(len(NAMES) if name is None else 1, token.cancel),
            cancellation=token,
        )
    assert sorted(Path(record["source"]).name for record in place.records) == [*NAMES, "new.png"]


@FORMATS
def test_a_video_keeps_the_lines_of_its_frames(
    clip: Path, model: ModelOptions, tmp_path: Path, formats: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A checkpoint every four frames.
    monkeypatch.setattr(writer, "SEGMENT_SECONDS", 0.1)
    place, killed = Place(tmp_path / "a", *formats), list[Place]()
    run = RunOptions(workers=1)
    annotate_video(clip, model, output=place.output, run=run, observer=At(7, lambda: killed.append(place.killed())))
    whole = place.records
    assert [record["frame"] for record in whole] == list(range(FRAMES))
    left = killed[0]
    again = RunOptions(workers=1, resume=True)
    result = annotate_video(clip, model, output=left.output, run=again)
    statistics = result.videos[0].statistics
    assert statistics is not None
    assert 0 < statistics.done_count < FRAMES
    assert left.records == whole
    assert annotate_video(clip, model, output=left.output, run=again).videos[0].statistics is None
    assert left.records == whole
    # A file without them is made whole.
    (left.root / "all.jsonl").unlink()
    annotate_video(clip, model, output=left.output, run=again)
    assert left.records == whole


@pytest.mark.parametrize("name", ["yolo", "voc"])
def test_an_input_that_was_edited_in_place_is_done_again(
    model: ModelOptions, folder: Path, tmp_path: Path, name: str
) -> None:
    """The copies of these formats are hard links to the inputs, which change with them."""
    output = OutputOptions(tmp_path / "out", formats=(name,))
    annotate_images(folder, model, output=output)
    changed = folder / NAMES[2]
    data = changed.read_bytes()
    with changed.open("r+b") as file:
        # A decoder reads nothing behind the end of an image.
        file.write(data + b"edited")
    result = annotate_images(folder, model, output=output, run=RunOptions(resume=True))
    assert (result.statistics.done_count, result.statistics.kept, result.exit_code) == (1, len(NAMES) - 1, 0)
    (copy,) = (path for path in (tmp_path / "out").rglob(NAMES[2]) if path.parent.name in ("images", "JPEGImages"))
    assert copy.read_bytes() == changed.read_bytes()
