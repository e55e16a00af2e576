"""Weights in the order in which products take them, once for all nets of a model.

The mask head of an Object Detection API model begins with the convolutions of its box head, and an RPN convolves all
levels of a pyramid with the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary, WeakValueDictionary

from mrcnn_cv.engines.base import Float
from mrcnn_cv.graph import ir

Key = tuple[object, ...]
Make = Callable[[], Float]

_packed: WeakKeyDictionary[ir.Source, WeakValueDictionary[Key, Float]] = WeakKeyDictionary()
_being_made: dict[Key, threading.Lock] = {}
_lock = threading.Lock()
"""Of both of these."""


def packed(net: ir.NetGraph, layers: Sequence[ir.Conv2d | ir.Linear], form: str, make: Make) -> Float:
    """What `make` gives for these layers of a net, or gave for others with the same weights.

    form: what it makes of them. Nobody may write into the result.
    """
    source = net.source
    if source is None or not all(source.holds(layer.weight) for layer in layers):
        return make()
    # Where a weight lies in the file tells which it is, as long as that is open.
    key = (form, *(_identity(layer) for layer in layers))
    being_made = (id(source), *key)
    with _lock:
        known = _packed.setdefault(source, WeakValueDictionary())
        turn = _being_made.setdefault(being_made, threading.Lock())
    # Nets are built at the same time: who comes second waits for what the first one makes.
    with turn:
        with _lock:
            found = known.get(key)
        try:
            found = make() if found is None else found
            with _lock:
                known[key] = found
        finally:
            with _lock:
                _being_made.pop(being_made, None)
    return found


def _identity(layer: ir.Conv2d | ir.Linear) -> Key:
    weight, scale = layer.weight, layer.scale
    place = weight.__array_interface__["data"][0], weight.shape, weight.strides, weight.dtype.str
    return (*place, None if scale is None else scale.tobytes())


def _begin_anew() -> None:
    """In a process that was forked: the threads that made or looked something up are not here."""
    global _lock
    _lock = threading.Lock()
    _being_made.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
