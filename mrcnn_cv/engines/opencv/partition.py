"""A net taken apart into pieces that run one behind the other, each by what does it fastest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mrcnn_cv.engines.opencv.windows import window_of
from mrcnn_cv.graph import ir

Size = tuple[int, int]
Kind = Literal["net", "product", "rows", "upsampled", "pool", "winograd", "winograd or product"]

_KEEP_SIZE = (*ir.ACTIVATIONS, ir.Affine, ir.Add, ir.Mul, ir.Concat)


@dataclass(frozen=True)
class Piece:
    """A part of a net.

    kind: "net": by cv2.dnn. "product": by a matrix product, one or more convolutions that take the same maps, its
    first input.
    "rows": the same for a fully connected layer. "upsampled": the same for a convolution of maps that are resized
    before. "winograd": a convolution of 3x3 by many smaller products; "winograd or product": by whichever is faster
    for the maps that come. "pool": a MaxPool, by numpy.
    """

    net: ir.NetGraph
    kind: Kind


class Layers:
    """The layers of a net, and who takes what they give."""

    def __init__(self, net: ir.NetGraph) -> None:
        self.net = net
        self.outputs = frozenset(net.outputs)
        self.by_name = net.by_name
        self.consumers = {name: [layer.name for layer in layers] for name, layers in net.consumers().items()}

    def convolutions(self) -> list[ir.Conv2d]:
        """Those that take all channels of their maps at once, each at its place."""
        found = (layer for layer in self.net if isinstance(layer, ir.Conv2d))
        return [layer for layer in found if layer.groups == 1 and (layer.dilation == (1, 1) or layer.kernel == (1, 1))]

    def map_sizes(self, size: Size) -> dict[str, Size]:
        """Of the layers whose maps' (height, width) can be told when those of the inputs are `size`."""
        sizes = dict.fromkeys(self.net.inputs, size)
        for layer in self.net:
            known = sizes.get(layer.inputs[0])
            if known is None:
                continue
            window = window_of(layer)
            if isinstance(layer, _KEEP_SIZE):
                sizes[layer.name] = known
            elif window is not None:
                sizes[layer.name] = window.result_size(known)
        return sizes

    def strides(self) -> dict[str, float]:
        """Of the layers: of how many pixels of an input, on its wider axis, one of theirs is the place."""
        strides = dict.fromkeys(self.net.inputs, 1.0)
        for layer in self.net:
            own: float = max(getattr(layer, "stride", (1, 1)))
            if isinstance(layer, ir.Upsample):
                own = 1 / min(layer.factors)
            strides[layer.name] = max(strides[name] for name in layer.inputs) * own
        return strides

    def chain(self, kind: Kind, first: str, kinds: tuple[type[ir.Layer], ...], group: object = None) -> Chain:
        """A layer and those of `kinds` behind it that alone take what comes before. group: see `Chain`."""
        found = [first]
        while found[-1] not in self.outputs:
            consumers = self.consumers.get(found[-1], [])
            if len(consumers) != 1 or not isinstance(self.by_name[consumers[0]], kinds):
                break
            found.append(consumers[0])
        return Chain(kind, tuple(found), first if group is None else group)


@dataclass(frozen=True)
class Chain:
    """A layer and what follows it on each pixel of its result. Those of one group are one piece."""

    kind: Kind
    names: tuple[str, ...]
    group: object


def cut(layers: Layers, chains: Iterable[Chain]) -> list[Piece]:
    """A net in the order in which its parts run: the chains, and all that lies between them."""
    owners: dict[str, Chain] = {}
    for each in chains:
        # Of two convolutions with a sum behind both, the first one has it.
        own = tuple(name for name in each.names if name not in owners)
        owners |= dict.fromkeys(own, Chain(each.kind, own, each.group))
    steps = _steps(layers, owners)
    parts: dict[tuple[int, object], list[str]] = {}
    for layer in layers.net:
        owner = owners.get(layer.name)
        parts.setdefault((steps[layer.name], None if owner is None else owner.group), []).append(layer.name)
    pieces = []
    for _, own_names in sorted(parts.items(), key=lambda item: item[0][0]):
        net = some_of(layers, own_names)
        if net.outputs:
            owner = owners.get(own_names[0])
            pieces.append(Piece(net, "net" if owner is None else owner.kind))
    return pieces


def _steps(layers: Layers, owners: dict[str, Chain]) -> dict[str, int]:
    """When each layer runs. Even steps are ordinary parts, odd ones those of chains."""
    steps: dict[str, int] = dict.fromkeys(layers.net.inputs, 0)
    for layer in layers.net:
        owner = owners.get(layer.name)
        if owner is None:
            latest = max((steps[source] for source in layer.inputs), default=0)
            steps[layer.name] = latest + latest % 2
        elif layer.name == owner.names[-1]:
            # Only here all is known that the layers of the chain take.
            taken = {source for each in owner.names for source in layers.by_name[each].inputs}.difference(owner.names)
            latest = max((steps[source] for source in taken), default=0)
            steps |= dict.fromkeys(owner.names, latest + 1 + latest % 2)
    return steps


def some_of(layers: Layers, names: list[str]) -> ir.NetGraph:
    """Some layers as a net of their own."""
    inside = set(names)
    own = [layers.by_name[name] for name in names]
    inputs = tuple(dict.fromkeys(source for layer in own for source in layer.inputs if source not in inside))
    outputs = tuple(
        name for name in names if name in layers.outputs or not inside.issuperset(layers.consumers.get(name, []))
    )
    return ir.NetGraph(inputs, outputs, tuple(own), layers.net.source)
