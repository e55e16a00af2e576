"""JSON records: what the schema and docs/json.md promise, in files and in pipes."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

import mrcnn_cv
from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.base import OutputSettings, SinkClosed
from mrcnn_cv.outputs.formats.json_files import JsonRecords
from mrcnn_cv.outputs.formats.json_stream import JsonLines, JsonLinesFile
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.json import dumps, to_bytes
from tests.conftest import ROOT
from tests.outputs.conftest import MakeFrame

PACKAGE = Path(mrcnn_cv.__path__[0])
SCHEMA = json.loads((PACKAGE / "schemas" / "record.schema.json").read_text(encoding="utf-8"))
DOCUMENT = ROOT / "docs" / "json.md"


def check(record: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(record)


def test_record_keeps_to_the_schema_and_holds_what_was_found(
    tmp_path: Path, make_frame: MakeFrame, found: Instances
) -> None:
    with JsonRecords(OutputDirectory(tmp_path), OutputSettings({}, "model.pb")) as sink:
        sink.write(make_frame("photo.jpg"), found)
    record = json.loads((tmp_path / "photo.jpg.json").read_text(encoding="utf-8"))
    check(record)
    assert record["source"] == "photo.jpg"
    assert record["frame"] is None
    assert (record["width"], record["height"]) == (60, 40)
    assert record["backend"] == {"requested": "auto", "used": "cpu", "device": "a processor"}
    assert [entry["label"] for entry in record["instances"]] == ["person", "犬"]
    assert record["instances"][0]["box"] == [3.5, 2.25, 30.0, 35.5]
    for index, entry in enumerate(record["instances"]):
        assert np.array_equal(coco.decode(entry["mask"]), found.full_mask(index))
        assert entry["area"] == coco.area(entry["mask"])


def test_record_without_masks_instances_or_model(found: Instances) -> None:
    found.mask_probabilities = None
    check(found.to_dict())
    nothing = Instances(
        boxes=np.zeros((0, 4), dtype=np.float32),
        scores=np.zeros(0, dtype=np.float32),
        class_ids=np.zeros(0, dtype=np.int32),
        labels=[],
        mask_probabilities=np.zeros((0, 15, 15), dtype=np.float32),
        image_size=(1, 1),
    )
    check(json.loads(to_bytes(nothing.to_dict())))


@pytest.mark.parametrize(
    ("place", "value"),
    [("extra", 1), ("width", 0), ("width", 2.5), ("source", 3), ("backend", {}), ("timings_ms", {"read": -1})],
)
def test_schema_refuses_what_is_no_record(found: Instances, place: str, value: object) -> None:
    record = found.to_dict()
    record[place] = value
    with pytest.raises(jsonschema.ValidationError):
        check(record)


def test_example_in_the_documentation_is_a_record() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 1
    record = json.loads(blocks[0])
    check(record)
    for entry in record["instances"]:
        assert coco.area(entry["mask"]) == entry["area"]
        assert entry["mask"]["size"] == [record["height"], record["width"]]
    for field in [*SCHEMA["properties"], *SCHEMA["$defs"]["instance"]["properties"]]:
        assert f"`{field}`" in text


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.lists(st.floats(-10, 40, width=32), min_size=4, max_size=4),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["corners", "centers"]),
)
def test_any_mask_decodes_to_itself(
    size: tuple[int, int], box: list[float], samples: int, seed: int, sampling: Any
) -> None:
    probabilities = np.random.default_rng(seed).random((1, samples, samples), dtype=np.float32)
    found = Instances(
        boxes=np.array([box], dtype=np.float32),
        scores=np.array([0.5], dtype=np.float32),
        class_ids=np.array([1], dtype=np.int32),
        labels=["x"],
        mask_probabilities=probabilities,
        image_size=size,
        mask_sampling=sampling,
    )
    record = json.loads(to_bytes(found.to_dict()))
    check(record)
    assert np.array_equal(coco.decode(record["instances"][0]["mask"]), found.full_mask(0))


def test_text_is_utf_8_and_one_line(make_frame: MakeFrame, found: Instances) -> None:
    found.source = "a\nb\u2028.jpg"
    stream = io.BytesIO()
    with JsonLines(stream) as sink:
        sink.write(make_frame("photo.jpg"), found)
        sink.write(make_frame("photo.jpg"), found)
    lines = stream.getvalue().split(b"\n")
    assert len(lines) == 3
    assert lines[2] == b""
    assert "犬".encode() in lines[0]
    assert json.loads(lines[1])["source"] == "a\nb\u2028.jpg"
    assert not stream.closed


@pytest.mark.skipif(sys.platform == "win32", reason="file names are Unicode there")
def test_file_name_that_is_not_utf_8_comes_back_as_it_was(found: Instances) -> None:
    found.source = os.fsdecode(b"caf\xe9.jpg")
    assert os.fsencode(json.loads(to_bytes(found.to_dict()).decode("utf-8"))["source"]) == b"caf\xe9.jpg"


def test_each_line_is_there_at_once(tmp_path: Path, make_frame: MakeFrame, found: Instances) -> None:
    with JsonLinesFile(tmp_path / "new" / "all.jsonl") as sink:
        for count in (1, 2, 3):
            sink.write(make_frame("photo.jpg"), found)
            lines = (tmp_path / "new" / "all.jsonl").read_text(encoding="utf-8").splitlines()
            assert len(lines) == count
    check(json.loads(lines[0]))


def write_lines(path: Path, frame: Frame, found: Instances, **options: Any) -> None:
    with JsonLinesFile(path, **options) as sink:
        sink.write(frame, found)


def test_lines_file_of_ours_is_replaced_and_the_users_is_not(
    tmp_path: Path, make_frame: MakeFrame, found: Instances
) -> None:
    path, frame = tmp_path / "all.jsonl", make_frame("photo.jpg")
    write_lines(path, frame, found)
    write_lines(path, frame, found)
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="allow overwriting"):
        write_lines(path, frame, found)
    with pytest.raises(OutputError, match="is an input"):
        write_lines(path, frame, found, overwrite=True, protected=[path])
    assert path.read_bytes() == b"precious"
    write_lines(path, frame, found, overwrite=True)
    check(json.loads(path.read_bytes()))


def test_lines_file_in_a_folder_that_is_a_file(tmp_path: Path, make_frame: MakeFrame, found: Instances) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="is a file"):
        write_lines(tmp_path / "file" / "all.jsonl", make_frame("photo.jpg"), found)


def test_lines_file_in_a_folder_that_may_not_be_looked_into(
    tmp_path: Path, make_frame: MakeFrame, found: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = Path.stat

    def deny(path: Path, **options: Any) -> os.stat_result:
        if path.name == "all.jsonl":
            raise PermissionError(errno.EACCES, "Permission denied")
        return looked(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        patch.setattr(Path, "stat", deny)
        with pytest.raises(OutputError, match=r"no permission .*: choose another file for the records"):
            JsonLinesFile(tmp_path / "all.jsonl").check()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk(make_frame: MakeFrame, found: Instances) -> None:
    with open("/dev/full", "wb") as stream, JsonLines(stream, "records.jsonl") as sink:
        with pytest.raises(OutputError, match=r"records\.jsonl cannot be written, the disk is full") as caught:
            sink.write(make_frame("photo.jpg"), found)
        assert caught.value.exit_code == 6


def test_reader_that_goes_away_closes_the_sink(make_frame: MakeFrame, found: Instances) -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as stream, JsonLines(stream) as sink:
        sink.write(make_frame("photo.jpg"), found)
        os.close(reading)
        with pytest.raises(SinkClosed):
            sink.write(make_frame("photo.jpg"), found)


def test_program_whose_reader_goes_away_ends_without_a_word() -> None:
    code = (
        "import sys, numpy as np\nfrom mrcnn_cv.structures.instances import Instances\n"
        "from mrcnn_cv.outputs.base import SinkClosed\nfrom mrcnn_cv.outputs.formats.json_stream import JsonLines\n"
        "none = np.zeros(0, np.float32)\n"
        "found = Instances(np.zeros((0, 4), np.float32), none, none.astype(np.int32), [], None, (1, 1))\n"
        "sink = JsonLines(sys.stdout.buffer)\n"
        "try:\n    while True:\n        sink.write(None, found)\nexcept SinkClosed:\n    pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def test_a_terminal_takes_nothing_in_a_record_for_a_command() -> None:
    name = "\x1b[31m\x9b2J\x7f\u202e\u2028\ud800é犬.jpg"
    text = dumps({"source": name})
    assert text.isprintable()
    assert "é犬.jpg" in text
    assert json.loads(text) == {"source": name}
