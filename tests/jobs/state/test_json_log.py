"""The log that state is kept in: it survives a line that was cut off, and lines that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mrcnn_cv.errors import OutputError
from mrcnn_cv.jobs.state.json_log import JsonLog


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    log = JsonLog(tmp_path / "new" / "log.jsonl")
    assert log.read() is None
    for number in range(3):
        log.append({"number": number, "name": "naïve\ud800"})
    entries = log.read()
    assert entries is not None
    assert [entry["number"] for entry in entries] == [0, 1, 2]
    assert log.path.read_bytes().count(b"\n") == 3
    log.clear()
    assert log.read() == []


@pytest.mark.parametrize("before", [b'{"number": 1', b"\xff\xfe", b"[1]", b"7\n", b"[" * 100_000, b"\n\n"])
def test_what_is_no_entry_costs_none(tmp_path: Path, before: bytes) -> None:
    log = JsonLog(tmp_path / "log.jsonl")
    log.path.write_bytes(b'{"number": 0}\n' + before)
    log.append({"number": 2})
    assert log.read() == [{"number": 0}, {"number": 2}]


def test_a_log_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    log = JsonLog(tmp_path / "log.jsonl")
    for act in (log.read, log.clear, lambda: log.append({})):
        with pytest.raises(OutputError, match=r"log\.jsonl cannot be"):
            act()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_a_sentence() -> None:
    with pytest.raises(OutputError, match="the disk is full"):
        JsonLog(Path("/dev/full")).append({"number": 0})
