"""Weights files as torch, safetensors and numpy write them, and as nobody does, without torch and safetensors."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TORCH_NAMES = {
    "f8": "Double",
    "f4": "Float",
    "f2": "Half",
    "i8": "Long",
    "i4": "Int",
    "i2": "Short",
    "i1": "Char",
    "u1": "Byte",
    "b1": "Bool",
    "bf16": "BFloat16",
}
SAFETENSORS_NAMES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "u1": "U8", "b1": "BOOL"}


@dataclass(frozen=True)
class Global:
    """A name that the reading program is to import: "module name"."""

    name: str


@dataclass(frozen=True)
class Call:
    """A call that the reading program is to make, and the state that it is to give to what comes back."""

    called: object
    arguments: object
    state: object = None
    step: bytes = b"R"


@dataclass(frozen=True)
class Persistent:
    """What stands outside of the pickle."""

    identity: object


@dataclass(frozen=True)
class Raw:
    """Steps of a pickle as they are."""

    steps: bytes


def pickled(value: object) -> bytes:
    """A pickle of protocol 2. What it says need not exist."""
    return b"\x80\x02" + b"".join(_steps(value)) + b"."


def _steps(value: object) -> list[bytes]:
    if isinstance(value, Raw):
        return [value.steps]
    if isinstance(value, Global):
        module, _, name = value.name.rpartition(" ")
        return [b"c", module.encode(), b"\n", name.encode(), b"\n"]
    if isinstance(value, Call):
        built = [*_steps(value.state), b"b"] if value.state is not None else []
        return [*_steps(value.called), *_steps(value.arguments), value.step, *built]
    if isinstance(value, Persistent):
        return [*_steps(value.identity), b"Q"]
    if isinstance(value, tuple):
        return [b"(", *(step for each in value for step in _steps(each)), b"t"]
    if isinstance(value, list):
        return [b"](", *(step for each in value for step in _steps(each)), b"e"]
    if isinstance(value, dict):
        pairs = (step for pair in value.items() for each in pair for step in _steps(each))
        return [b"}(", *pairs, b"u"]
    return [_atom(value)]


def _atom(value: object) -> bytes:
    if value is None or isinstance(value, bool):
        return b"N" if value is None else b"\x88" if value else b"\x89"
    if isinstance(value, int):
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(text)) + text
    assert isinstance(value, bytes)
    return b"B" + struct.pack("<I", len(value)) + value


class TorchFile:
    """A file of torch: tensors are made first, what holds them is written then."""

    def __init__(self) -> None:
        self.storages: dict[str, tuple[str, bytes]] = {}

    def storage(self, data: bytes, code: str, count: int | None = None, view: object = "none") -> Persistent:
        """A storage with these bytes."""
        key = str(len(self.storages))
        self.storages[key] = (code, data)
        size = 2 if code == "bf16" else int(code[1:])
        kind = Global(f"torch {TORCH_NAMES[code]}Storage")
        identity = ("storage", kind, key, "cpu", len(data) // size if count is None else count)
        return Persistent(identity if view == "none" else (*identity, view))

    def tensor(self, array: Array, code: str = "", view: object = "none", order: Literal["<", ">"] = "<") -> Call:
        """A tensor with the values of an array, whose strides it keeps."""
        owner = np.lib.stride_tricks.as_strided(array, (_extent(array),), (array.itemsize,))
        data = owner.astype(array.dtype.newbyteorder(order)).tobytes()
        steps = tuple(step // array.itemsize for step in array.strides)
        return self.view(self.storage(data, code or array.dtype.str[1:], view=view), 0, array.shape, steps)

    def view(self, storage: object, offset: object, shape: object, steps: object) -> Call:
        """A tensor over a storage, right or wrong."""
        hooks = Call(Global("collections OrderedDict"), ())
        return Call(Global("torch._utils _rebuild_tensor_v2"), (storage, offset, shape, steps, False, hooks))

    def zip(self, path: Path, root: object, others: Mapping[str, bytes] | None = None, top: str = "archive") -> Path:
        """As torch has written since 1.6."""
        members = {"data.pkl": pickled(root), "version": b"3\n", **(others or {})}
        members |= {f"data/{key}": data for key, (_, data) in self.storages.items()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                archive.writestr(f"{top}/{name}", data)
        return path

    def stream(self, path: Path, root: object) -> Path:
        """As torch wrote before 1.6."""
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        head = [pickled(each) for each in (0x1950A86A20F9469CFC6C, 1001, system, root, sorted(self.storages))]
        data = b""
        for key in sorted(self.storages):
            code, values = self.storages[key]
            data += struct.pack("<q", len(values) // (2 if code == "bf16" else int(code[1:]))) + values
        path.write_bytes(b"".join(head) + data)
        return path


def _extent(array: Array) -> int:
    if array.size == 0:
        return 0
    return (
        1 + int(sum((size - 1) * step for size, step in zip(array.shape, array.strides, strict=True))) // array.itemsize
    )


def ordered(items: Mapping[str, object]) -> Raw:
    """A state dict: an OrderedDict that is given its items, and then a state, the versions of the modules."""
    made = _steps(Call(Global("collections OrderedDict"), ()))
    pairs = [step for pair in items.items() for each in pair for step in _steps(each)]
    return Raw(b"".join([*made, b"(", *pairs, b"u", *_steps({"_metadata": {"": {"version": 1}}}), b"b"]))


def write_torch_zip(path: Path, arrays: Mapping[str, Array]) -> Path:
    """A state dict, as trainers save it."""
    file = TorchFile()
    weights = ordered({name: file.tensor(array) for name, array in arrays.items()})
    return file.zip(
        path,
        {"model": weights, "iteration": 7, "optimizer": {"state": Call(Global("a_module_of.nobody system"), ("x",))}},
    )


def write_torch_stream(path: Path, arrays: Mapping[str, Array]) -> Path:
    """The same, in the old form."""
    file = TorchFile()
    return file.stream(path, {name: file.tensor(array, view=None) for name, array in arrays.items()})


def write_safetensors(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> Path:
    """A .safetensors file."""
    header: dict[str, Any] = {"__metadata__": dict(metadata or {"format": "pt"})}
    data = b""
    for name, array in arrays.items():
        values = np.ascontiguousarray(array).tobytes()
        place = [len(data), len(data) + len(values)]
        kind = SAFETENSORS_NAMES[array.dtype.str[1:]]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": place}
        data += values
    return safetensors_of(path, json.dumps(header).encode(), data)


def safetensors_of(path: Path, header: bytes, data: bytes) -> Path:
    """A .safetensors file with this header, right or wrong."""
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def write_npz(path: Path, arrays: Mapping[str, Array]) -> Path:
    """What numpy.savez writes."""
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return path


def write_numpy_pickle(path: Path, arrays: Mapping[str, Array], protocol: int = 4) -> Path:
    """A model of Detectron2's zoo."""
    path.write_bytes(pickle.dumps({"model": dict(arrays), "__author__": "somebody"}, protocol))
    return path


WRITERS: Mapping[str, Callable[[Path, Mapping[str, Array]], Path]] = {
    "torch-zip": write_torch_zip,
    "torch-stream": write_torch_stream,
    "safetensors": write_safetensors,
    "npz": write_npz,
    "numpy-pickle": write_numpy_pickle,
}
"""Reader → what writes a file for it."""


def sample_arrays(scale: int = 1) -> dict[str, Array]:
    """Weights of all types that every form has."""
    values = np.arange(24 * scale, dtype=np.float32).reshape(2, 3, 4 * scale) / 8 - 1
    return {
        "backbone.conv1.weight": values,
        "backbone.conv1.bias": np.linspace(-1, 1, 5).astype(np.float32),
        "backbone.bn1.running_var": np.array([0.5, 2.0, 8.0]),
        "backbone.bn1.num_batches_tracked": np.array(12, np.int64),
        "half": values[0].astype(np.float16),
        "mask": np.array([True, False, True]),
        "none": np.zeros((0, 4), np.float32),
    }


def assert_same(found: Array, saved: Any) -> None:
    """Values, shape and type are those that were saved; numpy 1.22 has no `strict` for it."""
    assert (found.shape, found.dtype) == (np.shape(saved), saved.dtype)
    np.testing.assert_array_equal(found, saved)
