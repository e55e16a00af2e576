"""Files for all images: whole at every moment, complete at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pytest

from mrcnn_cv.errors import OutputError, UsageError
from mrcnn_cv.outputs.storage import dataset_files as module
from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from tests.outputs.conftest import LittleRoom, MakeFrame


class Places:
    """A format that lists the places of all images; fails once it has seen `bad`."""

    name = "places.json"

    def __init__(self, bad: str | None = None) -> None:
        self.bad = bad
        self.times = 0

    def assemble(self, records: Iterable[dict[str, Any]], file: BinaryIO) -> None:
        self.times += 1
        places = [record["place"] for record in records]
        file.write(json.dumps(places).encode()[:3])
        if self.bad in places:
            raise OutputError("the disk is full")
        file.write(json.dumps(places).encode()[3:])


def place(make_frame: MakeFrame, name: str, index: int) -> Frame:
    return replace(make_frame(name, index), output_path=PurePosixPath(name))


def written(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "places.json").read_bytes())
    return found


def test_the_file_is_there_from_the_beginning_and_complete_at_the_end(
    tmp_path: Path, make_frame: MakeFrame, found: Instances
) -> None:
    with DatasetFiles(OutputDirectory(tmp_path), [Places()]) as files:
        assert written(tmp_path) == []
        for index, name in enumerate(("b.jpg", "a.jpg", "c/d.jpg")):
            files.write(place(make_frame, name, index), found)
    assert written(tmp_path) == ["b.jpg", "a.jpg", "c/d.jpg"]


def test_a_run_that_goes_on_keeps_what_there_was_in_the_order_of_its_own_listing(
    tmp_path: Path, make_frame: MakeFrame, found: Instances
) -> None:
    with DatasetFiles(OutputDirectory(tmp_path), [Places()]) as files:
        files.write(place(make_frame, "b.jpg", 0), found)
    order = {"a.jpg": 0, "b.jpg": 1}
    again = DatasetFiles(OutputDirectory(tmp_path), [Places()], keep=True, indexes=order)
    assert again.holds(PurePosixPath("b.jpg"))
    assert not again.holds(PurePosixPath("a.jpg"))
    with again as files:
        files.write(place(make_frame, "a.jpg", 0), found)
    assert written(tmp_path) == ["a.jpg", "b.jpg"]


class Indexes(Places):
    """Puts the index of each image behind its place."""

    def assemble(self, records: Iterable[dict[str, Any]], file: BinaryIO) -> None:
        file.write(json.dumps([f"{record['place']} {record['index']}" for record in records]).encode())


def test_no_two_images_of_a_run_have_one_index(tmp_path: Path, make_frame: MakeFrame, found: Instances) -> None:
    """Nor do those that came while the run watched, went since, or were put between the others before it went on."""
    with DatasetFiles(OutputDirectory(tmp_path), [Indexes()], indexes={"a.jpg": 0, "c.jpg": 1}) as files:
        for index, name in enumerate(("a.jpg", "c.jpg", "came.jpg", "gone.jpg", "c.jpg", "came.jpg")):
            files.write(place(make_frame, name, index % 2), found)
    assert written(tmp_path) == ["a.jpg 0", "c.jpg 1", "came.jpg 2", "gone.jpg 3"]
    order = {"a.jpg": 0, "b.jpg": 1, "c.jpg": 2, "came.jpg": 3}
    with DatasetFiles(OutputDirectory(tmp_path), [Indexes()], keep=True, indexes=order) as files:
        files.write(place(make_frame, "b.jpg", 0), found)
        files.write(place(make_frame, "new.jpg", 0), found)
    assert written(tmp_path) == ["a.jpg 0", "b.jpg 1", "c.jpg 2", "came.jpg 3", "gone.jpg 4", "new.jpg 5"]


def test_what_fails_leaves_the_last_whole_file(tmp_path: Path, make_frame: MakeFrame, found: Instances) -> None:
    with DatasetFiles(OutputDirectory(tmp_path), [Places()]) as files:
        files.write(place(make_frame, "a.jpg", 0), found)
    again = DatasetFiles(OutputDirectory(tmp_path), [Places(bad="b.jpg")], keep=True)
    with pytest.raises(OutputError, match="the disk is full"), again as files:
        files.write(place(make_frame, "b.jpg", 1), found)
    assert written(tmp_path) == ["a.jpg"]


def test_a_file_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "places.json").write_text("mine")
    with pytest.raises(OutputError, match=r"places\.json exists"):
        DatasetFiles(OutputDirectory(tmp_path), [Places()]).check()


def test_it_is_made_anew_now_and_then_for_a_small_share_of_the_time(
    tmp_path: Path, make_frame: MakeFrame, found: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    format_ = Places()
    with DatasetFiles(OutputDirectory(tmp_path), [format_]) as files:
        for index in range(100):
            now[0] += 1
            files.write(place(make_frame, f"{index}.jpg", index), found)
    assert 100 / module.FIRST_SECONDS - 2 <= format_.times <= 100 / module.FIRST_SECONDS + 2


def test_a_record_that_does_not_fit_is_told_by_its_name_and_the_others_stay(
    tmp_path: Path, make_frame: MakeFrame, found: Instances, little_room: LittleRoom
) -> None:
    def fill() -> None:
        with DatasetFiles(OutputDirectory(tmp_path), [Places()]) as files, little_room(4000):
            for index in range(1000):
                files.write(place(make_frame, f"{index}.jpg", index), found)

    with pytest.raises(OutputError, match=r"\.mrcnn-cv-records\.jsonl cannot be written"):
        fill()
    done = DatasetFiles(OutputDirectory(tmp_path), [Places()], keep=True)
    with done as files:
        files.write(place(make_frame, "last.jpg", 1000), found)
    names = written(tmp_path)
    assert 1 < len(names) < 1000
    assert names == [*(f"{index}.jpg" for index in range(len(names) - 1)), "last.jpg"]


def test_the_records_of_a_folder_belong_to_one_run_at_a_time(
    tmp_path: Path, make_frame: MakeFrame, found: Instances
) -> None:
    second = DatasetFiles(OutputDirectory(tmp_path), [Places()])
    with DatasetFiles(OutputDirectory(tmp_path), [Places()]) as first:
        first.write(place(make_frame, "a.jpg", 0), found)
        for begin in (second.check, second.__enter__):
            with pytest.raises(UsageError, match="another run is at work"):
                begin()
        first.write(place(make_frame, "b.jpg", 1), found)
    assert written(tmp_path) == ["a.jpg", "b.jpg"]
    with second:
        assert written(tmp_path) == []
    assert not list(tmp_path.glob("*.lock"))
