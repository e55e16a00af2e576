"""The records of a run on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mrcnn_cv.outputs.storage.record_log import RECORDS_NAME, RecordLog


def record(place: str, index: int, **more: Any) -> dict[str, Any]:
    return {"place": place, "index": index, **more}


def places(records: RecordLog) -> list[str]:
    return [found["place"] for found in records]


def test_records_come_back_in_the_order_of_their_pictures_the_last_of_each(tmp_path: Path) -> None:
    records = RecordLog(tmp_path)
    records.open()
    for place, index in (("b.jpg", 1), ("a.jpg", 0), ("c/犬\udce9.jpg", 2), ("b.jpg", 1)):
        records.add(record(place, index, number=len(records)))
    assert [(found["place"], found["number"]) for found in records] == [
        ("a.jpg", 1),
        ("b.jpg", 3),
        ("c/犬\udce9.jpg", 2),
    ]
    assert len(records) == 3


def test_a_killed_run_is_gone_on_with(tmp_path: Path) -> None:
    first = RecordLog(tmp_path)
    first.open()
    first.add(record("a.jpg", 0))
    first.add(record("b.jpg", 1))
    first.close()
    with (tmp_path / RECORDS_NAME).open("ab") as file:
        file.write(b'{"place": "c.jpg", "ind')
    second = RecordLog(tmp_path, keep=True)
    second.open()
    second.add(record("d.jpg", 3))
    assert places(second) == ["a.jpg", "b.jpg", "d.jpg"]
    second.reorder({"d.jpg": 0, "a.jpg": 1})
    assert places(second) == ["d.jpg", "a.jpg", "b.jpg"]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    first = RecordLog(tmp_path)
    first.open()
    first.add(record("a.jpg", 0))
    first.close()
    second = RecordLog(tmp_path)
    second.open()
    assert places(second) == []
