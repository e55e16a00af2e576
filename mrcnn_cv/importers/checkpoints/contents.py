"""Out of what a pickle holds: which part are the weights, and what the rest says in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.checkpoints.base import CheckpointMetadata, Place, Plain
from mrcnn_cv.importers.checkpoints.limits import (
    MAX_LISTED,
    MAX_NAME,
    MAX_NESTING,
    MAX_PLAIN_TEXT,
    MAX_PLAIN_VALUES,
    CheckpointBudget,
    UnfitValue,
    array_named,
    checked_shape,
)
from mrcnn_cv.importers.checkpoints.pickles.torch_objects import Storages
from mrcnn_cv.importers.checkpoints.pickles.values import LongString, Opaque, StoredArray, described

SAVE_WEIGHTS = "save the weights alone, with torch.save(model.state_dict(), ...)"

_WRAPPERS = (
    *("blobs", "model", "state_dict", "model_state_dict", "model_state", "net", "network", "weights", "params"),
    # Where there is nothing else: averages over training.
    *("model_ema", "ema_state_dict", "state_dict_ema", "ema"),
)
"""Keys under which trainers put the weights, the likelier first."""

_MAX_WRAPPERS = 3
_PREFIXES = ("module.", "_orig_mod.")
"""Put before every name by torch's DataParallel and DistributedDataParallel, and by torch.compile."""

_OF_TRAINING = frozenset(
    {
        *("optimizer", "optimizers", "optimizer_state_dict", "optimizer_states", "optim", "scheduler", "lr_scheduler"),
        *("lr_schedulers", "scheduler_state_dict", "param_schedulers", "message_hub", "scaler", "grad_scaler", "amp"),
        *("callbacks", "loops", "rng_state", "criterion", "loss", "best_state_dict", *_WRAPPERS),
    }
)
"""What nobody needs who does not go on with the training."""


def weights_and_rest(root: object) -> tuple[Mapping[str, StoredArray], Mapping[str, object]]:
    """(name → weight, what else the file holds by its key) of a pickle's value.

    Raises ModelFileError, without the file's name, for what is none of named weights.
    """
    rest: dict[str, object] = {}
    found = root
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(found, dict):
            break
        key = next((key for key in _WRAPPERS if _holds_arrays(found.get(key), 2)), None)
        for name, value in found.items():
            is_weight = key is None and isinstance(value, StoredArray)
            if isinstance(name, str) and name not in _OF_TRAINING and not is_weight:
                rest.setdefault(str(name), value)
        if key is None:
            break
        found = found[key]
    if not isinstance(found, dict):
        _refuse(found, "")
    if not _holds_arrays(found, 1):
        _refuse_opaque(found)
    return _named(found), rest


def _refuse_opaque(found: Mapping[object, object]) -> None:
    """Say by name which object stands where the weights should be, if there is one."""
    for key in _WRAPPERS:
        value = found.get(key)
        if isinstance(value, Opaque):
            _refuse(value, key)
        for name, each in value.items() if isinstance(value, dict) else ():
            if isinstance(each, Opaque) and isinstance(name, str):
                _refuse(each, f"{key}.{name}")


def arrays_of(
    weights: Mapping[str, StoredArray], storages: Storages, budget: CheckpointBudget
) -> dict[str, NDArray[Any]]:
    """The weights as arrays. Raises ModelFileError, without the file's name."""
    return {name: named_array(name, weight, storages, budget) for name, weight in weights.items()}


def named_array(name: str, weight: StoredArray, storages: Storages, budget: CheckpointBudget) -> NDArray[Any]:
    """One of them."""
    with array_named(name):
        return weight.array(storages, budget)


def _holds_arrays(value: object, levels: int) -> bool:
    """Whether a dict has arrays among its values, or in dicts among them."""
    if not isinstance(value, dict):
        return False
    return any(
        isinstance(each, StoredArray) or (levels > 1 and _holds_arrays(each, levels - 1)) for each in value.values()
    )


def _named(found: Mapping[object, object]) -> dict[str, StoredArray]:
    weights: dict[str, StoredArray] = {}
    for key, value in found.items():
        if not isinstance(key, str | bytes):
            continue
        name = checked_name(key.decode("latin-1") if isinstance(key, bytes) else str(key))
        if isinstance(value, StoredArray):
            weights[name] = value
    if not weights:
        held = [str(key)[:40] for key in list(found)[:8] if isinstance(key, str)]
        raise ModelFileError(f"holds no weights by name ({', '.join(held) or 'nothing'}): {SAVE_WEIGHTS}")
    opaque = next(((key, value) for key, value in found.items() if isinstance(value, Opaque)), None)
    if opaque is not None and isinstance(opaque[0], str):
        _refuse(opaque[1], opaque[0])
    for prefix in _PREFIXES * 2:
        if all(name.startswith(prefix) for name in weights):
            weights = {name[len(prefix) :]: value for name, value in weights.items()}
    return weights


def checked_name(name: str) -> str:
    """The name of a weight; ModelFileError for one that nobody honest gives."""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ModelFileError(f"has an array with the name '{name[:40]}', which no framework gives: rename it")
    return name


def _refuse(found: object, key: str) -> NoReturn:
    where = f" as its '{key}'" if key else ""
    why = ", which is not read, because that would run code of the file" if isinstance(found, Opaque) else ""
    raise ModelFileError(f"holds {described(found)}{where}, not weights by name{why}: {SAVE_WEIGHTS}")


def plain_metadata(rest: Mapping[str, object], storages: Storages, budget: CheckpointBudget) -> CheckpointMetadata:
    """What a file says beside its weights, as plain values."""
    reader = _PlainReader(storages, budget)
    values: dict[str, Plain] = {}
    for key, value in rest.items():
        try:
            values |= reader.dict_of({key: value}, ())
        except _Full as full:
            reader.unread[(key,)] = str(full)
    return CheckpointMetadata(values, reader.unread)


class _Full(Exception):
    """More than anybody needs: what it is."""


class _PlainReader:
    """Makes plain values, within bounds: what lies in a pickle once can be in any number of places."""

    def __init__(self, storages: Storages, budget: CheckpointBudget) -> None:
        self.unread: dict[Place, str] = {}
        self._storages, self._budget = storages, budget
        self._values, self._text = MAX_PLAIN_VALUES, MAX_PLAIN_TEXT

    def read(self, value: object, place: Place) -> Plain:
        """A value; None for one that is noted as unread."""
        self._values -= 1
        if self._values < 0 or len(place) > MAX_NESTING:
            raise _Full(f"more than {MAX_PLAIN_VALUES:,} values or {MAX_NESTING} levels")
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str | LongString | memoryview):
            return self._read_text(value, place)
        if isinstance(value, dict):
            return self.dict_of(value, place)
        if isinstance(value, StoredArray) and value.items is None:
            return self._read_array(value, place)
        items = value.items if isinstance(value, StoredArray) else value
        if isinstance(items, list | tuple):
            return [self.read(each, (*place, str(index))) for index, each in enumerate(items)]
        self.unread[place] = described(value)
        return None

    def dict_of(self, found: Mapping[object, object], place: Place) -> dict[str, Plain]:
        """A dict without what is not read."""
        values: dict[str, Plain] = {}
        for key, value in found.items():
            name = key.decode("latin-1") if isinstance(key, bytes) else str(key)
            self._take(len(name))
            if len(name) <= MAX_NAME and not isinstance(key, Opaque):
                read = self.read(value, (*place, name))
                if (*place, name) not in self.unread:
                    values[name] = read
        return values

    def _read_text(self, value: str | LongString | memoryview, place: Place) -> Plain:
        self._take(len(value))
        if isinstance(value, memoryview):
            return str(value, "latin-1")
        try:
            return value.text() if isinstance(value, LongString) else str(value)
        except UnfitValue as error:
            self.unread[place] = str(error)
            return None

    def _read_array(self, value: StoredArray, place: Place) -> Plain:
        try:
            _, count = checked_shape(value.shape, 1)
            if count <= MAX_LISTED:
                self._values -= count
                listed: Plain = value.array(self._storages, self._budget).tolist()
                return listed
        except UnfitValue:
            # One of these that is damaged is nobody's weight.
            pass
        self.unread[place] = described(value)
        return None

    def _take(self, size: int) -> None:
        self._text -= size
        if self._text < 0:
            raise _Full(f"a text of more than {MAX_PLAIN_TEXT:,} characters")
