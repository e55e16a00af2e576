"""What an earlier run left in an output folder: run.jsonl, checkpoints of videos, records, the list of outputs."""

from __future__ import annotations

import json
import random
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.jobs.state.batch_state import RunState
from mrcnn_cv.jobs.state.run_metadata import check_same
from mrcnn_cv.jobs.state.video_checkpoints import VideoCheckpoints
from mrcnn_cv.jobs.video.one_video import _is_there
from mrcnn_cv.outputs.base import OutputSettings
from mrcnn_cv.outputs.registry import FORMATS, make_datasets
from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures import masks
from tests.robustness.fuzz.file_edits import NAMES, edited_bytes, edited_text, encoded
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {2, 6}

KINDS = ("run.jsonl", ".mrcnn-cv-videos.jsonl", ".mrcnn-cv-records.jsonl", ".mrcnn-cv-outputs.jsonl")
"""They take turns."""

_METADATA = {"sources": ["photos"], "options": {"score": 0.5, "save": ["json"]}, "model": {"name": "demo", "size": 12}}
_PLACES = ("a.jpg", "b/c.jpg", "d.jpg")
_ODD: tuple[Any, ...] = (
    *(-1, 0, 1, 2**31, 2**53, 2**64, 10**400, 0.5, 1e308, float("nan"), float("inf"), None, True, "", "0", "x" * 1000),
    *([], {}, [[]], [None], {"a": 1}, [["../../etc/passwd", 1]], [["/etc/passwd", 1]], [["a", "b", "c"]], ["ab"]),
)


def case(number: int, seed: int, folder: Path) -> Path:
    """One output folder in which one of these files was changed; the path is that file's."""
    kind = KINDS[number % len(KINDS)]
    chance = random.Random(f"{seed}/{number}")
    lines = [json.dumps(each) for each in _changed(_entries(kind), chance)]
    text = "\n".join(lines) + "\n"
    what = chance.randrange(10)
    if what <= 1:
        data = edited_bytes(text.encode(), chance)
    elif what == 2:
        data = encoded(edited_text(text, chance))
    elif what == 3:
        deep = chance.choice((50, 2000, 100_000))
        data = text.encode() + chance.choice((b"[" * deep, b'{"a":' * deep, b"\0" * deep, b"\n" * deep)) + b"\n"
    else:
        data = text.encode()
    for place in _PLACES:
        output = folder / f"{place}.json"
        output.parent.mkdir(exist_ok=True)
        output.write_bytes(b"{}")
    path = folder / kind
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """As --resume does, as far as it goes without a model."""
    folder = OutputDirectory(path.parent)
    settings = OutputSettings({1: "cup"}, "model")
    if path.name == ".mrcnn-cv-videos.jsonl":
        return _videos(path.parent)
    aggregates = None
    if path.name == ".mrcnn-cv-records.jsonl":
        made = make_datasets([name for name in FORMATS if name != "parquet"], settings)
        aggregates = DatasetFiles(
            folder, made, keep=True, indexes={place: index for index, place in enumerate(_PLACES)}
        )
    state = RunState(folder, resume=True)
    items = [ImageRef(place, PurePosixPath(place)) for place in _PLACES]
    left = state.to_do(items, lambda item: aggregates is None or aggregates.holds(item.output_path))
    assert len(left) + state.statistics.kept == len(items)
    state.open(_METADATA)
    if aggregates is not None:
        with aggregates:
            pass
    state.close(0)
    json.loads((path.parent / "summary.json").read_text())
    return "accepted"


def _videos(folder: Path) -> str:
    previous = VideoCheckpoints(folder, "clip.mp4").previous()
    if previous is None:
        return "refused: nothing left"
    check_same(previous.metadata, _METADATA, folder)
    for checkpoint in previous.checkpoints:
        assert 0 <= checkpoint.last.index < 1 << 31
        assert checkpoint.last.time == checkpoint.last.time
        _is_there(folder / "clip.mp4.parts", checkpoint.part)
        if checkpoint.part is not None:
            assert (folder / checkpoint.part.name).parent == folder
    return "accepted"


def _entries(kind: str) -> list[dict[str, Any]]:
    if kind == "run.jsonl":
        done = [
            {
                "kind": "picture",
                "place": place,
                "name": place,
                "status": "done",
                "instances": {"cup": 2},
                "files": [[f"{place}.json", 2]],
                "milliseconds": 12.5,
            }
            for place in _PLACES
        ]
        failed = {"kind": "picture", "place": "e.jpg", "name": "e.jpg", "status": "failed", "reason": "it is empty"}
        return [{"kind": "run", "version": 1, **_METADATA}, *done, failed, {"kind": "end", "exit_code": 5}]
    if kind == ".mrcnn-cv-videos.jsonl":
        checkpoints = [
            {
                "kind": "stretch",
                "place": "clip.mp4",
                "last": {"index": 9 * n, "time": 0.4 * n, "taken": 9 * n},
                "instances": {"cup": 3},
                "damaged": 0,
                "failed": 0,
                "last_id": 4,
                "origin": 0.0,
                "part": {"name": f"{n}.mp4", "size": 100, "start": 0},
            }
            for n in (1, 2, 3)
        ]
        end = {"kind": "end", "place": "clip.mp4", "complete": False}
        return [{"kind": "video", "place": "clip.mp4", "kept": 0, **_METADATA}, *checkpoints, end]
    if kind == ".mrcnn-cv-outputs.jsonl":
        return [{"name": f"{place}.json", "size": 2, "digest": "0" * 32} for place in _PLACES]
    backend = {"requested": "auto", "used": "cpu", "device": "x", "note": None}
    mask = masks.to_rle(masks.LocalMask(3, 2, np.ones((10, 20), np.bool_)), (40, 60))
    instance = {"class_id": 1, "label": "cup", "score": 0.9, "box": [2.0, 3.0, 20.0, 10.0], "area": 30, "mask": mask}
    common = {"width": 60, "height": 40, "frame": None, "backend": backend, "timings_ms": {}, "model": "m"}
    return [
        {"place": place, "index": index, "source": place, **common, "instances": [instance, {**instance, "mask": None}]}
        for index, place in enumerate(_PLACES)
    ]


def _changed(entries: list[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        node: Any = entries
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.8:
                node = node[key]
                continue
            if chance.random() < 0.2:
                del node[key]
            else:
                node[key] = chance.choice((*_ODD, *NAMES))
            break
    return [each for each in entries if isinstance(each, dict)]


if __name__ == "__main__":
    make_again(case, attempt)
