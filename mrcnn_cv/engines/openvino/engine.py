"""The package openvino as an engine."""

from __future__ import annotations

from importlib.util import find_spec

from mrcnn_cv.engines.base import Backend, Net
from mrcnn_cv.errors import brief
from mrcnn_cv.graph import ir

DEFAULT_DEVICE = "CPU"


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
        """A package that does not load, a device that is not here, or numbers that it does not compute with."""
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


def _called(device: str | None) -> str:
    """Its names are written in capitals."""
    return (device or DEFAULT_DEVICE).upper()
