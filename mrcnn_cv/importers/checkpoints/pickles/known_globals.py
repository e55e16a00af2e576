"""The names that mean something in a pickle. There are no others: the rest is Opaque."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget
from mrcnn_cv.importers.checkpoints.pickles import numpy_objects, torch_objects
from mrcnn_cv.importers.checkpoints.pickles.torch_objects import STORAGE_TYPES, TENSOR_TYPES, TorchType
from mrcnn_cv.importers.checkpoints.pickles.values import Opaque

Maker = Callable[[Sequence[object], CheckpointBudget], object]
"""Makes what a call with these arguments stands for."""


@dataclass(frozen=True)
class KnownGlobal:
    """A name that means something; `least`: arguments that its call has."""

    name: str
    make: Maker
    least: int = 0


def find_global(name: str) -> object:
    """What a name ("module.name") stands for. Nothing is imported."""
    return _KNOWN.get(name) or Opaque(name[:200])


def make(called: object, arguments: object, budget: CheckpointBudget) -> object:
    """What a call stands for: a value of ours, or an Opaque with the name of what was to be called."""
    if isinstance(called, KnownGlobal) and isinstance(arguments, tuple) and len(arguments) >= called.least:
        return called.make(arguments, budget)
    if isinstance(called, Opaque):
        return called
    return Opaque(called.name if isinstance(called, KnownGlobal | TorchType) else "a call of what is no function")


def _dict(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`OrderedDict(pairs)`, as Python 2 writes it; Python 3 gives it its items afterwards."""
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list):
        return {}
    # A few bytes can ask for the same ones over and over.
    budget.step(len(pairs))
    named = [pair for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)]
    return {pair[0]: pair[1] for pair in named} if len(named) == len(pairs) else Opaque("a dict of what are no pairs")


def _default_dict(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    return {}


def _items(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`set(items)` and the like."""
    if not arguments:
        return []
    return arguments[0] if isinstance(arguments[0], list | tuple) else Opaque("a list of what are no items")


def _bytes(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`bytes()`, `bytearray(bytes)`, `_codecs.encode(text, "latin1")`: texts stand for their bytes here."""
    return arguments[0] if arguments else memoryview(b"")


def _first(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    return arguments[0]


def _device(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    return arguments[0] if isinstance(arguments[0], str) else Opaque("torch.device")


def _subclass(arguments: Sequence[object], budget: CheckpointBudget) -> object:
    """`_rebuild_from_type_v2(function, class, arguments, state)`: a tensor, whatever else its class knows."""
    function, inner = arguments[0], arguments[2]
    if isinstance(function, KnownGlobal) and function.make is _subclass:
        return Opaque(function.name)
    return make(function, inner, budget)


def _table() -> dict[str, KnownGlobal | TorchType]:
    rows: list[tuple[str, Maker, int]] = [
        ("collections.OrderedDict", _dict, 0),
        ("collections.defaultdict", _default_dict, 0),
        ("_codecs.encode", _bytes, 1),
        ("numpy.dtype", numpy_objects.make_dtype, 1),
        ("torch.Size", _items, 0),
        ("torch.device", _device, 1),
        ("torch._utils._rebuild_tensor", torch_objects.make_tensor, 4),
        ("torch._utils._rebuild_tensor_v2", torch_objects.make_tensor, 4),
        ("torch._utils._rebuild_tensor_v3", torch_objects.make_typed_tensor, 7),
        ("torch._utils._rebuild_parameter", torch_objects.make_parameter, 1),
        ("torch._utils._rebuild_parameter_with_state", torch_objects.make_parameter, 1),
        ("torch._tensor._rebuild_from_type_v2", _subclass, 3),
        # A number, of which it is the meaning.
        ("detectron2.structures.boxes.BoxMode", _first, 1),
    ]
    for module in ("builtins", "__builtin__"):
        rows += [(f"{module}.{name}", _items, 0) for name in ("list", "tuple", "set", "frozenset")]
        rows += [(f"{module}.{name}", _bytes, 0) for name in ("bytes", "bytearray")]
        rows.append((f"{module}.dict", _default_dict, 0))
    for module in ("numpy.core", "numpy._core"):
        rows += [
            (f"{module}.multiarray._reconstruct", numpy_objects.make_array, 0),
            (f"{module}.multiarray.scalar", numpy_objects.make_scalar, 1),
            (f"{module}.numeric._frombuffer", numpy_objects.make_from_buffer, 4),
        ]
    table: dict[str, KnownGlobal | TorchType] = {row[0]: KnownGlobal(*row) for row in rows}
    for module in ("torch", "torch.cuda", "torch.storage"):
        for name, code in STORAGE_TYPES.items():
            table[f"{module}.{name}Storage"] = TorchType(f"{module}.{name}Storage", code)
    for name, code in TENSOR_TYPES.items():
        table[f"torch.{name}"] = TorchType(f"torch.{name}", code)
    return table


_KNOWN: Mapping[str, KnownGlobal | TorchType] = _table()
