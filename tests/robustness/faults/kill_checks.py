"""What must hold of the outputs of runs that were killed: nothing is torn, nothing is lost, nothing is there twice."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet

from tests.support.videos import read_stamp, seen_by_opencv, times_of

Tree = dict[str, Any]
"""What files hold, by path: bytes, or what is left of them without times."""

_STATE = re.compile(r"(^|/)(run\.jsonl|summary\.json|stderr)$")
_HIDDEN = re.compile(r"(^|/)\.")
_RESIDUE = re.compile(r"\.tmp$|\.parts(/|$)|\.mrcnn-cv-records\.lock$|(^|/)\.[^/]+\.mrcnn-cv-run\.lock$")
"""What a run leaves only where it was killed. `.mrcnn-cv-run.lock` alone stays."""


def files(folder: Path, source: Path) -> list[str]:
    """Paths of the files in a folder that are none of its inputs."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return sorted(path.as_posix() for path in found if not (source / path).exists())


def tree(folder: Path, source: Path) -> Tree:
    """What a user sees of a folder, but for what tells of the run itself."""
    names = files(folder, source)
    return {name: content(folder / name) for name in names if not _STATE.search(name) and not _HIDDEN.search(name)}


def content(path: Path) -> Any:
    """What is in a file, without times and without what depends on where a run went on."""
    data = path.read_bytes()
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in data.splitlines()]
    if path.suffix == ".json":
        return _timeless(json.loads(data))
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if path.suffix == ".mp4":
        return [read_stamp(image) for image in seen_by_opencv(path)], [round(each, 2) for each in times_of(path)]
    return data


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        value.pop("timings_ms", None)
    return value


def without_ids(found: Tree) -> Tree:
    """Where images arrive while a run goes on, their numbers are those of their arrival."""
    return {name: _without_ids(name, value) for name, value in found.items()}


def _without_ids(name: str, value: Any) -> Any:
    value = copy.deepcopy(value)
    if name.endswith("/annotations.json"):
        names = {image["id"]: image.pop("file_name") for image in value["images"]}
        assert len(names) == len(set(names.values())) == len(value["images"])
        assert len({each["id"] for each in value["annotations"]}) == len(value["annotations"])
        value["images"] = sorted(names.values())
        value["annotations"] = sorted(
            str({**each, "id": None, "image_id": names[each["image_id"]]}) for each in value["annotations"]
        )
    elif name.endswith("/results.json"):
        value = len({each["image_id"] for each in value}), sorted(str({**each, "image_id": None}) for each in value)
    elif name.endswith("/instances.csv"):
        value = [{**each, "index": None} for each in csv.DictReader(io.StringIO(value.decode("utf-8")))]
    elif name.endswith(("/records.jsonl", "/instances.parquet")):
        value = [{**each, "index": None} for each in value]
    return value


def check_residue(folder: Path, source: Path) -> None:
    """Nothing is left that a run had half written."""
    left = [name for name in files(folder, source) if _RESIDUE.search(name)]
    assert not left, f"left over: {left}"
    empty = [path for path in folder.rglob("*.parts") if path.is_dir()]
    assert not empty, f"left over: {empty}"


def check_equal(found: Tree, expected: Tree) -> None:
    """Two trees are the same."""
    assert found.keys() == expected.keys(), (
        f"missing: {sorted(expected.keys() - found.keys())}, too many: {sorted(found.keys() - expected.keys())}"
    )
    different = [name for name in found if found[name] != expected[name]]
    assert not different, f"different: {different}: {_why(found[different[0]], expected[different[0]])}"


def _why(found: Any, expected: Any) -> str:
    if isinstance(found, list) and isinstance(expected, list):
        sources = [
            Counter(str(each.get("source")) for each in some if isinstance(each, dict)) for some in (found, expected)
        ]
        return (
            f"{len(found)} and {len(expected)} records, {sources[0] - sources[1]} more, {sources[1] - sources[0]} less"
        )
    return f"{str(found)[:200]} and {str(expected)[:200]}"


def check_whole(folder: Path, source: Path, appended: tuple[str, ...]) -> None:
    """Whatever a run was killed at, each file that has its name is whole.

    appended: files that a run writes line by line, of which the last line may be torn
    """
    for name in files(folder, source):
        if _STATE.search(name) or _HIDDEN.search(name) or name.endswith(".tmp"):
            continue
        data = (folder / name).read_bytes()
        if name in appended:
            data = data[: data.rfind(b"\n") + 1]
        try:
            _READ.get(Path(name).suffix, _read_any)(data, folder / name)
        except Exception as error:
            raise AssertionError(f"{name} is torn ({len(data)} bytes): {error!r}") from error


def _read_json(data: bytes, path: Path) -> None:
    json.loads(data)


def _read_lines(data: bytes, path: Path) -> None:
    assert not data or data.endswith(b"\n")
    for line in data.splitlines():
        json.loads(line)


def _read_table(data: bytes, path: Path) -> None:
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    assert rows
    assert {len(row) for row in rows} == {len(rows[0])}


def _read_xml(data: bytes, path: Path) -> None:
    ElementTree.fromstring(data)


def _read_image(data: bytes, path: Path) -> None:
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is not None
    if path.suffix == ".png":
        assert data.endswith(b"IEND\xaeB`\x82")
    else:
        assert data.endswith(b"\xff\xd9")


def _read_columns(data: bytes, path: Path) -> None:
    pyarrow.parquet.read_table(io.BytesIO(data))


def _read_video(data: bytes, path: Path) -> None:
    assert seen_by_opencv(path)


def _read_any(data: bytes, path: Path) -> None:
    pass


_READ: dict[str, Callable[[bytes, Path], None]] = {
    ".json": _read_json,
    ".jsonl": _read_lines,
    ".csv": _read_table,
    ".xml": _read_xml,
    ".png": _read_image,
    ".jpg": _read_image,
    ".parquet": _read_columns,
    ".mp4": _read_video,
}
