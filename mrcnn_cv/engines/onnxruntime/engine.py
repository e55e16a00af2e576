"""ONNX Runtime as an engine."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from mrcnn_cv.engines.base import Backend, Net
from mrcnn_cv.errors import brief
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.partial_shapes import Side, input_shapes
from mrcnn_cv.util.parallel import processor


class OnnxRuntimeEngine:
    """See `Engine`. Devices are called as its providers are, without "ExecutionProvider"; the default is the best."""

    title = "ONNX Runtime"

    def absent(self, backend: Backend) -> str | None:
        """Whether one of its packages is there."""
        return None if find_spec("onnxruntime") is not None else "the package onnxruntime is not installed"

    def remedy(self, backend: Backend) -> str:
        """To install it."""
        return backend.remedy

    def problem(self, backend: Backend, device: str | None) -> str | None:
        """A package that does not load, or a provider that is not in it or does not load."""
        try:
            from mrcnn_cv.engines.onnxruntime.net import problem_with
        except (ImportError, OSError) as error:
            return f"the package onnxruntime is installed, but cannot be used: {brief(error)}"
        return problem_with(device or _best_device())

    def device_name(self, backend: Backend, device: str | None) -> str:
        """The processor's name; of other devices that of the provider, which tells no more."""
        from mrcnn_cv.engines.onnxruntime.net import CPU, canonical, version

        name = canonical(device or _best_device())
        return processor() if name == CPU else f"{name}, ONNX Runtime {version()}"

    def make_net(
        self, net: ir.NetGraph, backend: Backend, device: str | None = None, size: tuple[int, int] | None = None
    ) -> Net:
        """Its session is made at once."""
        from mrcnn_cv.engines.onnxruntime.net import OnnxRuntimeNet

        shapes: dict[str, tuple[Side, ...]] = dict(input_shapes(net))
        if size is not None:
            shapes = {name: (*shape[:2], *size) if len(shape) == 4 else shape for name, shape in shapes.items()}
        return OnnxRuntimeNet(net, backend.name, device or _best_device(), shapes)


@cache
def _best_device() -> str:
    """A graphics card if there is one that works, else the processor."""
    from mrcnn_cv.engines.onnxruntime.net import CPU, automatic_devices, problem_with

    others = (name for name in automatic_devices() if name != CPU)
    return next((name for name in others if problem_with(name) is None), CPU)
