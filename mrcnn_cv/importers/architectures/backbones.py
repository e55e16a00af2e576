"""Residual networks ("Deep Residual Learning", figure 5) and feature pyramids (the paper of that name, figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.importers.architectures.layers import LayerStack

STAGES = (2, 3, 4, 5)

_DEPTHS: Mapping[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}


@dataclass(frozen=True)
class ResNetRule:
    """What the weights of a residual network do not tell.

    stride_in_1x1  a stage that halves its map does so in its first 1x1 convolution (the paper's), not in its 3x3 one
    dilations      of the 3x3 convolutions of the stages 2 to 5; where they are more than 1 the stage halves nothing
    """

    stride_in_1x1: bool = False
    dilations: tuple[int, int, int, int] = (1, 1, 1, 1)


def resnet(net: LayerStack, rule: ResNetRule, stages: Sequence[int] = STAGES) -> dict[int, tuple[str, int]]:
    """Stage → (its map, channels), from an image on."""
    stem = net.conv(net.start, "stem.conv1", stride=2, relu=True)
    channels = net.channels("stem.conv1")
    at = net.add(ir.MaxPool2d, "stem.pool", [stem], kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    found: dict[int, tuple[str, int]] = {}
    for stage in stages:
        at, channels = residual_stage(net, at, channels, stage, rule)
        found[stage] = at, channels
    return found


def residual_stage(net: LayerStack, at: str, channels: int, stage: int, rule: ResNetRule) -> tuple[str, int]:
    """(the map, channels) behind all blocks of a stage."""
    count = net.weights.count(rf"res{stage}\.(\d+)\.")
    if count == 0:
        raise ModelFileError(f"has no blocks of the stage {stage} of a residual network")
    dilation = rule.dilations[stage - 2]
    for block in range(count):
        stride = 2 if block == 0 and stage > 2 and dilation == 1 else 1
        at, channels = _block(net, at, channels, f"res{stage}.{block}", stride, dilation, rule)
    return at, channels


def _block(
    net: LayerStack, at: str, channels: int, name: str, stride: int, dilation: int, rule: ResNetRule
) -> tuple[str, int]:
    shortcut = at
    if f"{name}.shortcut.weight" in net.weights:
        shortcut = net.conv(at, f"{name}.shortcut", stride=stride)
    is_bottleneck = f"{name}.conv3.weight" in net.weights
    first, second = (stride, 1) if not is_bottleneck or rule.stride_in_1x1 else (1, stride)
    inside = net.conv(at, f"{name}.conv1", stride=first, dilation=1 if is_bottleneck else dilation, relu=True)
    width = net.channels(f"{name}.conv1")
    last = f"{name}.conv2"
    inside = net.conv(inside, last, stride=second, dilation=dilation, in_channels=width, relu=is_bottleneck)
    if is_bottleneck:
        last = f"{name}.conv3"
        inside = net.conv(inside, last)
    total = net.add(ir.Add, f"{name}.sum", [inside, shortcut])
    return net.add(ir.Relu, name, [total]), net.channels(last)


def feature_pyramid(net: LayerStack, maps: Sequence[str], mean: bool = False) -> list[str]:
    """The maps of a pyramid, finest first, of those of a backbone; each coarser one is enlarged by repeating pixels.

    mean: of a map and the enlarged one, instead of their sum.
    """
    results: list[str] = []
    above: str | None = None
    for level in reversed(range(len(maps))):
        lateral = net.conv(maps[level], f"fpn_lateral{level}")
        if above is not None:
            enlarged = net.add(ir.Upsample, f"fpn_enlarged{level}", [above], factors=(2, 2))
            lateral = net.add(ir.Add, f"fpn_sum{level}", [lateral, enlarged])
            if mean:
                lateral = net.add(ir.Affine, f"fpn_mean{level}", [lateral], scale=np.array(0.5), shift=np.array(0.0))
        results.insert(0, net.conv(lateral, f"fpn_output{level}"))
        above = lateral
    return results


def coarser(net: LayerStack, at: str) -> str:
    """One more level for anchors: every second pixel of the coarsest map."""
    return net.add(ir.MaxPool2d, "fpn_pool", [at], kernel=(1, 1), stride=(2, 2))


def residual_name(net: LayerStack) -> str:
    """ResNet-50 and its like, from the blocks that there are."""
    counts = tuple(net.weights.count(rf"res{stage}\.(\d+)\.") for stage in STAGES)
    is_bottleneck = "res2.0.conv3.weight" in net.weights
    wide = net.weights.take("res2.0.conv2.weight").shape[1] < net.channels("res2.0.conv1")
    depth = _DEPTHS.get((is_bottleneck, counts))
    kind = "ResNeXt" if wide else "ResNet"
    return f"{kind}-{depth}" if depth else f"{kind} of {'-'.join(map(str, counts))} blocks"
