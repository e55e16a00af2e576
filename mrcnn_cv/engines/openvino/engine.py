"""The package openvino as an engine."""

from __future__ import annotations

from importlib.util import find_spec

from mrcnn_cv.engines.base import Backend, Net
from mrcnn_cv.errors import brief
from mrcnn_cv.graph import ir

DEFAULT_DEVICE = "CPU"

_MIN_STACK = 1 << 20
"""OpenVINO 2026.4 builds its nets in functions that call each other: 512 KiB do not suffice, 600 do."""


class OpenVinoEngine:
    """See `Engine`. Devices are called as OpenVINO calls them."""

    title = "OpenVINO"

    def absent(self, backend: Backend) -> str | None:
        """Whether the package is there."""
        return None if find_spec("openvino") is not None else "the package openvino is not installed"

    def remedy(self, backend: Backend) -> str:
        """To install it."""
        return backend.remedy

    def problem(self, backend: Backend, device: str | None) -> str | None:
        """A package that does not load, too small a stack, a device that is not here, or numbers it does not have."""
        if (stack := _stack_bytes()) is not None and stack < _MIN_STACK:
            return (
                f"the stack of this process is limited to {stack >> 10} KiB, and OpenVINO ends a process that has less"
                f" than {_MIN_STACK >> 10}: raise the limit (ulimit -s {_MIN_STACK >> 10})"
            )
        try:
            from mrcnn_cv.engines.openvino import net
        except (ImportError, OSError) as error:
            return f"the package openvino is installed, but cannot be used: {brief(error)}"
        return net.problem_with(_called(device), backend.target)

    def device_name(self, backend: Backend, device: str | None) -> str:
        """As OpenVINO tells it."""
        from mrcnn_cv.engines.openvino.net import device_name

        return device_name(_called(device))

    def make_net(
        self, net: ir.NetGraph, backend: Backend, device: str | None = None, size: tuple[int, int] | None = None
    ) -> Net:
        """Compiled at once."""
        from mrcnn_cv.engines.openvino.net import OpenVinoNet

        return OpenVinoNet(net, backend, _called(device), size)


def _stack_bytes() -> int | None:
    """The limit on the stack of the main thread, and of the threads that native code starts; None: unknown, or none."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _called(device: str | None) -> str:
    """Its names are written in capitals."""
    return (device or DEFAULT_DEVICE).upper()
