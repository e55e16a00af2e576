"""The nets of a model on one backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from mrcnn_cv.engines import select as backends
from mrcnn_cv.engines.base import Net
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.util.machine import available_processors


@dataclass(frozen=True)
class Nets:
    """The three nets of a model, ready to run; `mask_head` is None for a Faster R-CNN."""

    trunk: Net
    box_head: Net
    mask_head: Net | None

    def devices(self) -> set[str]:
        """Backends that any layer ran on so far."""
        return set().union(*(net.devices() for net in (self.trunk, self.box_head, self.mask_head) if net is not None))


def build_nets(spec: ModelDefinition, chosen: backends.Probe) -> Nets:
    """The nets of a model, built at the same time: engines do most of that in one thread each."""
    heads = [partial(chosen.build, spec.box_head, spec.crop.map_size)]
    if spec.mask_head is not None and spec.mask is not None:
        heads.append(partial(chosen.build, spec.mask_head, spec.mask.crop.map_size))
    box_head, *mask_head, trunk = _all_of([*heads, partial(chosen.build, spec.trunk)])
    return Nets(trunk, box_head, mask_head[0] if mask_head else None)


def _all_of(makers: Sequence[Callable[[], Net]]) -> list[Net]:
    """What all of them make, the last one here and the others in threads of their own, where there is room for any."""
    with ThreadPoolExecutor(max(1, min(len(makers) - 1, available_processors())), "net-builder") as pool:
        try:
            others = [pool.submit(make) for make in makers[:-1]]
        except RuntimeError:
            return [make() for make in makers]
        last = makers[-1]()
        return [*(other.result() for other in others), last]
