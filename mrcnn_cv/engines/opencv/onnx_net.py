"""A net run by the one engine of OpenCV 5.1 and later, which reads ONNX and runs on the processor alone.

It has another dialect than the engines before it: no backends and no targets (setting them warns and does nothing), and
a net that it cannot read is empty, without an error. It is right for one input size after the other, SAME paddings
included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.net import CvDnnNet, forward
from mrcnn_cv.errors import BackendError, ModelFileError, brief
from mrcnn_cv.graph.export.onnx import to_onnx
from mrcnn_cv.graph.ir import NetGraph
from mrcnn_cv.graph.partial_shapes import Shape, input_shapes
from mrcnn_cv.graph.passes.spell_hard_sigmoid import spell_hard_sigmoid
from mrcnn_cv.util.opencv import cv2, quiet, signals_deferred

DEVICES = frozenset({"cpu"})
"""The backends that this engine has: a build that offers CUDA or OpenCL does so for functions outside of nets."""


def is_the_engine() -> bool:
    """Whether this OpenCV runs nets by this engine: from 5.1 on, where no other is left that reads our nets."""
    return hasattr(cv2.dnn, "ENGINE_OPENCV") and not hasattr(cv2.dnn, "readNetFromTensorflow")


class CvOnnxNet(CvDnnNet):
    """A net run by OpenCV's own engine. shapes: of inputs, where they are known; see `write_onnx`.

    ModelFileError for a net that OpenCV cannot read.
    """

    def __init__(self, net: NetGraph, shapes: Mapping[str, Sequence[int | None]] | None = None) -> None:
        self._outputs = list(net.outputs)
        self._shapes = input_shapes(net, shapes)
        self._net = _read(to_onnx(spell_hard_sigmoid(net), shapes))
        self._has_run = False

    def views(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `CvDnnNet.views`."""
        for name, shape in self._shapes.items():
            self._check(name, shape, inputs[name].shape)
        outputs = forward(
            self._net, {name: np.ascontiguousarray(value) for name, value in inputs.items()}, self._outputs
        )
        self._has_run = True
        return outputs

    @staticmethod
    def _check(name: str, expected: Shape, given: Shape) -> None:
        """OpenCV convolves maps of too few or too many channels without a word."""
        fits = len(given) == len(expected) and all(
            side in (None, own) for side, own in zip(expected, given, strict=True)
        )
        if not fits:
            raise BackendError(f"the net takes '{name}' as {expected}, where None is any number, but is given {given}")

    def devices(self) -> set[str]:
        """See `Net.devices`."""
        return set(DEVICES) if self._has_run else set()


def _read(model: bytes) -> cv2.dnn.Net:
    # The numbers of engines change from version to version; ENGINE_AUTO may be another's engine in some builds.
    engine: int = getattr(cv2.dnn, "ENGINE_OPENCV")  # noqa: B009  (the type stubs of 5.0 do not know it)
    try:
        with quiet(), signals_deferred():
            net: cv2.dnn.Net = cv2.dnn.readNetFromONNX(np.frombuffer(model, dtype=np.uint8), engine=engine)
    except cv2.error as error:
        raise ModelFileError(f"OpenCV {cv2.__version__} cannot import the net: {brief(error)}") from error
    if net.empty():
        raise ModelFileError(f"OpenCV {cv2.__version__} cannot import the net, and does not say why")
    return net
