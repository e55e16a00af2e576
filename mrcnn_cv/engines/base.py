"""What engines and nets are; `select` chooses among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.graph import ir

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Backend:
    """A choice of `--backend`, what its engine calls it, and the remedy where it does not run.

    engine: of `registry.ENGINES`. target: the engine's name of a target (cv2.dnn) or of the precision of its numbers.
    cv_backend: cv2.dnn's name of a backend. mark: how cv2.dnn's layers call themselves in a dump.
    """

    name: str
    engine: str
    target: str
    remedy: str
    cv_backend: str = ""
    mark: str = ""


class Net(Protocol):
    """One net, ready to run.

    One that runs on anything but the processor says so by an attribute `survives_fork` that is False: what a driver
    holds does not come along into a process that is forked.
    """

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """The outputs of the net, in its order. The arrays are the caller's to keep."""

    def devices(self) -> set[str]:
        """Names of the backends (of `BACKENDS`) that the layers really ran on; known after the first run."""


class Engine(Protocol):
    """What makes nets: a class in `engine.py` of a folder of its own, and a row of `registry.ENGINES`.

    It is made once, without arguments. Nets of an engine of another package name the engine's own name among their
    `devices()` where they ran on it.
    """

    title: str
    """What people call it."""

    def absent(self, backend: Backend) -> str | None:
        """Why this installation has no such backend at all; None where it can be tried."""

    def remedy(self, backend: Backend) -> str:
        """What to do about an absent backend."""

    def problem(self, backend: Backend, device: str | None) -> str | None:
        """Why nets cannot run there, as far as it is known before one does; None: they may."""

    def device_name(self, backend: Backend, device: str | None) -> str:
        """What the hardware calls itself."""

    def make_net(
        self, net: ir.NetGraph, backend: Backend, device: str | None = None, size: tuple[int, int] | None = None
    ) -> Net:
        """A net that runs a NetGraph; ModelFileError or BackendError where the engine cannot.

        device: the engine's name of one ("GPU.1"); None: its default. size: (height, width) of the input maps, where it
        is always the same.
        """
