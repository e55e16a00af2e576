"""A net that takes BGR, for RGB: the channels that its first convolutions take are turned, without a copy."""

from __future__ import annotations

from dataclasses import replace

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import Conv2d, Layer, NetGraph


def swap_rgb(net: NetGraph) -> NetGraph:
    """The net for an image with its three channels in the other order.

    Raises ModelFileError where the image goes into anything but a convolution.
    """
    return replace(net, layers=tuple(_turned(layer) if net.inputs[0] in layer.inputs else layer for layer in net))


def _turned(layer: Layer) -> Layer:
    if not isinstance(layer, Conv2d) or layer.groups != 1 or layer.in_channels != 3:
        raise ModelFileError(f"has a trunk that begins with a {layer.op}, where Detectron2's do with a convolution")
    return replace(layer, weight=layer.weight[:, ::-1])
