"""The net that this OpenCV runs: the classic engine's before 5.1, its own engine's from there on."""

from __future__ import annotations

import pytest

from mrcnn_cv.engines.opencv.net import CvNet
from mrcnn_cv.engines.opencv.onnx_net import CvOnnxNet, is_the_engine
from mrcnn_cv.engines.registry import BACKENDS
from mrcnn_cv.graph import ir

OpenCvNet: type[CvNet] | type[CvOnnxNet] = CvOnnxNet if is_the_engine() else CvNet

classic_only = pytest.mark.skipif(is_the_engine(), reason="OpenCV 5.1 and later have no classic engine")


def opencv_net(net: ir.NetGraph) -> CvNet | CvOnnxNet:
    """One piece, on the processor."""
    return CvOnnxNet(net) if is_the_engine() else CvNet(net, BACKENDS["cpu"])
