"""Maps are flattened as TensorFlow does, (H, W, C); layers that take them by channels get their weights turned.

cv2.dnn's importer knows no other order.
"""

from __future__ import annotations

from dataclasses import replace

from mrcnn_cv.graph import ir
from mrcnn_cv.graph.partial_shapes import partial_shapes


def flatten_channels_last(net: ir.NetGraph) -> ir.NetGraph:
    """The net with the same results; a Flatten stays as it is where its channels are unknown, or others look at it."""
    shapes = partial_shapes(net)
    consumers = net.consumers()
    layers = net.by_name
    turned: dict[str, ir.Layer] = {}
    for layer in net:
        if not isinstance(layer, ir.Flatten) or layer.channels_last:
            continue
        count = shapes[layer.inputs[0]][1]
        linear = _linear_consumers(layer.name, consumers, net.outputs)
        if count is None or linear is None:
            continue
        turned[layer.name] = replace(layer, channels_last=True)
        for each in linear:
            weight = each.weight.reshape(each.out_features, count, -1).swapaxes(1, 2)
            turned[each.name] = replace(each, weight=weight)
    return replace(net, layers=tuple(turned.get(name, layer) for name, layer in layers.items()))


def _linear_consumers(
    name: str, consumers: dict[str, list[ir.Layer]], outputs: tuple[str, ...]
) -> list[ir.Linear] | None:
    """All fully connected layers that take a row, through activations; None where anything else does."""
    found: list[ir.Linear] = []
    waiting = [name]
    for each in waiting:
        if each in outputs:
            return None
        for taker in consumers.get(each, []):
            if isinstance(taker, ir.Linear):
                found.append(taker)
            elif isinstance(taker, ir.ACTIVATIONS):
                waiting.append(taker.name)
            else:
                return None
    return found
