"""Weights files of five kinds, changed where it hurts. What they make the program do is watched."""

from __future__ import annotations

import json
import pickle
import random
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints import proposals
from mrcnn_cv.importers.checkpoints.load import is_checkpoint, read_checkpoint
from mrcnn_cv.importers.checkpoints.plain_yaml import read_plain_yaml
from tests.robustness.fuzz.checkpoint_edits import (
    CONFIG,
    config,
    edited_zip,
    hostile_npz,
    hostile_safetensors,
    other_steps,
    program,
)
from tests.robustness.fuzz.file_edits import edited_bytes, edited_head
from tests.robustness.fuzz.mutations import damaged, whole
from tests.robustness.fuzz.worker import make_again
from tests.support.checkpoints import WRITERS, Call, Global, Persistent, Raw, TorchFile, pickled, sample_arrays

EXIT_CODES = {3}

KINDS = ("torch-zip", "torch-stream", "safetensors", "numpy-pickle", "npz")
"""They take turns."""

_CALLS = (
    *("os system", "builtins exec", "builtins eval", "builtins getattr", "builtins __import__", "subprocess Popen"),
    *("posix system", "torch.storage _load_from_bytes", "numpy.core.multiarray _reconstruct", "numpy dtype"),
    *("_codecs encode", "collections OrderedDict", "collections defaultdict", "builtins bytearray", "builtins set"),
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3", "torch._tensor _rebuild_from_type_v2"),
    *(
        "numpy._core.numeric _frombuffer",
        "numpy.core.multiarray scalar",
        "copy_reg _reconstructor",
        "torch FloatStorage",
    ),
    *("torch Size", "torch device", "torch float32", "operator attrgetter", "pathlib PosixPath", "a.b\x1b[31m c"),
)

_FORBIDDEN = (
    *("import", "exec", "compile", "pickle.find_class", "subprocess.Popen", "socket.", "ctypes.", "shutil.", "code."),
    *("marshal.", "webbrowser.", "urllib.", "tempfile.", "builtins.", "signal.", "os.system", "os.exec", "os.fork"),
    *("os.posix_spawn", "os.spawn", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.ch"),
    *("os.truncate", "os.putenv", "os.unsetenv", "os.kill", "os.utime"),
)
"""Beginnings of Python's audit events. Looking for plug-ins lists folders."""

_watching = False
_seen: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and (event.startswith(_FORBIDDEN) or (event == "open" and arguments[1] not in (None, "r", "rb"))):
        _seen.append(f"{event} {str(arguments)[:200]}")


class _Finder:
    """The first to be asked for a module that is not there, whichever way it is imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """See importlib.abc.MetaPathFinder."""
        if _watching:
            _seen.append(f"looks for the module {name[:200]!r}")


def case(number: int, seed: int, folder: Path) -> Path:
    """One file."""
    chance = random.Random(f"{seed}/{number}")
    kind = KINDS[number % len(KINDS)]
    path = folder / "weights"
    made = _hostile(kind, chance, path) if chance.random() < 0.4 else _honest(kind, chance.randrange(3))
    how = chance.randrange(8)
    if how <= 2:
        made = edited_bytes(made, chance)
    elif how == 3:
        made = damaged(made, chance)
    elif how == 4:
        made = edited_head(made, chance, chance.choice((16, 64, 4096)))
    elif how == 5 and kind in ("torch-zip", "npz"):
        made = edited_zip(made, chance)
    elif how == 6:
        made = other_steps(made, chance)
    path.write_bytes(made)
    return path


def attempt(path: Path) -> str:
    """As the importers do; anything else that Python is made to do is a finding."""
    global _watching
    _warm_up()
    _seen.clear()
    _watching = True
    try:
        return _read(path)
    finally:
        _watching = False
        assert not _seen, _seen[:5]


def _read(path: Path) -> str:
    file = CandidateFile(path)
    is_read = is_checkpoint(file)
    try:
        proposals.read_proposals(path)
    except ModelFileError as error:
        _check_names(error, path)
    try:
        found = read_checkpoint(file)
    except ModelFileError as error:
        _check_names(error, path)
        raise
    assert is_read
    assert found.arrays
    for name, array in found.arrays.items():
        assert name.isprintable()
        assert array.dtype.kind in "biuf"
        assert not array.flags.writeable
        # Every value can be reached.
        np.isfinite(array).all()
    json.dumps(found.metadata.values)
    for place in list(found.metadata.unread)[:3]:
        with suppress(ModelFileError):
            found.metadata.get(*place)
            raise AssertionError(place)
    text = found.metadata.values.get("cfg")
    if isinstance(text, str):
        json.dumps(read_plain_yaml(text))
    return "accepted"


def _check_names(error: ModelFileError, path: Path) -> None:
    assert str(error).startswith(str(path)), error


@cache
def _warm_up() -> None:
    """Have everything imported that an honest file needs, and begin to watch."""
    with TemporaryDirectory() as folder:
        for kind in KINDS:
            for which in range(3):
                path = Path(folder) / f"{kind}{which}"
                path.write_bytes(_honest(kind, which))
                _read(path)
        path.write_bytes(b"no weights")
        with suppress(ModelFileError):
            _read(path)
    sys.addaudithook(_watch)
    sys.meta_path.insert(0, cast(Any, _Finder()))


@cache
def _honest(kind: str, which: int) -> bytes:
    arrays = sample_arrays(1 if which < 2 else 200)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        if kind == "numpy-pickle" and which == 0:
            return pickle.dumps({"blobs": arrays, "cfg": CONFIG}, 0)
        if kind == "numpy-pickle" and which == 1:
            return pickle.dumps({"blobs": arrays, "cfg": CONFIG}, 2)
        if kind == "npz" and which:
            np.savez_compressed(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
            return path.with_suffix(".npz").read_bytes()
        if kind.startswith("torch") and which == 1:
            return _trained(kind, path)
        return WRITERS[kind](path, arrays).read_bytes()


def _trained(kind: str, path: Path) -> bytes:
    """What trainers save: views, strides, half types, parameters, objects of all kinds."""
    file, values = TorchFile(), np.arange(48, dtype=np.float32).reshape(2, 3, 8)
    storage = file.storage(values.tobytes(), "f4", view=None if kind == "torch-stream" else "none")
    half = file.storage(values.astype("<f4").view("<u2")[..., 1::2].tobytes(), "bf16")
    weights = {
        "module.a": Call(
            Global("torch._utils _rebuild_parameter"), (file.view(storage, 8, (2, 5), (8, 1)), True, None)
        ),
        "module.b": file.view(half, 0, (48,), (1,)),
        "module.c": file.view(storage, 0, (8, 6), (1, 8)),
    }
    arguments = Call(Global("argparse Namespace"), (), {"lr": 0.1}, b"\x81")
    root = {
        "state_dict": weights,
        "meta": {"cfg": CONFIG, "classes": ("a", "b"), "hook": arguments},
        "cfg": CONFIG,
        "optimizer": {"state": {0: {"momentum_buffer": file.view(storage, 0, (3,), (1,))}}},
        "args": arguments,
        "epoch": 3,
    }
    write = file.zip if kind == "torch-zip" else file.stream
    return write(path, root).read_bytes()


def _hostile(kind: str, chance: random.Random, path: Path) -> bytes:
    if kind == "safetensors":
        return hostile_safetensors(chance)
    if kind == "npz":
        return hostile_npz(chance)
    file = TorchFile()
    root: dict[str, object] = {"model": {"a": file.tensor(np.ones((2, 3), np.float32)), "b": _value(chance, file, 0)}}
    if chance.random() < 0.5:
        root = {**root, "cfg": config(chance), "extra": _value(chance, file, 0)}
    if chance.random() < 0.1:
        root = {"model": {"a": Raw(program(chance))}}
    if kind == "numpy-pickle":
        return pickled(root)
    others = {"byteorder": chance.choice((b"little", b"big", b"", b"x"))} if chance.random() < 0.3 else {}
    if chance.random() < 0.05:
        others["constants.pkl"] = b""
    return (file.zip(path, root, others) if kind == "torch-zip" else file.stream(path, root)).read_bytes()


def _value(chance: random.Random, file: TorchFile, depth: int) -> object:
    """Anything that a pickle can say."""
    kind = chance.randrange(14 if depth < 4 else 6)
    if kind == 0:
        return chance.choice((None, True, "x", "", b"abc", 0.5, float("nan"), "\ud800", "x" * 5000, b"y" * 5000))
    if kind <= 2:
        return whole(chance)
    if kind == 3:
        return Global(chance.choice(_CALLS))
    if kind == 4:
        return Persistent(chance.choice((("storage",), ("storage", 1, 2, 3, 4), 5, "x", None)))
    if kind == 5:
        return file.view(
            file.storage(bytes(chance.randrange(64)), "f4", chance.choice((None, 5, 1 << 40))), *_layout(chance)
        )
    if kind == 6:
        return _numpy(chance, file, depth)
    items = [_value(chance, file, depth + 1) for _ in range(chance.randrange(5))]
    if kind <= 8:
        return items if kind == 7 else tuple(items)
    if kind == 9:
        keys = chance.choice((["a", "b", "c", "d"], [1, 2.0, None, b"x"], [("a",), 1 << 70, True, -1]))
        return dict(zip(keys, items, strict=False))
    step = chance.choice((b"R", b"R", b"\x81"))
    state = _value(chance, file, depth + 1) if chance.random() < 0.3 else None
    return Call(Global(chance.choice(_CALLS)), tuple(items), state, step)


def _layout(chance: random.Random) -> tuple[object, object, object]:
    axes = chance.randrange(4)
    shape = tuple(chance.choice((0, 1, 2, 3, whole(chance))) for _ in range(axes))
    steps = tuple(chance.choice((0, 1, 3, whole(chance))) for _ in range(chance.choice((axes, axes, axes, 1))))
    return chance.choice((0, 1, whole(chance), None)), shape, steps


def _numpy(chance: random.Random, file: TorchFile, depth: int) -> object:
    codes = ("f4", "f8", "i8", "b1", "O8", "S5", "U3", "V8", "M8", "f16", "c16", "", "x" * 50, "f4,f4")
    order = chance.choice(("<", ">", "|", "=", "x", None))
    dtype = Call(Global("numpy dtype"), (chance.choice(codes), False, True), (3, order, None, None, None, -1, -1, 0))
    _, shape, axes = _layout(chance)
    data = chance.choice((b"", bytes(4), bytes(24), "\0" * 24, "é" * 3000, None, [1, 2], bytes(5000)))
    if chance.random() < 0.5:
        return Call(Global("numpy._core.numeric _frombuffer"), (data, dtype, shape, chance.choice("CFK"), axes))
    made = (Global("numpy ndarray"), (0,), b"b")
    state = (1, shape, dtype, chance.choice((True, False)), data)
    return Call(Global("numpy.core.multiarray _reconstruct"), made, chance.choice((state, state, state[1:], (1, 2), 3)))


if __name__ == "__main__":
    make_again(case, attempt)
