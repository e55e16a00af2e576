"""Hard sigmoids as a factor, a shift and a ReLU6, for an engine that takes them for something else.

OpenCV 5.1.0 makes a HardSwish of a HardSigmoid and the product behind it, whatever the other factor is: gates of
squeeze-and-excitation units then come out with the size of the gate, without an error.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mrcnn_cv.graph import ir


def spell_hard_sigmoid(net: ir.NetGraph) -> ir.NetGraph:
    """The net with the same results, without a HardSigmoid; one factor and one shift are those of all channels."""
    layers: list[ir.Layer] = []
    for layer in net:
        layers += _spelled(layer) if isinstance(layer, ir.HardSigmoid) else [layer]
    return replace(net, layers=tuple(layers))


def _spelled(layer: ir.HardSigmoid) -> list[ir.Layer]:
    """min(max(a x + b, 0), 1) = min(max(6 a x + 6 b, 0), 6) / 6."""
    sixfold, clipped = f"{layer.name}/sixfold", f"{layer.name}/clipped"
    return [
        ir.Affine(sixfold, layer.inputs, np.array([6.0 * layer.alpha]), np.array([6.0 * layer.beta])),
        ir.Relu6(clipped, (sixfold,)),
        ir.Affine(layer.name, (clipped,), np.array([1 / 6]), np.zeros(1)),
    ]
