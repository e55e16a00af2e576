"""What cv2.dnn gets wrong when it is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv import blas_conv as products
from mrcnn_cv.engines.opencv.partition import Layers
from mrcnn_cv.engines.select import BACKENDS, CvNet, make_net
from mrcnn_cv.graph.builder import BIAS_SUFFIX
from tests.engines.heads import Head

CHANNELS = 16


def dilated(layers: Layers, name: str, maps: Float) -> Float:
    """A dilated 3x3 convolution with its bias, place by place."""
    weights = layers.values(name.removesuffix(BIAS_SUFFIX))
    padded = np.pad(maps, [(0, 0), (0, 0), (2, 2), (2, 2)])
    height, width = maps.shape[2:]
    result = np.zeros_like(maps) + layers.values(name)[:, np.newaxis, np.newaxis]
    for row, column in np.ndindex(3, 3):
        seen = padded[:, :, 2 * row : 2 * row + height, 2 * column : 2 * column + width]
        result += np.einsum("nchw,cd->ndhw", seen, weights[row, column])
    return result


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_dilated_convolution_is_asked_for_and_taken_by_others(
    in_pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LEAST_GAIN", 0)
    head = Head(CHANNELS)
    middle = head.convolution(head.crops, 3, dilation=2)
    stage = head.stage(middle, head.relu(middle), head.convolution(middle, 1))
    net = make_net(stage, BACKENDS["cpu"]) if in_pieces else CvNet(stage, BACKENDS["cpu"])
    layers = Layers(stage)
    for size in ((20, 20), (9, 13)):
        maps = np.random.default_rng(0).normal(size=(1, CHANNELS, *size)).astype(np.float32)
        first, second, third = net.run({"crops": maps})
        expected = dilated(layers, middle, maps)
        np.testing.assert_allclose(first, expected, atol=1e-4)
        np.testing.assert_allclose(second, np.maximum(expected, 0), atol=1e-4)
        name = stage.outputs[2].removesuffix(BIAS_SUFFIX)
        product = np.einsum("nchw,cd->ndhw", expected, layers.values(name)[0, 0])
        np.testing.assert_allclose(
            third, product + layers.values(stage.outputs[2])[:, np.newaxis, np.newaxis], atol=1e-3
        )
