"""Nets of cv2.dnn: what its engines have in common, and the classic one, of OpenCV 4.10 to 5.0."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.engines.base import Backend, Float
from mrcnn_cv.engines.registry import BACKENDS, OPENCV_INFERENCE_ENGINE
from mrcnn_cv.errors import BackendError, ModelFileError, brief
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.export.tensorflow import BIAS_SUFFIX, to_tensorflow
from mrcnn_cv.util.opencv import cv2, signals_deferred

NETS = 2
"""For inputs of how many kinds of sizes a net is kept, see `_step_of_sizes`: upright photos and others."""

_LAYER_MARK = re.compile(r"((?:OCV|CUDA|OpenVINO)/[A-Z0-9_]+)\\n")
"""How a dump ends a layer's text: backend, target, and a line feed in the spelling of Graphviz."""


class CvDnnNet(ABC):
    """A net run by an engine of cv2.dnn."""

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `Net.run`; an error inside OpenCV is a BackendError, or a MemoryError."""
        return [output if output.flags.owndata else np.array(output) for output in self.views(inputs)]

    @abstractmethod
    def views(self, inputs: Mapping[str, Float]) -> list[Float]:
        """The same in arrays that the next run may overwrite."""

    @abstractmethod
    def devices(self) -> set[str]:
        """See `Net.devices`."""


def forward(net: cv2.dnn.Net, inputs: Mapping[str, Float], outputs: list[str]) -> list[Float]:
    """What a net of OpenCV makes of its inputs; its errors as those of `CvDnnNet.run`."""
    try:
        for name, value in inputs.items():
            net.setInput(value, name)
        found: list[Any] = list(net.forward(outputs))
        return found
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem or "bad_alloc" in str(error):
            raise MemoryError(brief(error)) from error
        raise BackendError(f"OpenCV {cv2.__version__} failed inside the net: {brief(error)}") from error


class CvNet(CvDnnNet):
    """A net run by cv2.dnn's classic engine."""

    def __init__(self, net: ir.NetGraph, backend: Backend) -> None:
        self._backend = backend
        self.survives_fork = backend.target == "DNN_TARGET_CPU"
        self._step = step_of_sizes(net)
        exported = to_tensorflow(net)
        self._net = _read(exported.message, backend)
        self._message = exported.message if self._step > 1 else None
        self._nets: dict[tuple[int, ...], cv2.dnn.Net] = {}
        layers = set(self._net.getLayerNames())
        # The importer folds a bias into its convolution and keeps only the convolution's name.
        self._outputs = [name if name in layers else name.removesuffix(BIAS_SUFFIX) for name in exported.outputs]
        missing = [name for name in self._outputs if name not in layers]
        if missing:
            raise ModelFileError(f"OpenCV {cv2.__version__} does not import the layer '{missing[0]}'")

    def views(self, inputs: Mapping[str, Float]) -> list[Float]:
        """See `CvDnnNet.views`."""
        self._net = self._net_for(tuple(side % self._step for value in inputs.values() for side in value.shape[2:]))
        return forward(self._net, inputs, self._outputs)

    def _net_for(self, kind: tuple[int, ...]) -> cv2.dnn.Net:
        """The net for inputs of this kind of sizes; of those that were used lately a few are kept."""
        if not self._nets:
            self._nets[kind] = self._net
        elif kind not in self._nets:
            if len(self._nets) == NETS:
                del self._nets[next(iter(self._nets))]
            assert self._message is not None
            self._nets[kind] = _read(self._message, self._backend)
        # The last one is the one that was used last.
        self._nets[kind] = self._nets.pop(kind)
        return self._nets[kind]

    def devices(self) -> set[str]:
        """Read from OpenCV's own dump of the net, which marks every layer with what it was set up on.

        Empty for a net that has not run yet, such as a mask head as long as nothing was found.
        """
        if not self._nets:
            return set()
        marks = set(_LAYER_MARK.findall(self._net.dump()))
        return {backend.name for backend in (*BACKENDS.values(), OPENCV_INFERENCE_ENGINE) if backend.mark in marks}


def step_of_sizes(net: ir.NetGraph) -> int:
    """Inputs whose sides differ by multiples of this have the same SAME paddings in all layers.

    cv2.dnn keeps the paddings of a net's first input, all of them before 4.13 and some of them still in 5.0, and is
    wrong about inputs with others without a word.
    """
    steps = dict.fromkeys(net.inputs, 1)
    largest = 1
    for layer in net:
        stride = max(layer.stride) if isinstance(layer, (ir.Conv2d, ir.MaxPool2d, ir.AvgPool2d)) else 1
        steps[layer.name] = max(steps[name] for name in layer.inputs) * stride
        if stride > 1 and getattr(layer, "padding", None) == "same":
            largest = max(largest, steps[layer.name])
    return largest


def _read(message: NDArray[np.uint8], backend: Backend) -> cv2.dnn.Net:
    # OpenCV 5's new engine ignores backends and targets; where there is a choice, ask for the classic one by name.
    importer: dict[str, Any] = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    try:
        with signals_deferred():
            net: cv2.dnn.Net = cv2.dnn.readNetFromTensorflow(message, **importer)
    except cv2.error as error:
        raise ModelFileError(f"OpenCV {cv2.__version__} cannot import the net: {brief(error)}") from error
    try:
        net.setPreferableBackend(getattr(cv2.dnn, backend.cv_backend))
        net.setPreferableTarget(getattr(cv2.dnn, backend.target))
    except cv2.error as error:
        raise BackendError(f"OpenCV {cv2.__version__} cannot set up {backend.name}: {brief(error)}") from error
    return net
