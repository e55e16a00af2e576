"""Shapes of a net's maps and rows as far as they are known: images are of any size, crops of any number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from mrcnn_cv.graph import ir

Side = int | None
Shape = tuple[Side, ...]
"""(N, C, H, W) or (N, K); None: not known."""

Window = ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d

_ANY_MAP: Shape = (None, None, None, None)
_OF_AS_MANY_CHANNELS = (
    *(*ir.ACTIVATIONS, ir.MaxPool2d, ir.AvgPool2d, ir.GlobalAvgPool, ir.Pad, ir.Upsample, ir.Resize),
    *(ir.Add, ir.Mul, ir.Affine),
)


def partial_shapes(net: ir.NetGraph, inputs: Mapping[str, Sequence[Side]] | None = None) -> dict[str, Shape]:
    """The shapes of all inputs and layers.

    inputs: shapes of some inputs or of all; of others, the layers that take them tell what they can. Shapes that do
    not fit together are not looked for.
    """
    shapes = input_shapes(net, inputs)
    for layer in net:
        shapes[layer.name] = output_shape(layer, [shapes[name] for name in layer.inputs])
    return shapes


def input_shapes(net: ir.NetGraph, given: Mapping[str, Sequence[Side]] | None = None) -> dict[str, Shape]:
    """The shapes of the inputs: as they are given, else maps or rows as the first layer with weights takes them."""
    found: dict[str, Shape] = {name: tuple(shape) for name, shape in (given or {}).items() if name in net.inputs}
    origins = {name: name for name in net.inputs}
    for layer in net:
        for origin in [origins[name] for name in layer.inputs if name in origins]:
            if origin not in found and isinstance(layer, ir.Linear):
                found[origin] = (None, layer.in_features)
            elif origin not in found and isinstance(layer, (ir.Conv2d, ir.ConvTranspose2d)):
                found[origin] = (None, layer.in_channels, None, None)
            if isinstance(layer, _OF_AS_MANY_CHANNELS):
                origins[layer.name] = origin
    return {name: found.get(name, _ANY_MAP) for name in net.inputs}


def same_padding(layer: Window, size: Sequence[Side]) -> tuple[int, int, int, int] | None:
    """What "same" of a layer means for a map of `size` (height, width); None where that must be known and is not."""
    begin, end = [], []
    for (extent, stride), side in zip(_extents(layer), size, strict=True):
        if stride == 1 or extent == 1:
            total = extent - 1 if stride == 1 else 0
        elif side is None:
            return None
        else:
            total = max(0, (-(-side // stride) - 1) * stride + extent - side)
        begin.append(total // 2)
        end.append(total - total // 2)
    return begin[0], begin[1], end[0], end[1]


def _extents(layer: Window) -> Iterator[tuple[int, int]]:
    """(cells from a window's first to its last, stride) by axis."""
    dilation = layer.dilation if isinstance(layer, ir.Conv2d) else (1, 1)
    for side, step, stride in zip(layer.kernel, dilation, layer.stride, strict=True):
        yield (side - 1) * step + 1, stride


def _windows(layer: Window, size: Sequence[Side]) -> Iterator[Side]:
    """How many places a window has along each side."""
    for axis, ((extent, stride), side) in enumerate(zip(_extents(layer), size, strict=True)):
        if side is None or layer.padding == "same":
            yield None if side is None else -(-side // stride)
        else:
            yield (side + layer.padding[axis] + layer.padding[axis + 2] - extent) // stride + 1


def _times(side: Side, factor: int) -> Side:
    return None if side is None else side * factor


def _merged(shapes: Sequence[Shape]) -> Shape:
    """Of maps of one shape, of which one may have a single pixel that goes with all of another's."""
    longest = max(shapes, key=len)
    sides: list[Side] = []
    for axis in range(len(longest)):
        each = [shape[axis] for shape in shapes if len(shape) == len(longest)]
        known = [side for side in each if side is not None]
        # A side of 1 beside one that is not known says nothing.
        sides.append(None if len(known) < len(each) and max(known, default=1) == 1 else max(known))
    return tuple(sides)


def output_shape(layer: ir.Layer, sources: Sequence[Shape]) -> Shape:
    """What a layer makes of maps or rows of these shapes, which fit together."""
    source = sources[0]
    count, size = source[0], source[2:]
    match layer:
        case ir.Linear():
            return count, layer.out_features
        case ir.Flatten():
            return count, None if None in source[1:] else prod(side or 0 for side in source[1:])
        case ir.Add() | ir.Mul():
            return _merged(sources)
        case ir.Affine():
            return count, len(layer.scale), *size
    if len(source) != 4:
        return source
    channels, height, width = source[1:]
    match layer:
        case ir.Conv2d():
            return count, layer.out_channels, *_windows(layer, size)
        case ir.MaxPool2d() | ir.AvgPool2d():
            return count, channels, *_windows(layer, size)
        case ir.ConvTranspose2d():
            return count, layer.out_channels, _times(height, layer.kernel[0]), _times(width, layer.kernel[1])
        case ir.GlobalAvgPool():
            return count, channels, 1, 1
        case ir.Upsample():
            return count, channels, _times(height, layer.factors[0]), _times(width, layer.factors[1])
        case ir.Resize():
            return count, channels, *layer.size
        case ir.Pad():
            top, left, bottom, right = layer.padding
            padded = (height and height + top + bottom, width and width + left + right)
            return count, channels, *padded
        case ir.Concat():
            together = [shape[1] for shape in sources]
            return count, None if None in together else sum(side or 0 for side in together), *_merged(sources)[2:]
    return source
