"""numpy's pickles and archives: types, layouts, names, and what is damaged."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints import limits
from mrcnn_cv.importers.checkpoints.base import ModelCheckpoint
from mrcnn_cv.importers.checkpoints.load import read_checkpoint
from mrcnn_cv.importers.checkpoints.readers import zip_directory
from tests.support.checkpoints import Call, Global, pickled

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 5
TYPES = ("<f8", "<f4", "<f2", ">f4", ">i8", "<i4", "<u2", "|i1", "|u1", "|b1")


def read(path: Path, data: bytes | None = None) -> ModelCheckpoint:
    if data is not None:
        path.write_bytes(data)
    return read_checkpoint(CandidateFile(path))


def refused(path: Path, data: bytes | None = None) -> str:
    with pytest.raises(ModelFileError) as caught:
        read(path, data)
    text = str(caught.value)
    assert text.startswith(f"{path} ")
    assert ": " in text or ", so it " in text
    return text


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("code", TYPES)
def test_types_in_pickles(code: str, protocol: int, tmp_path: Path) -> None:
    array = np.array([[0, 1, 1], [5, 3, 2]]).astype(code)
    root = {"model": {"a": array, "turned": array.T, "one": array[:1, 1:2], "number": array[1, 1], "none": array[:0]}}
    found = read(tmp_path / "a.pkl", pickle.dumps(root, protocol)).arrays
    for name, saved in root["model"].items():
        np.testing.assert_array_equal(found[name], saved)
        assert found[name].dtype == saved.dtype
        assert found[name].shape == saved.shape


def test_a_model_of_detectron(tmp_path: Path) -> None:
    root = {"blobs": {"conv1_w": VALUES, "conv1_w_momentum": VALUES}, "cfg": "MODEL:\n  TYPE: x\n" + "# y\n" * 2000}
    found = read(tmp_path / "a.pkl", pickle.dumps(root, 2))
    assert list(found.arrays) == ["conv1_w", "conv1_w_momentum"]
    assert found.metadata.get("cfg") == root["cfg"]


def test_a_model_of_detectron2s_zoo(tmp_path: Path) -> None:
    root = {"model": {"a": VALUES}, "__author__": "Detectron2 Model Zoo", "matching_heuristics": True}
    found = read(tmp_path / "a.pkl", pickle.dumps(root, 4))
    assert found.metadata.values == {"__author__": "Detectron2 Model Zoo", "matching_heuristics": True}


def test_arrays_that_are_no_weights_are_left_out_or_listed(tmp_path: Path) -> None:
    root = {
        "model": {"a": VALUES, "step": 5, "note": "x", "nothing": None, 7: VALUES},
        "objects": np.array([1, "a", None], object),
        "texts": np.array(["a"]),
        "large": np.zeros(limits.MAX_LISTED + 1),
        "small": VALUES[0, 0],
        "deep": [[VALUES[0, 0], {"a": np.float64(0.5)}]],
    }
    found = read(tmp_path / "a.pkl", pickle.dumps(root, 4))
    assert list(found.arrays) == ["a"]
    assert found.metadata.values == {
        "step": 5,
        "note": "x",
        "nothing": None,
        "objects": [1, "a", None],
        "small": [-5, -4, -3, -2],
        "deep": [[[-5, -4, -3, -2], {"a": 0.5}]],
    }
    assert found.metadata.unread == {("texts",): "an array", ("large",): "an array"}


def dtype(code: str, state: object = (3, "<", None, None, None, -1, -1, 0)) -> Call:
    return Call(Global("numpy dtype"), (code, False, True), state)


def array(state: object) -> Call:
    made = (Global("numpy ndarray"), (0,), b"b")
    return Call(Global("numpy.core.multiarray _reconstruct"), made, state)


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        (array((1, (3,), dtype("f4"), False, bytes(8))), "of 8 bytes, where its shape [3] needs 12"),
        (array((1, (3,), dtype("f4"), False, bytes(16))), "of 16 bytes"),
        (array((1, (3,), dtype("f4"), False, [1, 2, 3])), "in a list where its bytes should be"),
        (array((1, (3,), dtype("f4"), False, "é" * 6 + "雪" * 6)), "bytes are damaged"),
        (array((1, (3,), dtype("f4"), False, "雪" * 5000)), "bytes are damaged"),
        (array((1, (3,), dtype("O8"), False, [1, 2, 3])), "of the type 'O8'"),
        (array((1, (3,), dtype("f16"), False, bytes(48))), "of the type 'f16'"),
        (array((1, (3,), dtype("c8"), False, bytes(24))), "of the type 'c8'"),
        (array((1, (3,), dtype("f4", (3, "|", None, ("a",), {}, 4, 1, 0)), False, bytes(12))), "of the type 'V'"),
        (array((1, (3,), dtype("f4", 5), False, bytes(12))), "of the type 'V'"),
        (array((1, (3,), "f4", False, bytes(12))), "without a type"),
        (array((1, (-3,), dtype("f4"), False, bytes(12))), "shape"),
        (array((1, (True,), dtype("f4"), False, bytes(12))), "shape"),
        (array((1, (1 << 40, 0), dtype("f4"), False, b"")), "1,536 MiB"),
        (array((1, 2)), "without a type"),
        (array(None), "without a type"),
        (Call(Global("numpy.core.numeric _frombuffer"), (bytes(12), dtype("f4"), (3,), "K", (0, 1))), "axes"),
        (Call(Global("numpy.core.numeric _frombuffer"), (bytes(12), dtype("f4"), (3,), "K", "x")), "axes"),
        (Call(Global("numpy.core.numeric _frombuffer"), (bytes(12),)), "numpy.core.numeric._frombuffer"),
    ],
)
def test_damaged_arrays_in_pickles(saved: object, told: str, tmp_path: Path) -> None:
    text = refused(tmp_path / "a.pkl", pickled({"model": {"conv1": saved, "b": array_of_ones()}}))
    assert told in text
    assert "conv1" in text


def array_of_ones() -> Call:
    return array((1, (2,), dtype("f4"), False, np.ones(2, np.float32).tobytes()))


def test_a_state_of_before_numpy_had_versions(tmp_path: Path) -> None:
    found = read(tmp_path / "a.pkl", pickled({"a": array(((2, 3, 4), dtype("f4"), False, VALUES.tobytes()))}))
    np.testing.assert_array_equal(found.arrays["a"], VALUES)


def test_an_array_over_and_over_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WEIGHT_BYTES", 170_000)
    large = np.arange(20_000, dtype=np.float32)
    root = {"model": {"a": large, "b": large}}
    found = read(tmp_path / "a.pkl", pickle.dumps(root, 2)).arrays
    assert found["a"] is not found["b"]
    np.testing.assert_array_equal(found["b"], large)
    # Another array of the same size is too much.
    root["model"] = {"a": large, "b": large + 1}
    assert "unpacks to more than" in refused(tmp_path / "a.pkl", pickle.dumps(root, 2))


def test_torch_tensors_that_pickle_itself_wrote_are_refused_by_name(tmp_path: Path) -> None:
    inner = Call(Global("torch.storage _load_from_bytes"), (b"x",))
    tensor = Call(Global("torch._utils _rebuild_tensor_v2"), (inner, 0, (1,), (1,), False, None))
    text = refused(tmp_path / "a.pkl", pickled({"model": {"a": tensor}}))
    assert "(torch.storage._load_from_bytes) as its 'model.a'" in text


def test_proposals_are_no_weights(tmp_path: Path) -> None:
    root = {"ids": [1], "boxes": [VALUES], "scores": [VALUES]}
    assert "holds proposals" in refused(tmp_path / "a.pkl", pickle.dumps(root, 2))


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("is_packed", [False, True])
def test_types_in_archives(code: str, is_packed: bool, tmp_path: Path) -> None:
    values = np.array([[0, 1, 1], [5, 3, 2]]).astype(code)
    arrays: dict[str, Any] = {
        "a": values,
        "fortran": np.asfortranarray(values),
        "number": values[0, 1],
        "none": values[:0],
    }
    (np.savez_compressed if is_packed else np.savez)(tmp_path / "a.npz", **arrays)
    found = read(tmp_path / "a.npz")
    for name, saved in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], saved)
        assert found.arrays[name].dtype == saved.dtype
        assert not found.arrays[name].flags.writeable
        if not is_packed and name != "none":
            assert found.file.holds(found.arrays[name])


def test_names_of_tensorflow_lose_their_output(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"conv0/W:0": VALUES, "conv0/b": VALUES[0]})
    assert list(read(tmp_path / "a.npz").arrays) == ["conv0/W", "conv0/b"]
    np.savez(tmp_path / "b.npz", **{"a:0": VALUES, "a": VALUES})  # type: ignore[arg-type]
    assert "two arrays 'a'" in refused(tmp_path / "b.npz")


def test_arrays_of_no_numbers_are_left_out_of_an_archive(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"a": VALUES, "b": np.array([1, None], object), "c": np.array(["x"])}
    np.savez(tmp_path / "a.npz", **arrays)
    found = read(tmp_path / "a.npz")
    assert list(found.arrays) == ["a"]
    assert found.metadata.unread == {("b",): "an array of the type '|O'", ("c",): "an array of the type '<U1'"}
    np.savez(tmp_path / "b.npz", b=arrays["b"])
    assert "no arrays of numbers" in refused(tmp_path / "b.npz")


def npy(header: str, data: bytes, version: int = 1) -> bytes:
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + data


def member(path: Path, content: bytes, name: str = "a.npy", method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)
    return path


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }"


@pytest.mark.parametrize(
    "content",
    [
        npy(HEADER, VALUES.tobytes(), 2),
        npy(HEADER, VALUES.tobytes(), 3),
        # Python 2's long numbers.
        npy(HEADER.replace("2, 3, 4", "2L, 3L, 4L") + "   \n", VALUES.tobytes()),
    ],
)
def test_other_versions_of_the_header(content: bytes, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(member(tmp_path / "a.npz", content)).arrays["a"], VALUES)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no .npy file"),
        (b"\x80\x04N.", "no .npy file"),
        (npy(HEADER, VALUES.tobytes(), 9), "no .npy file"),
        (npy(HEADER, VALUES.tobytes()[:-1]), "of 95 bytes, where its shape needs 96"),
        (npy(HEADER, VALUES.tobytes() + b"x"), "of 97 bytes"),
        (npy(HEADER + " " * 5000, VALUES.tobytes()), "header"),
        (npy("{'descr': __import__('os'), 'fortran_order': False, 'shape': 5}", b""), "header"),
        (npy("(" * 3000, b""), "header"),
        (npy(HEADER.replace("2, 3, 4", "99999999999, 99999999999"), b""), "1,536 MiB"),
        (npy(HEADER.replace("2, 3, 4", ", ".join(["1"] * 17)), bytes(4)), "17 axes"),
    ],
)
def test_damaged_arrays_in_archives(content: bytes, told: str, tmp_path: Path) -> None:
    text = refused(member(tmp_path / "a.npz", content))
    assert told in text
    assert "'a'" in text


def test_a_member_that_would_unpack_to_more_than_a_detector_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = member(tmp_path / "a.npz", npy(HEADER, bytes(1 << 20)), method=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(limits, "MAX_WEIGHT_BYTES", 1 << 20)
    assert "unpacks to more than 1 MiB" in refused(path)


@pytest.mark.parametrize("size", [10, 5000, 1 << 30, (1 << 32) - 2])
def test_a_member_with_another_size_than_it_says(size: int, tmp_path: Path) -> None:
    data = bytearray(
        member(tmp_path / "a.npz", npy(HEADER, VALUES.tobytes()), method=zipfile.ZIP_DEFLATED).read_bytes()
    )
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = size.to_bytes(4, "little")
    told = refused(tmp_path / "a.npz", bytes(data))
    assert "'a.npy' damaged" in told or "a size that it cannot have" in told


def test_a_packed_member_has_the_checksum_that_it_says(tmp_path: Path) -> None:
    content = npy(HEADER, VALUES.tobytes())
    data = member(tmp_path / "a.npz", content, method=zipfile.ZIP_DEFLATED).read_bytes()
    sum_bytes = zlib.crc32(content).to_bytes(4, "little")
    assert "'a.npy' damaged" in refused(tmp_path / "a.npz", data.replace(sum_bytes, b"1234"))


@pytest.mark.parametrize(
    ("offset", "new", "told"),
    [
        (8, b"\x01\x00", "encrypted"),
        (10, b"\x0c\x00", "compressed by a method"),
        (42, b"\xff\xff\xff\x00", "beyond its end"),
        (20, b"\xff\xff\xff\x00", "beyond its end"),
        (0, b"PK\x09\x09", "is an archive that is damaged"),
        (28, b"\xff\xff", "is an archive that is damaged"),
    ],
)
def test_damaged_archives(offset: int, new: bytes, told: str, tmp_path: Path) -> None:
    data = bytearray(member(tmp_path / "a.npz", npy(HEADER, VALUES.tobytes())).read_bytes())
    at = data.index(b"PK\x01\x02") + offset
    data[at : at + len(new)] = new
    assert told in refused(tmp_path / "a.npz", bytes(data))


def test_archives_of_more_than_4_gib_say_their_places_elsewhere(tmp_path: Path) -> None:
    """Sizes and places of 64 bits, as they stand in the extra field and in a second end of the directory."""
    content = npy(HEADER, VALUES.tobytes())
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w", force_zip64=True) as file:
        file.write(content)
    data = path.read_bytes()
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = bytearray(data[at:end])
    extra = (1).to_bytes(2, "little") + (24).to_bytes(2, "little")
    extra += len(content).to_bytes(8, "little") * 2 + bytes(8)
    entry[20:28] = entry[42:46] * 0 + b"\xff" * 8
    entry[30:32], entry[42:46] = len(extra).to_bytes(2, "little"), b"\xff" * 4
    entry = entry[: 46 + 5] + extra
    second = b"PK\x06\x06" + (44).to_bytes(8, "little") + bytes(12) + (1).to_bytes(8, "little") * 2
    second += len(entry).to_bytes(8, "little") + at.to_bytes(8, "little")
    locator = b"PK\x06\x07" + bytes(4) + (at + len(entry)).to_bytes(8, "little") + bytes(4)
    last = b"PK\x05\x06" + b"\xff" * 16 + bytes(2)
    found = read(path, data[:at] + entry + second + locator + last)
    np.testing.assert_array_equal(found.arrays["a"], VALUES)


def test_an_archive_of_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", *[VALUES] * 5)
    monkeypatch.setattr(zip_directory, "MAX_ZIP_ENTRIES", 4)
    assert "an archive of more than 4 files" in refused(tmp_path / "a.npz")


def test_too_many_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ARRAYS", 4)
    root = {"model": {str(number): VALUES for number in range(5)}}
    assert "more than 4 arrays" in refused(tmp_path / "a.pkl", pickle.dumps(root, 4))


def doubled(levels: int, value: object) -> object:
    for _ in range(levels):
        value = [value, value]
    return value


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (doubled(20, 1), "more than 65,536 values or 64 levels"),
        (nested(70), "more than 65,536 values or 64 levels"),
        (doubled(10, "x" * 5000), "a text of more than 4,194,304 characters"),
        (doubled(10, b"x" * 5000), "a text of more than 4,194,304 characters"),
        (doubled(7, np.zeros(4096)), "more than 65,536 values or 64 levels"),
    ],
)
def test_what_is_too_much_beside_the_weights_is_left_out(value: object, told: str, tmp_path: Path) -> None:
    found = read(tmp_path / "a.pkl", pickle.dumps({"model": {"a": VALUES}, "first": 1, "extra": value}, 4))
    assert found.metadata.values == {"first": 1}
    assert found.metadata.unread[("extra",)] == told
    with pytest.raises(ModelFileError, match=f"has {told} as its 'extra'"):
        found.metadata.get("extra", "a")


def test_two_members_of_a_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", npy(HEADER, VALUES.tobytes()))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", npy(HEADER, VALUES.tobytes()))
    assert "two files 'a.npy'" in refused(tmp_path / "a.npz")


def test_other_archives_say_what_to_do(tmp_path: Path) -> None:
    assert "unpack it" in refused(member(tmp_path / "a.zip", b"x", "model.pth"))
