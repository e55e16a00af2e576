"""safetensors: types, and headers that nobody honest writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.load import read_checkpoint
from tests.support.checkpoints import assert_same, safetensors_of, write_safetensors

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)
ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_checkpoint(CandidateFile(path))
    text = str(caught.value)
    assert text.startswith(f"{path} ")
    assert ": " in text or ", so it " in text
    return text


def with_entry(path: Path, entry: object) -> Path:
    return safetensors_of(path, json.dumps({"a.weight": entry}).encode(), VALUES.tobytes())


def test_what_the_file_says_beside_its_weights(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "a", {"a": VALUES}, {"format": "pt", "classes": "cup,cat"})
    assert read_checkpoint(CandidateFile(path)).metadata.values == {"format": "pt", "classes": "cup,cat"}


@pytest.mark.parametrize("code", ["F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"])
def test_types(code: str, tmp_path: Path) -> None:
    letter, size = ("b", 1) if code == "BOOL" else (code[0].lower(), int(code[1:]) // 8)
    saved = np.array([0, 1, 5]).astype(f"{letter}{size}")
    entry = {"dtype": code, "shape": [3], "data_offsets": [0, 3 * size]}
    path = safetensors_of(tmp_path / "a", json.dumps({"a": entry}).encode(), saved.tobytes())
    assert_same(read_checkpoint(CandidateFile(path)).arrays["a"], saved)


def test_bfloat16_is_float32(tmp_path: Path) -> None:
    entry = {"dtype": "BF16", "shape": [6], "data_offsets": [0, 12]}
    bits = (VALUES.view(np.uint32) >> 16).astype(np.uint16)
    path = safetensors_of(tmp_path / "a", json.dumps({"a": entry}).encode(), bits.tobytes())
    found = read_checkpoint(CandidateFile(path)).arrays["a"]
    assert_same(found, VALUES.reshape(-1))
    assert not found.flags.writeable


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dtype": "F8_E4M3"}, "of the type 'F8_E4M3'"),
        ({"dtype": 5}, "of the type '5'"),
        ({"dtype": None}, "of the type 'None'"),
        ({"shape": [2, 4]}, "not where the header says"),
        ({"shape": [2, -3]}, "shape"),
        ({"shape": [2, 3.0]}, "shape"),
        ({"shape": "23"}, "shape"),
        ({"shape": None}, "shape"),
        ({"shape": [1 << 62, 0]}, "1,536 MiB"),
        ({"shape": [1] * 17}, "17 axes"),
        ({"data_offsets": [0, 23]}, "not where the header says"),
        ({"data_offsets": [4, 28]}, "not where the header says"),
        ({"data_offsets": [-24, 0]}, "not where the header says"),
        ({"data_offsets": [24, 0]}, "not where the header says"),
        ({"data_offsets": [0]}, "without a place"),
        ({"data_offsets": [0, True]}, "without a place"),
        ({"data_offsets": None}, "without a place"),
    ],
)
def test_entries_that_contradict_the_file(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    text = refused(with_entry(tmp_path / "a", {**ENTRY, **change}))
    assert told in text
    assert "'a.weight'" in text


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"{}", "no weights"),
        (b'{"__metadata__": {"a": "b"}}', "no weights"),
        (b'{"a": 5}', "without a type"),
        (b'{"a": ', "no JSON"),
        (b'{"a": NaN}', "damaged"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "no JSON"),
        (b'{"a": ' + b"9" * 30 + b"}", "no JSON"),
        (b'{"a": {}, "a": {}}', "no JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"}", "no JSON"),
        (b'{"\xff": {}}', "no JSON"),
        (b'{"": {}}', "the name"),
        (b'{"\\u001b[31m": {}}', "the name"),
        (b'{"' + b"x" * 5_000_000 + b'": {}}', "header of more than 4,194,304 bytes"),
    ],
    ids=range(13),
)
def test_headers_that_nobody_honest_writes(header: bytes, told: str, tmp_path: Path) -> None:
    assert told in refused(safetensors_of(tmp_path / "a", header, b""))
