"""Average pools behind the convolutions of 1x1 that follow them, where they have fewer channels to go through.

Both are linear, and an average of equal biases is that bias, so that nothing changes but the rounding. In an Inception
block the pool then takes a fifth of the time.
"""

from __future__ import annotations

from dataclasses import replace

from mrcnn_cv.graph.ir import NO_PADDING, AvgPool2d, Conv2d, Layer, NetGraph, in_order


def pools_last(net: NetGraph) -> NetGraph:
    """The net with the same outputs, whose values keep their names."""
    consumers = net.consumers()
    layers = net.by_name
    moved: dict[str, str] = {}
    for pool in net:
        if not isinstance(pool, AvgPool2d) or pool.name in net.outputs:
            continue
        convolution = _pointwise_consumer(consumers.get(pool.name, []))
        if convolution is None or convolution.name in net.outputs:
            continue
        # Both as they are by now: what they take may itself have moved.
        layers[convolution.name] = replace(layers[convolution.name], inputs=layers[pool.name].inputs)
        layers[pool.name] = replace(layers[pool.name], inputs=(convolution.name,))
        moved[convolution.name] = pool.name
        for taker in consumers.get(convolution.name, []):
            own = layers[taker.name]
            inputs = tuple(pool.name if name == convolution.name else name for name in own.inputs)
            layers[taker.name] = replace(own, inputs=inputs)
    return replace(net, layers=in_order(net.inputs, layers.values())) if moved else net


def _pointwise_consumer(consumers: list[Layer]) -> Conv2d | None:
    """The convolution of 1x1 with fewer results than it takes that alone takes a pool; None for anything else."""
    if len(consumers) != 1 or not isinstance(consumers[0], Conv2d):
        return None
    layer = consumers[0]
    plain = layer.kernel == layer.stride == (1, 1) and layer.padding in (NO_PADDING, "same") and layer.groups == 1
    return layer if plain and layer.out_channels < layer.in_channels else None
