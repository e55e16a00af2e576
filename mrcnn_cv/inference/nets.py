"""The nets of a model on one backend."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from weakref import WeakSet

from mrcnn_cv.engines import select as backends
from mrcnn_cv.engines.base import Float, Net
from mrcnn_cv.errors import BackendError, one_line
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.util.c_locale import c_locale
from mrcnn_cv.util.parallel import available_processors


@dataclass(frozen=True)
class Nets:
    """The three nets of a model, ready to run; `mask_head` is None for a Faster R-CNN."""

    backbone: Net
    box_head: Net
    mask_head: Net | None

    def devices(self) -> set[str]:
        """Backends that any layer ran on so far."""
        return set().union(
            *(net.devices() for net in (self.backbone, self.box_head, self.mask_head) if net is not None)
        )


class OneAtATime:
    """A net that any number of threads may ask to run: it does so for one after the other.

    Engines keep what their last run held, and most of them use all processors for one.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self._turn = threading.Lock()
        self._is_lost = False
        _every.add(self)

    def wait(self) -> bool:
        """Until it is nobody's turn, for whom it then is; False where that takes too long."""
        return self._turn.acquire(timeout=_FORK_SECONDS)

    def go_on(self) -> None:
        """It is nobody's turn any more."""
        self._turn.release()

    def begin_anew(self) -> None:
        """In a process that was forked: the thread whose turn it was is not here, nor what a driver holds."""
        self._turn = threading.Lock()
        self._is_lost = not getattr(self._net, "survives_fork", True)

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `Net.run`. BackendError in a process that was forked, for a net on anything but the processor."""
        if self._is_lost:
            raise BackendError(
                "this process was forked from one that had loaded the model onto a graphics card or another device,"
                " which does not come along: load the model in this process, or start it by 'spawn'"
            )
        with self._turn, c_locale():
            return self._net.run(inputs)

    def devices(self) -> set[str]:
        """See `Net.devices`."""
        with self._turn:
            return self._net.devices()


_FORK_SECONDS = 60.0
"""The longest that a fork waits for a net; it then goes on, and that net may be half way through a run in the child."""

_every: WeakSet[OneAtATime] = WeakSet()
_held: list[OneAtATime] = []


def _hold() -> None:
    """Before a fork: no net is half way through a run, so that the child can use all of them."""
    _held.extend(each for each in list(_every) if each.wait())


def _let_go() -> None:
    while _held:
        _held.pop().go_on()


def _begin_anew() -> None:
    _held.clear()
    for each in _every:
        each.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_begin_anew)


def build_nets(spec: ModelDefinition, chosen: backends.Probe) -> Nets:
    """The nets of a model, built at the same time: engines do most of that in one thread each."""
    heads = [partial(chosen.build, spec.box_head, spec.crop.map_size)]
    if spec.mask_head is not None and spec.mask is not None:
        heads.append(partial(chosen.build, spec.mask_head, spec.mask.crop.map_size))
    box_head, *mask_head, backbone = _all_of([*heads, partial(chosen.build, spec.trunk)])
    return Nets(OneAtATime(backbone), OneAtATime(box_head), OneAtATime(mask_head[0]) if mask_head else None)


def build_on_any(spec: ModelDefinition, chosen: backends.Probe) -> tuple[Nets, backends.Probe, list[str]]:
    """(the nets, the backend that they were built on, a sentence for each that failed before it), where any will do.

    chosen: the first to try. Raises BackendError or MemoryError, of the last one, where none can build them.
    """
    notes: list[str] = []
    while True:
        try:
            return build_nets(spec, chosen), chosen, notes
        except (BackendError, MemoryError) as error:
            after = backends.following(chosen)
            if after is None:
                raise
            reason = one_line(str(error.__cause__ or error)) or "not enough memory"
            notes.append(
                f"the backend {chosen.backend.name} failed to build the nets of this model ({reason}):"
                f" {after.backend.name} runs them"
            )
            chosen = after


def _all_of(makers: Sequence[Callable[[], Net]]) -> list[Net]:
    """What all of them make, the last one here and the others in threads of their own, where there is room for any."""
    with ThreadPoolExecutor(max(1, min(len(makers) - 1, available_processors())), "net-builder") as pool:
        try:
            others = [pool.submit(make) for make in makers[:-1]]
        except RuntimeError:
            return [make() for make in makers]
        last = makers[-1]()
        return [*(other.result() for other in others), last]
