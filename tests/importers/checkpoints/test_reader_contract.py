"""What every reader of weights files promises: one suite over all rows of the registry."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.base import CheckpointReader
from mrcnn_cv.importers.checkpoints.load import is_checkpoint, read_checkpoint
from mrcnn_cv.importers.checkpoints.registry import CHECKPOINT_READERS
from tests.conftest import ROOT
from tests.support.checkpoints import WRITERS, assert_same, sample_arrays

NOT_WEIGHTS = {
    "empty": b"",
    "a byte": b"\x80",
    "noise": bytes(range(128, 256)) * 9,
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "text": b"weights",
    "json": b'{"model": {}}',
    "photo": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "graph": b"\x0a\x12\x0a\x05input\x12\x0bPlaceholder",
    "onnx": b"\x08\x07\x12\x07pytorch",
    "keras": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "archive of nothing": b"PK\x05\x06" + bytes(18),
    "packed": b"\x1f\x8b\x08\x00" + bytes(100),
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file for each reader."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: write(folder / name, sample_arrays()) for name, write in WRITERS.items()}


def reader(name: str) -> CheckpointReader:
    made: CheckpointReader = CHECKPOINT_READERS.create(name)
    return made


def test_every_reader_has_a_sample_here() -> None:
    assert set(WRITERS) == set(CHECKPOINT_READERS)


@pytest.mark.parametrize("name", CHECKPOINT_READERS)
def test_it_alone_detects_its_files_whatever_they_are_called(name: str, samples: dict[str, Path]) -> None:
    file = CandidateFile(samples[name])
    assert [each for each in CHECKPOINT_READERS if reader(each).detect(file)] == [name]
    assert is_checkpoint(file)
    assert read_checkpoint(file).kind == name


@pytest.mark.parametrize("name", CHECKPOINT_READERS)
def test_arrays_are_those_that_were_saved(name: str, samples: dict[str, Path]) -> None:
    found, saved = read_checkpoint(CandidateFile(samples[name])).arrays, sample_arrays()
    assert list(found) == list(saved)
    for key, array in saved.items():
        assert found[key].dtype == array.dtype
        assert_same(found[key], array)


@pytest.mark.parametrize("name", CHECKPOINT_READERS)
def test_arrays_are_views_of_the_mapped_file_and_nobody_can_write_into_them(
    name: str, samples: dict[str, Path]
) -> None:
    checkpoint = read_checkpoint(CandidateFile(samples[name]))
    assert checkpoint.file.is_mapped
    for key, array in checkpoint.arrays.items():
        assert checkpoint.file.holds(array) or array.size == 0, key
        assert not array.flags.writeable


@pytest.mark.parametrize("content", NOT_WEIGHTS.values(), ids=NOT_WEIGHTS)
def test_what_is_no_weights_file_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    file = CandidateFile(path)
    assert [name for name in CHECKPOINT_READERS if reader(name).detect(file)] == []
    assert not is_checkpoint(file)
    with pytest.raises(ModelFileError, match=rf"^{path} .+: .+") as refused:
        read_checkpoint(file)
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("name", CHECKPOINT_READERS)
def test_a_file_cut_short_is_refused_in_a_sentence(name: str, samples: dict[str, Path], tmp_path: Path) -> None:
    data, path = samples[name].read_bytes(), tmp_path / "cut"
    for size in {*range(1, len(data), len(data) // 40), len(data) - 1}:
        path.write_bytes(data[:size])
        with pytest.raises(ModelFileError) as refused:
            read_checkpoint(CandidateFile(path))
        assert str(refused.value).startswith(f"{path} ")
        assert ": " in str(refused.value)


@pytest.mark.parametrize("name", CHECKPOINT_READERS)
def test_a_file_of_any_size_is_looked_at_in_no_time(name: str, samples: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(samples[name].read_bytes()[:100])
    os.truncate(path, 1 << 36)
    start = time.process_time()
    with pytest.raises(ModelFileError, match=r"4,294,967,296|cut short|again"):
        read_checkpoint(CandidateFile(path))
    assert time.process_time() - start < 1


def test_large_weights_are_mapped_and_not_read(tmp_path: Path) -> None:
    path = WRITERS["safetensors"](tmp_path / "large", {"a": np.zeros(1, np.float32)})
    text = b'{"a":{"dtype":"F32","shape":[300000000],"data_offsets":[0,1200000000]}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + 1_200_000_000)
    start = time.process_time()
    checkpoint = read_checkpoint(CandidateFile(path))
    assert time.process_time() - start < 0.2
    assert checkpoint.arrays["a"].shape == (300_000_000,)


def test_nothing_is_imported_run_or_written(samples: dict[str, Path]) -> None:
    """Python's own account of what it was made to do, by every reader twice: the first time brings our own modules."""
    code = """
import sys
from pathlib import Path
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.load import read_checkpoint
seen, watching = [], False
def watch(event, arguments):
    if watching and (event != "open" or arguments[1] not in (None, "r", "rb")):
        seen.append(event)
class Finder:
    def find_spec(self, name, path=None, target=None):
        seen.append(f"{name} is looked for") if watching or "nobody" in name else None
sys.addaudithook(watch)
sys.meta_path.insert(0, Finder())
for watching in (False, True):
    for path in sys.argv[1:]:
        read_checkpoint(CandidateFile(Path(path)))
print(sorted(set(seen)), sorted({"torch", "yaml"} & set(sys.modules)))
"""
    paths = [str(path) for path in samples.values()]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "['mmap.__new__'] []"
