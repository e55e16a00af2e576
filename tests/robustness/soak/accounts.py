"""Whether what two long runs left is whole: every file accounted for, every output read back."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.robustness.soak.feeder import Fate


def check_folder_run(out: Path, expected: Mapping[str, Fate]) -> tuple[dict[str, int], list[str]]:
    """(counts, what is wrong) of the run that watched a folder."""
    wrong: list[str] = []
    told = told_of(out)
    for place, fate in expected.items():
        status = told.get(place)
        fits = {"either": status is not None, "none": status is None, "any": True}.get(fate, status == fate)
        if not fits:
            wrong.append(f"{place}: expected {fate}, the manifest says {status}")
    wrong += [f"{place}: nobody put it there" for place in told.keys() - expected.keys()]
    done = {place for place, status in told.items() if status == "done"}
    failed = told.keys() - done
    wrong += _differences("failures.csv", failed, _failures(out))
    data = json.loads((out / "annotations.json").read_bytes())
    wrong += _differences("annotations.json", done, [image["file_name"] for image in data["images"]])
    images = {image["id"] for image in data["images"]}
    if any(annotation["image_id"] not in images for annotation in data["annotations"]):
        wrong.append("annotations.json: an annotation of no image")
    records = _lines(out / "records.jsonl")
    wrong += _differences(
        "records.jsonl", done, [Path(record["source"]).relative_to("in").as_posix() for record in records]
    )
    count = sum(len(record["instances"]) for record in records)
    with (out / "instances.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = sum(1 for _ in csv.DictReader(file))
    if not count == rows == len(data["annotations"]):
        wrong.append(f"instances: {count} in records, {rows} in the table, {len(data['annotations'])} in COCO")
    outputs = {str(path) for entry in _lines(out / "run.jsonl") for path, _ in entry.get("files", ())}
    for path in outputs:
        if not _readable(out / path):
            wrong.append(f"{path}: an overlay that cannot be read")
    counts = {"put in": len(expected), "told of": len(told), "done": len(done), "failed": len(failed)}
    return {**counts, "overlays read back": len(outputs), "instances": count}, wrong


def check_live_run(out: Path, records: Path) -> tuple[dict[str, int], list[str]]:
    """(counts, what is wrong) of the live run: its one recording and its records."""
    wrong: list[str] = []
    told = _lines(records)
    frames = [record["frame"] for record in told]
    if frames != sorted(set(frames)):
        wrong.append("live records: frames out of order")
    times = [record["time"] for record in told]
    if times != sorted(times):
        wrong.append("live records: times go back")
    videos = [path for path in out.iterdir() if path.suffix == ".mp4"]
    leftovers = [path.name for path in out.iterdir() if path.is_dir() or path.name.endswith(".part")]
    wrong += [f"live outputs: {name} is left over" for name in leftovers]
    count = 0
    if len(videos) == 1:
        video = cv2.VideoCapture(str(videos[0]))
        while video.grab():
            count += 1
        if count != len(told):
            wrong.append(f"{count} frames in the recording, {len(told)} records")
    else:
        wrong.append(f"{len(videos)} recordings")
    ids = Counter(found["track_id"] for record in told for found in record["instances"])
    return {"frames": len(told), "frames read back": count, "followed instances": len(ids)}, wrong


def told_of(out: Path) -> dict[str, str]:
    """What the manifest says of every image, the last time that it says anything: "done" or "failed"."""
    return {entry["place"]: entry["status"] for entry in _lines(out / "run.jsonl") if entry["kind"] == "picture"}


def _lines(path: Path) -> list[dict[str, Any]]:
    # What stands behind the last end of a line is being written.
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line]


def _failures(out: Path) -> list[str]:
    path = out / "failures.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["place"] for row in csv.DictReader(file)]


def _readable(path: Path) -> bool:
    # Read by Python: not every OpenCV takes names outside ASCII.
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) is not None


def _differences(what: str, expected: set[str], found: list[str]) -> list[str]:
    twice = [name for name, count in Counter(found).items() if count > 1]
    return [
        *(f"{what}: {name} is missing" for name in expected - set(found)),
        *(f"{what}: {name} should not be there" for name in set(found) - expected),
        *(f"{what}: {name} is there twice" for name in twice),
    ]
