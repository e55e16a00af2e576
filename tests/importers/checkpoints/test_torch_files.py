"""torch's files, both forms: types, strides, views, what trainers add, and what contradicts itself."""

from __future__ import annotations

import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints import limits
from mrcnn_cv.importers.checkpoints.base import ModelCheckpoint
from mrcnn_cv.importers.checkpoints.load import read_checkpoint
from tests.support.checkpoints import Call, Global, Persistent, TorchFile, assert_same, ordered

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 5
ONE = np.ones(2, np.float32)


@pytest.fixture(params=["zip", "stream"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[TorchFile, object], Path]:
    """Writes a file in one of the forms."""
    return lambda file, root: getattr(file, request.param)(tmp_path / "model.pth", root)


def read(path: Path) -> ModelCheckpoint:
    return read_checkpoint(CandidateFile(path))


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path} ")
    assert ": " in text or ", so it " in text
    return text


Saved = Callable[[TorchFile, object], Path]


@pytest.mark.parametrize("code", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "b1"])
def test_types(code: str, saved: Saved) -> None:
    file, array = TorchFile(), np.array([0, 1, 1, 5]).astype(code)
    found = read(saved(file, {"a": file.tensor(array)}))
    assert_same(found.arrays["a"], array)
    assert found.file.holds(found.arrays["a"])


def test_bfloat16_is_float32(saved: Saved) -> None:
    file, array = TorchFile(), np.array([[1.0, -2.5], [float("inf"), 3e38]], np.float32)
    bits = (array.view(np.uint32) >> 16).astype(np.uint16)
    storage = file.storage(bits.tobytes(), "bf16")
    root = {"a": file.view(storage, 0, (2, 2), (2, 1)), "turned": file.view(storage, 0, (2, 2), (1, 2))}
    found = read(saved(file, root)).arrays
    rounded = (bits.astype(np.uint32) << 16).view(np.float32)
    assert_same(found["a"], rounded)
    assert_same(found["turned"], rounded.T)
    assert found["a"].dtype == np.float32
    assert not found["a"].flags.writeable


def test_bfloat16_over_and_over_is_too_much(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    file = TorchFile()
    storage = file.storage(bytes(2000), "bf16")
    path = saved(file, {str(number): file.view(storage, 0, (1000,), (1,)) for number in range(3)})
    assert len(read(path).arrays) == 3
    monkeypatch.setattr(limits, "MAX_WEIGHT_BYTES", 7000)
    assert "unpacks to more than" in refused(path)


def test_tensors_are_views_of_a_storage_with_strides_of_their_own(saved: Saved) -> None:
    file = TorchFile()
    storage = file.storage(VALUES.tobytes(), "f4")
    root = {
        "whole": file.view(storage, 0, (2, 3, 4), (12, 4, 1)),
        "part": file.view(storage, 8, (3,), (5,)),
        "turned": file.view(storage, 0, (4, 3, 2), (1, 4, 12)),
        "one of many": file.view(storage, 23, (1, 1), (1 << 62, 0)),
        "repeated": file.view(storage, 2, (3,), (0,)),
        "number": file.view(storage, 7, (), ()),
        "nothing": file.view(storage, 99, (0, 3), (3, 1)),
    }
    found = read(saved(file, root))
    expected = {
        "whole": VALUES,
        "part": VALUES.reshape(-1)[[8, 13, 18]],
        "turned": VALUES.T,
        "one of many": VALUES[1:, 2:, 3],
        "repeated": np.full(3, VALUES[0, 0, 2]),
        "number": VALUES[0, 1, 3],
        "nothing": np.zeros((0, 3)),
    }
    for name, array in expected.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].shape == np.shape(array)
        assert found.file.holds(found.arrays[name]) or name == "nothing"


@pytest.mark.parametrize(("entry", "order"), [(b"big", ">"), (b"little", "<"), (None, "<")])
def test_the_order_of_bytes_is_what_the_archive_says(entry: bytes | None, order: Any, tmp_path: Path) -> None:
    file = TorchFile()
    root = {"a": file.tensor(VALUES, order=order), "b": file.tensor(ONE.astype(np.int64), order=order)}
    found = read(file.zip(tmp_path / "a.pth", root, {} if entry is None else {"byteorder": entry}))
    np.testing.assert_array_equal(found.arrays["a"], VALUES)
    np.testing.assert_array_equal(found.arrays["b"], [1, 1])
    assert found.file.holds(found.arrays["a"])


def test_another_order_of_bytes_is_refused(tmp_path: Path) -> None:
    file = TorchFile()
    assert "order" in refused(file.zip(tmp_path / "a.pth", {"a": file.tensor(ONE)}, {"byteorder": b"middle"}))


def test_old_files_have_views_of_storages(tmp_path: Path) -> None:
    file = TorchFile()
    view = file.storage(VALUES.tobytes(), "f4", view=("7", 4, 8))
    found = read(file.stream(tmp_path / "a.pth", {"a": file.view(view, 1, (3,), (2,))}))
    np.testing.assert_array_equal(found.arrays["a"], VALUES.reshape(-1)[[5, 7, 9]])
    file = TorchFile()
    beyond = file.storage(VALUES.tobytes(), "f4", view=("7", 20, 8))
    assert "beyond its storage" in refused(file.stream(tmp_path / "b.pth", {"a": file.view(beyond, 0, (1,), (1,))}))


def test_ways_of_saying_a_tensor(tmp_path: Path) -> None:
    file = TorchFile()
    plain = file.tensor(VALUES)
    bits = VALUES.astype(np.uint16)
    untyped = Persistent(("storage", Global("torch.storage UntypedStorage"), "bits", "cpu", bits.nbytes))
    file.storages["bits"] = ("u1", bits.tobytes())
    v3 = (untyped, 2, (3,), (1,), False, None, Global("torch uint16"))
    root = {
        "parameter": Call(Global("torch._utils _rebuild_parameter"), (plain, True, None)),
        "with state": Call(Global("torch._utils _rebuild_parameter_with_state"), (plain, True, None, {})),
        "subclass": Call(
            Global("torch._tensor _rebuild_from_type_v2"),
            (plain.called, Global("some.module Tensor"), plain.arguments, {"x": 1}),
        ),
        "first form": Call(Global("torch._utils _rebuild_tensor"), plain.arguments[:4]),  # type: ignore[index]
        "third form": Call(Global("torch._utils _rebuild_tensor_v3"), v3),
    }
    found = read(file.zip(tmp_path / "a.pth", root)).arrays
    for name in ("parameter", "with state", "subclass", "first form"):
        np.testing.assert_array_equal(found[name], VALUES)
    assert_same(found["third form"], bits.reshape(-1)[2:5])


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        ((0, (25,), (1,)), "beyond its storage"),
        ((1, (2, 3, 4), (12, 4, 1)), "beyond its storage"),
        ((0, (2, 3, 4), (1 << 62, 1, 1)), "beyond its storage"),
        ((24, (1,), (1,)), "beyond its storage"),
        ((-1, (2,), (1,)), "beyond its storage"),
        ((1 << 70, (2,), (1,)), "beyond its storage"),
        ((None, (2,), (1,)), "strides are damaged"),
        ((0, (2,), (-1,)), "strides are damaged"),
        ((0, (2, 2), (1,)), "strides are damaged"),
        ((0, (2,), 5), "strides are damaged"),
        ((0, (2,), ("x",)), "strides are damaged"),
        ((0, (-2,), (1,)), "shape"),
        ((0, ("2",), (1,)), "shape"),
        ((0, 5, (1,)), "shape"),
        ((0, (1,) * 17, (1,) * 17), "17 axes"),
        ((0, (1 << 40,), (0,)), "1,536 MiB"),
        ((0, (0, 1 << 62), (1, 1)), "1,536 MiB"),
    ],
)
def test_tensors_that_contradict_their_storage(layout: tuple[Any, Any, Any], told: str, saved: Saved) -> None:
    file = TorchFile()
    storage = file.storage(VALUES.tobytes(), "f4")
    text = refused(saved(file, {"backbone.a": file.view(storage, *layout)}))
    assert told in text
    assert "'backbone.a'" in text


def test_a_storage_has_the_bytes_that_it_says(tmp_path: Path) -> None:
    file = TorchFile()
    root = {"a": file.view(file.storage(bytes(16), "f4", 5), 0, (5,), (1,))}
    assert "storage of 20 bytes has 16" in refused(file.zip(tmp_path / "a.pth", root))
    assert "storage of 20 bytes has 16" in refused(file.stream(tmp_path / "b.pth", root))
    del file.storages["0"]
    assert "'archive/data/0', are not in the archive" in refused(file.zip(tmp_path / "c.pth", root))
    assert "'0', are not in the file" in refused(file.stream(tmp_path / "d.pth", root))


def test_one_storage_over_and_over_is_too_much(saved: Saved) -> None:
    file = TorchFile()
    storage = file.storage(bytes(4), "f4")
    root = {str(number): file.view(storage, 0, (1 << 28,), (0,)) for number in range(2)}
    assert "weights of more than 1,536 MiB" in refused(saved(file, root))


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "net", "blobs"])
def test_weights_are_found_where_trainers_put_them(key: str, saved: Saved) -> None:
    file, other = TorchFile(), {"a": 1}
    thing = Call(Global("some.trainer State"), ("x",), {"y": 1})
    moving = {"state_dict": {"a": file.tensor(ONE * 9)}}
    root = {
        "optimizer": {"state": {0: {"momentum_buffer": file.tensor(VALUES)}}, "hook": thing},
        **dict.fromkeys(("lr_scheduler", "scheduler", "param_schedulers", "message_hub", "args"), thing),
        "model_ema": moving,
        "ema": thing,
        key: ordered({"module.a": file.tensor(ONE), "module.b": file.tensor(VALUES)}),
        "epoch": 12,
        "meta": {"classes": ("cup", "cat"), "hook": thing, "rates": [0.5, thing], "colours": file.tensor(ONE)},
        "config": other,
    }
    found = read(saved(file, root))
    assert list(found.arrays) == ["a", "b"]
    np.testing.assert_array_equal(found.arrays["a"], ONE)
    assert found.metadata.values == {
        "epoch": 12,
        "meta": {"classes": ["cup", "cat"], "rates": [0.5, None], "colours": [1, 1]},
        "config": {"a": 1},
    }
    assert found.metadata.get("meta", "classes") == ["cup", "cat"]
    assert found.metadata.get("meta", "nothing") is None
    for place in (("args",), ("meta",), ("meta", "hook"), ("meta", "rates"), ("args", "lr")):
        with pytest.raises(ModelFileError, match=r"a pickled object \(some.trainer.State\) as its .*: save it"):
            found.metadata.get(*place)


def test_averages_are_taken_where_there_is_nothing_else(saved: Saved) -> None:
    file = TorchFile()
    found = read(saved(file, {"epoch": 1, "model_ema": {"state_dict": {"a": file.tensor(ONE)}}}))
    assert list(found.arrays) == ["a"]


def test_weights_behind_weights_are_found(saved: Saved) -> None:
    file = TorchFile()
    root = {"model": {"state_dict": {"_orig_mod.module.a": file.tensor(ONE)}, "step": 5}}
    found = read(saved(file, root))
    assert list(found.arrays) == ["a"]
    assert found.metadata.values == {"step": 5}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda file, thing: thing, r"a pickled object (some.net.Net), not weights"),
        (lambda file, thing: {"model": thing}, r"(some.net.Net) as its 'model'"),
        (lambda file, thing: {"model": {"a": file.tensor(ONE), "b": thing}}, "(some.net.Net) as its 'b'"),
        (lambda file, thing: {"model": {"a": thing}}, "(some.net.Net) as its 'model.a'"),
        (lambda file, thing: {"a": file.tensor(ONE), "b": thing}, "(some.net.Net) as its 'b'"),
        (lambda file, thing: file.tensor(ONE), "an array, not weights by name"),
        (lambda file, thing: [1, 2], "a list, not weights by name"),
        (lambda file, thing: {"epoch": 5, "optimizer": {}}, "no weights by name (epoch, optimizer)"),
        (lambda file, thing: {}, "no weights by name (nothing)"),
        (lambda file, thing: {"\x1b[31m": file.tensor(ONE)}, "a name"),
        (lambda file, thing: {"x" * 300: file.tensor(ONE)}, "a name"),
        (lambda file, thing: {"": file.tensor(ONE)}, "a name"),
    ],
)
def test_what_is_no_weights_is_refused_by_its_name(make: Callable[..., object], told: str, saved: Saved) -> None:
    file = TorchFile()
    text = refused(saved(file, make(file, Call(Global("some.net Net"), (), {"a": 1}))))
    assert told in text.replace("the name", "a name")


def test_types_of_storages_that_are_not_read(tmp_path: Path) -> None:
    file = TorchFile()
    kind = Global("torch ComplexFloatStorage")
    root = {"a": file.view(Persistent(("storage", kind, "0", "cpu", 2)), 0, (2,), (1,))}
    assert "(torch.ComplexFloatStorage)" in refused(file.zip(tmp_path / "a.pth", {"model": root}))
    sparse = Call(Global("torch._utils _rebuild_sparse_tensor"), (0, ()))
    assert "_rebuild_sparse_tensor" in refused(file.zip(tmp_path / "b.pth", {"model": {"a": sparse}}))


def test_a_stream_says_what_it_is(tmp_path: Path) -> None:
    file = TorchFile()
    path = file.stream(tmp_path / "a.pth", {"a": file.tensor(ONE)})
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x8a\x02\xe9\x03", b"\x8a\x02\xe9\x04", 1))
    assert "torch before 1.6, but is none" in refused(path)
    path.write_bytes(data.replace(struct.pack("<q", 2) + ONE.tobytes(), struct.pack("<q", 1 << 40) + ONE.tobytes()))
    assert "in the middle of its weights" in refused(path)


def test_the_form_before_04_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
        archive.addfile(tarfile.TarInfo("pickle"))
    assert "torch before 0.4" in refused(path)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    assert "is a .tar archive: unpack it" in refused(path)


@pytest.mark.parametrize("member", ["constants.pkl", "code/__torch__.py"])
def test_torchscript_is_refused_by_its_name(member: str, tmp_path: Path) -> None:
    file = TorchFile()
    assert "is TorchScript" in refused(file.zip(tmp_path / "a.pt", {"a": file.tensor(ONE)}, {member: b""}))


def test_any_folder_in_the_archive_will_do_and_compressed_ones_too(tmp_path: Path) -> None:
    file = TorchFile()
    path = file.zip(tmp_path / "a.pth", {"a": file.tensor(VALUES)}, top="model final")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as again:
        for member in archive.infolist():
            again.writestr(member.filename, archive.read(member))
    for name in ("a.pth", "b.pth"):
        np.testing.assert_array_equal(read(tmp_path / name).arrays["a"], VALUES)
