"""A recording that is killed, as a part of `random_kills.py`."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from tests.inputs.video.mjpeg import MjpegServer, number_of
from tests.robustness.faults.kill_checks import check_residue, check_whole
from tests.robustness.faults.kill_inputs import RECORDS, UNPAINTED, Inputs
from tests.support.videos import seen_by_opencv

FORMATS = ("overlay", "overlay,json,frames", "overlay,coco,csv", "overlay,jsonl,masks")


def kill_live(inputs: Inputs, source: random.Random, folder: Path, counts: Counter[str]) -> str:
    """Recordings of a camera on the network, one after the other in the same folder; what was run."""
    formats = source.choice(FORMATS)
    arguments = ["-o", "out", "--save", formats, "--json", RECORDS, "--no-drop", "--overwrite", *UNPAINTED]
    known: dict[str, bytes] = {}
    was_killed = False
    for _ in range(source.randint(1, 3)):
        number = source.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        ends_at = (source.randint(1, 150), number) if source.random() < 0.6 else None
        with MjpegServer([(100_000, "close")], size=(64, 48), fps=40) as server:
            process = inputs.start(folder, server.url(), *arguments, ends_at=ends_at)
            end = time.monotonic() + source.uniform(0.5, 2.5)
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
            # Twice would end it at once.
            process.send_signal(number if ends_at is None else signal.SIGKILL)
            code = process.wait()
        counts[f"live {number.name}"] += 1
        said = (folder / "stderr").read_text("utf-8", "replace")[-2000:]
        # A signal may come before the program listens for it.
        expected = (
            -number,
            -9 if ends_at else -number,
            {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number],
        )
        assert code in expected, f"{code}: {said}"
        assert "Traceback" not in said, said
        check_whole(folder, inputs.source, (RECORDS,))
        _check_recording(folder, known, is_killed=code < 0, was_killed=was_killed)
        was_killed = was_killed or code < 0
        if not was_killed:
            check_residue(folder, inputs.source)
        for path in (folder / "out").rglob("*.mp4") if (folder / "out").exists() else ():
            known[str(path)] = path.read_bytes()
    return " ".join(arguments)


def _check_recording(folder: Path, known: dict[str, bytes], *, is_killed: bool, was_killed: bool) -> None:
    """Frames are there once each and in order, and earlier recordings as they were.

    was_killed: an earlier run was, whose records are still there where this one ended before it began.
    """
    for name, data in known.items():
        assert Path(name).read_bytes() == data, f"{name} was changed by a later recording"
    records = _whole_records(folder / RECORDS)
    frames = [record["frame"] for record in records]
    assert frames == list(range(frames[0] if frames else 0, (frames[0] if frames else 0) + len(frames))), frames
    new = [path for path in sorted((folder / "out").rglob("*.mp4")) if str(path) not in known]
    assert is_killed or len(new) <= 1, new
    seen = [number_of(image) for path in new for image in seen_by_opencv(path)]
    assert all(later == (earlier + 1) % 25 for earlier, later in pairwise(seen)), seen
    assert len(seen) <= len(frames) + 1, (len(seen), len(frames))
    if not is_killed and (new or not was_killed):
        assert len(seen) == len(frames), (len(seen), len(frames))


def _whole_records(path: Path) -> list[dict[str, int]]:
    data = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
