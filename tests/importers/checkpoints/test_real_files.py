"""Files that torch, safetensors and numpy have written, under Python 2 and 3 (tests/data/checkpoints)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.base import ModelCheckpoint
from mrcnn_cv.importers.checkpoints.load import read_checkpoint
from mrcnn_cv.importers.checkpoints.plain_yaml import read_plain_yaml
from tests.support.checkpoints import assert_same

DATA = Path(__file__).parents[2] / "data" / "checkpoints"

VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5) / 8 - 1
BIAS = np.array([0.5, -2, 8])
OF_TORCH = {
    "weight": VALUES,
    "bias": BIAS,
    "turned": VALUES.transpose(2, 0, 1),
    "part": VALUES.reshape(-1)[10:20],
    "float16": VALUES[0].astype(np.float16),
    "brain16": VALUES[0],
    "num_batches_tracked": np.array(7, np.int64),
    "mask": np.array([True, False]),
}
OF_NUMPY = {
    "a.weight": VALUES,
    "a.fortran": VALUES[0],
    "a.turned": VALUES.transpose(2, 0, 1),
    "a.bias": BIAS,
    "a.half": VALUES[0].astype(np.float16),
    "a.count": np.array(7, np.int64),
}
OF_PYTHON_2 = {
    "conv1_w": VALUES,
    "conv1_b": BIAS,
    "conv1_w_momentum": VALUES[0],
    "lr": np.array(0.125, np.float32),
    "scalar": np.array(7, np.int64),
}


def read(name: str) -> ModelCheckpoint:
    return read_checkpoint(CandidateFile(DATA / name))


def check(checkpoint: ModelCheckpoint, saved: dict[str, Any]) -> None:
    assert set(checkpoint.arrays) == set(saved)
    for name, array in saved.items():
        assert_same(checkpoint.arrays[name], array)


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_stream.pth"])
def test_torch_with_what_its_training_adds(name: str) -> None:
    checkpoint = read(name)
    check(checkpoint, OF_TORCH)
    # "part" and "turned" are views of one storage, and of the file.
    views = {key for key, array in checkpoint.arrays.items() if checkpoint.file.holds(array)}
    assert views == {*OF_TORCH} - {"brain16"}
    assert checkpoint.metadata.values == {"epoch": 12, "classes": ["cup", "cat"]}
    assert checkpoint.metadata.unread == {("args",): "a pickled object (argparse.Namespace)"}


def test_safetensors() -> None:
    checkpoint = read("library.safetensors")
    check(checkpoint, OF_TORCH)
    assert checkpoint.metadata.values == {"format": "pt"}


@pytest.mark.parametrize("writer", ["numpy1", "numpy2"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_numpy(writer: str, protocol: int) -> None:
    checkpoint = read(f"{writer}_protocol{protocol}.pkl")
    check(checkpoint, OF_NUMPY)
    # Python 3 writes bytes as texts of protocol 2, in which they do not lie as they are.
    assert all(checkpoint.file.holds(array) for array in checkpoint.arrays.values()) == (protocol == 5)
    assert checkpoint.metadata.values == {"__author__": "somebody", "matching_heuristics": True, "rate": 0.125}


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_numpy_under_python_2(protocol: int) -> None:
    checkpoint = read(f"python2_protocol{protocol}.pkl")
    check(checkpoint, OF_PYTHON_2)
    assert all(checkpoint.file.holds(array) for array in checkpoint.arrays.values()) == (protocol > 0)
    assert checkpoint.metadata.get("order") == {"a": 1, "b": [2, 3]}
    config = read_plain_yaml(str(checkpoint.metadata.get("cfg")))
    assert config == {"BBOX_XFORM_CLIP": pytest.approx(np.log(1000 / 16)), "NUM_GPUS": 8}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("torch_module.pth", r"a pickled object \(torch.nn.modules.linear.Linear\), .*: .*model.state_dict"),
        ("torch_module_inside.pth", r"\(torch.nn.modules.linear.Linear\) as its 'model', .*: .*model.state_dict"),
        ("torchscript.pt", "is TorchScript, .*: .*model.state_dict"),
    ],
)
def test_programs_are_refused_by_name_and_with_what_to_do(name: str, told: str) -> None:
    with pytest.raises(ModelFileError, match=told):
        read(name)
