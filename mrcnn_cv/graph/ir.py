"""NetGraph: one net as typed layers with weight arrays, the language between importers, passes, exporters and engines.

Maps are (N, C, H, W) float32, rows are (N, K). Every layer has one result, which is called by the layer's name. Weights
are numpy arrays of any float type and any strides: as a rule views of the mapped file, which nobody copies before an
engine needs another layout. Layers are frozen; passes make new ones with `dataclasses.replace`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float = NDArray[np.float32]
Pair = tuple[int, int]
"""(vertical, horizontal)."""

Padding = tuple[int, int, int, int] | Literal["same"]
"""(top, left, bottom, right); "same": as many as TensorFlow's SAME adds, which for strides depends on the size of the
map: ceil(side / stride) windows, the odd cell behind."""

NO_PADDING = (0, 0, 0, 0)
IMAGE, CROPS = "image", "crops"
"""The inputs of a backbone, and of a head."""


@dataclass(frozen=True, eq=False)
class Layer:
    """What all layers have. inputs: names of layers, or of inputs of the net."""

    name: str
    inputs: tuple[str, ...]

    @property
    def op(self) -> str:
        """What kind of layer it is, for people."""
        return type(self).__name__

    def arrays(self) -> tuple[Array, ...]:
        """Its weights, as they are stored."""
        return ()


@dataclass(frozen=True, eq=False)
class _WithWeights(Layer):
    """What layers with weights have. bias: (out,), None: none.

    scale: (out,) float64 factors of the weights that a batch norm behind it left, not multiplied yet; None: none.
    """

    weight: Array = field(repr=False)
    bias: Float | None = field(default=None, repr=False)
    scale: NDArray[np.float64] | None = field(default=None, repr=False)

    def arrays(self) -> tuple[Array, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class Conv2d(_WithWeights):
    """A convolution. weight: (out, in / groups, height, width)."""

    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def kernel(self) -> Pair:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def out_channels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def in_channels(self) -> int:
        return int(self.weight.shape[1]) * self.groups

    def folded(self) -> Float:
        """The weights times `scale`: a new float32 array (out, in / groups, height, width)."""
        return _scaled(self.weight, self.scale, 0)


@dataclass(frozen=True, eq=False)
class ConvTranspose2d(_WithWeights):
    """A transposed convolution whose patches lie side by side: its stride is its kernel. weight: (in, out, h, w)."""

    @property
    def kernel(self) -> Pair:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def out_channels(self) -> int:
        return int(self.weight.shape[1])

    @property
    def in_channels(self) -> int:
        return int(self.weight.shape[0])

    def folded(self) -> Float:
        """The weights times `scale`: a new float32 array (in, out, height, width)."""
        return _scaled(self.weight, self.scale, 1)


@dataclass(frozen=True, eq=False)
class Linear(_WithWeights):
    """A fully connected layer on rows. weight: (out, ...), whose further axes together, in C order, are a row."""

    @property
    def out_features(self) -> int:
        return int(self.weight.shape[0])

    @property
    def in_features(self) -> int:
        return prod(self.weight.shape[1:])

    def folded(self) -> Float:
        """The weights times `scale`: a new float32 array (out, in)."""
        return _scaled(self.weight, self.scale, 0).reshape(self.out_features, -1)


def _scaled(weight: Array, scale: NDArray[np.float64] | None, axis: int) -> Float:
    """A copy in C order; products are computed in double precision."""
    if scale is None:
        return np.array(weight, dtype=np.float32, order="C")
    shape = [1] * weight.ndim
    shape[axis] = -1
    result = np.empty(weight.shape, np.float32)
    with np.errstate(all="ignore"):
        np.multiply(weight, scale.reshape(shape), out=result, casting="same_kind", dtype=np.float64)
    return result


@dataclass(frozen=True, eq=False)
class Affine(Layer):
    """result = scale * input + shift, by channel: a batch norm or a constant that no convolution could take in."""

    scale: NDArray[np.float64] = field(repr=False)
    shift: NDArray[np.float64] = field(repr=False)

    def arrays(self) -> tuple[Array, ...]:
        return self.scale, self.shift


@dataclass(frozen=True, eq=False)
class MaxPool2d(Layer):
    """The largest of each window; what pads counts as the smallest number there is."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING


@dataclass(frozen=True, eq=False)
class AvgPool2d(Layer):
    """The mean of each window; what pads does not count. padding: none, or "same"."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING


@dataclass(frozen=True, eq=False)
class GlobalAvgPool(Layer):
    """The mean of each channel: (N, C, 1, 1)."""


@dataclass(frozen=True, eq=False)
class Pad(Layer):
    """Zeros around a map: (top, left, bottom, right)."""

    padding: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Upsample(Layer):
    """Each pixel repeated `factors` (rows, columns) times."""

    factors: Pair


@dataclass(frozen=True, eq=False)
class Resize(Layer):
    """A map resized to `size` (height, width).

    coordinates: which pixel of the map lies under pixel x of the result. "asymmetric": x * old / new;
    "half_pixel": (x + 0.5) * old / new - 0.5; "align_corners": x * (old - 1) / (new - 1). Nearest takes with
    "asymmetric" the pixel rounded down, else the nearest, halves up.
    """

    size: Pair
    mode: Literal["bilinear", "nearest"]
    coordinates: Literal["asymmetric", "half_pixel", "align_corners"]


@dataclass(frozen=True, eq=False)
class Concat(Layer):
    """Maps one behind the other along the channels."""


@dataclass(frozen=True, eq=False)
class Add(Layer):
    """The sum of two maps of one shape."""


@dataclass(frozen=True, eq=False)
class Mul(Layer):
    """The product of two maps, of which one may be (N, C, 1, 1)."""


@dataclass(frozen=True, eq=False)
class Relu(Layer):
    """max(x, 0)."""


@dataclass(frozen=True, eq=False)
class Relu6(Layer):
    """min(max(x, 0), 6)."""


@dataclass(frozen=True, eq=False)
class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""


@dataclass(frozen=True, eq=False)
class HardSigmoid(Layer):
    """min(max(alpha * x + beta, 0), 1)."""

    alpha: float
    beta: float


@dataclass(frozen=True, eq=False)
class HardSwish(Layer):
    """x * min(max(x / 6 + 0.5, 0), 1)."""


@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """Maps as rows (N, C * H * W); channels_last: in the order (H, W, C), as TensorFlow flattens."""

    channels_last: bool = False


Weighted = Conv2d | ConvTranspose2d | Linear
WEIGHTED = (Conv2d, ConvTranspose2d, Linear)
ACTIVATIONS = (Relu, Relu6, Sigmoid, HardSigmoid, HardSwish)
LAYERS: tuple[type[Layer], ...] = (
    *WEIGHTED,
    *ACTIVATIONS,
    *(Affine, MaxPool2d, AvgPool2d, GlobalAvgPool, Pad, Upsample, Resize, Concat, Add, Mul, Flatten),
)
"""The closed set: every exporter and engine knows each of them."""


class Source(Protocol):
    """A file whose bytes weights are views of."""

    def check(self) -> None:
        """ModelFileError where the file is not any more what it was when it was opened."""

    def holds(self, array: Array) -> bool:
        """Whether an array is a view of the file, so that where it lies tells what it is."""

    def release_pages(self) -> None:
        """Nobody needs what was read of it; who reads it again gets it again."""


@dataclass(frozen=True, eq=False)
class NetGraph:
    """One net. layers: each behind those that it takes. inputs, outputs: by name, in order; an input is no layer.

    source: what the weights are views of; None where they are arrays of their own.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...] = field(repr=False)
    source: Source | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[type[NetGraph], tuple[object, ...]]:
        """Pickled with its weights, and without the file that they came from."""
        return NetGraph, (self.inputs, self.outputs, self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @property
    def by_name(self) -> dict[str, Layer]:
        """The layers by name."""
        return {layer.name: layer for layer in self.layers}

    def consumers(self) -> dict[str, list[Layer]]:
        """Who takes each result or input; what only the caller takes is not there. Twice where taken twice."""
        found: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for name in layer.inputs:
                found.setdefault(name, []).append(layer)
        return found

    def check_source(self) -> None:
        """ModelFileError where the weights are those of a file that was changed meanwhile."""
        if self.source is not None:
            self.source.check()

    def release_pages(self) -> None:
        """An engine has copied all weights: what was read of the file may leave memory."""
        if self.source is not None:
            self.source.release_pages()

    def without_weights(self) -> NetGraph:
        """The same inputs and outputs, no layers: what is left to know once engines hold the weights."""
        return NetGraph(self.inputs, self.outputs, ())


def in_order(inputs: Iterable[str], layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Layers each behind those that it takes, else in the given order; ValueError where they go in a circle."""
    waiting = {layer.name: layer for layer in layers}
    known = set(inputs)
    ordered: list[Layer] = []
    for start in list(waiting.values()):
        stack = [start]
        while stack:
            layer = stack[-1]
            if layer.name in known:
                stack.pop()
                continue
            missing = [waiting[name] for name in layer.inputs if name not in known]
            if missing:
                if len(stack) > len(waiting):
                    raise ValueError(f"the layer '{layer.name}' depends on itself")
                stack.extend(missing)
                continue
            known.add(layer.name)
            ordered.append(layer)
            stack.pop()
    return tuple(ordered)
