"""A net built from named weights: convolutions with what norms them, fully connected layers, and what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.importers.architectures.weights import NamedWeights


@dataclass(frozen=True)
class NormRule:
    """What norms do: w * (x - mean) / sqrt(variance + epsilon) + b, from statistics that are there or 0 and 1."""

    epsilon: float


class LayerStack:
    """A net in the making. Each method appends layers behind the one that is named, and gives the name of the last."""

    def __init__(self, weights: NamedWeights, start: str, norm: NormRule) -> None:
        self.weights = weights
        self.start = start
        self._norm = norm
        self._builder = NetBuilder((start,))

    def conv(
        self,
        after: str,
        name: str,
        *,
        stride: int = 1,
        dilation: int = 1,
        in_channels: int | None = None,
        rows: Sequence[int] | None = None,
        relu: bool = False,
        as_name: str | None = None,
    ) -> str:
        """A convolution with as many zeros around its map as keep the size, its norm folded in.

        in_channels: of the map, where they tell the groups. rows: output channels, in an order of their own.
        as_name: of the layer, where the same weights make several.
        """
        weight = self.weights.take(f"{name}.weight", 4)
        groups = 1 if in_channels is None else in_channels // max(1, weight.shape[1])
        scale, bias = self._scale_and_bias(name, weight.shape[0])
        if rows is not None:
            weight, bias = weight[np.array(rows)], None if bias is None else bias[np.array(rows)]
        padding = tuple(dilation * (side - 1) // 2 for side in weight.shape[2:]) * 2
        result = self._builder.add(
            ir.Conv2d,
            as_name or name,
            [after],
            weight=weight,
            bias=bias,
            scale=scale,
            stride=(stride, stride),
            padding=padding,
            dilation=(dilation, dilation),
            groups=groups,
        )
        return self.add(ir.Relu, f"{result}.relu", [result]) if relu else result

    def linear(
        self,
        after: str,
        name: str,
        *,
        map_shape: tuple[int, ...] = (),
        rows: Sequence[int] | None = None,
        relu: bool = False,
    ) -> str:
        """A fully connected layer. map_shape: (C, H, W) of a flattened map that it takes channels last."""
        weight = self.weights.take(f"{name}.weight", 2)
        bias = self._bias(name, len(weight))
        if rows is not None:
            weight, bias = weight[np.array(rows)], None if bias is None else bias[np.array(rows)]
        if map_shape:
            if np.prod(map_shape) != weight.shape[1]:
                raise ModelFileError(
                    f"has a layer '{self.weights.original(f'{name}.weight')}' that takes {weight.shape[1]} numbers,"
                    f" where its crops have {int(np.prod(map_shape))}"
                )
            # Its rows are in the order C, H, W.
            weight = weight.reshape(-1, *map_shape).transpose(0, 2, 3, 1)
        result = self._builder.add(ir.Linear, name, [after], weight=weight, bias=_as_bias(bias))
        return self.add(ir.Relu, f"{result}.relu", [result]) if relu else result

    def deconv(self, after: str, name: str) -> str:
        """A transposed convolution whose patches lie side by side, with its activation."""
        weight = self.weights.take(f"{name}.weight", 4)
        bias = self._bias(name, weight.shape[1])
        result = self._builder.add(ir.ConvTranspose2d, name, [after], weight=weight, bias=_as_bias(bias))
        return self.add(ir.Relu, f"{result}.relu", [result])

    def add(self, layer_class: type[ir.Layer], name: str, inputs: Sequence[str], **fields: Any) -> str:
        """Any other layer; see `NetBuilder.add`."""
        return self._builder.add(layer_class, name, inputs, **fields)

    def channels(self, name: str) -> int:
        """Of the map that a convolution makes, from its weights."""
        return int(self.weights.take(f"{name}.weight").shape[0])

    def finish(self, outputs: Sequence[str]) -> ir.NetGraph:
        """The net."""
        return self._builder.finish(outputs)

    def _scale_and_bias(self, name: str, channels: int) -> tuple[NDArray[np.float64] | None, ir.Float | None]:
        """Of a convolution and the norm behind it: factors of its weights, and what is added."""
        bias = self._bias(name, channels)
        if f"{name}.norm.weight" not in self.weights:
            return None, _as_bias(bias)
        gain, shift = (self._vector(f"{name}.norm.{part}", channels) for part in ("weight", "bias"))
        mean = self._statistic(f"{name}.norm.running_mean", channels, 0.0)
        variance = self._statistic(f"{name}.norm.running_var", channels, 1.0)
        if (variance + self._norm.epsilon <= 0).any():
            raise ModelFileError(
                f"holds variances in '{self.weights.original(f'{name}.norm.running_var')}' that are not positive"
            )
        scale = gain / np.sqrt(variance + self._norm.epsilon)
        before = 0.0 if bias is None else bias.astype(np.float64)
        return scale, (shift + (before - mean) * scale).astype(np.float32)

    def _bias(self, name: str, channels: int) -> NDArray[Any] | None:
        bias = self.weights.find(f"{name}.bias", 1)
        if bias is not None and len(bias) != channels:
            raise self._wrong_length(f"{name}.bias", len(bias), channels)
        return bias

    def _wrong_length(self, name: str, length: int, channels: int) -> ModelFileError:
        return ModelFileError(f"holds {length} numbers in '{self.weights.original(name)}' for {channels} channels")

    def _vector(self, name: str, channels: int) -> NDArray[np.float64]:
        array = self.weights.take(name, 1)
        if len(array) != channels:
            raise self._wrong_length(name, len(array), channels)
        return array.astype(np.float64)

    def _statistic(self, name: str, channels: int, absent: float) -> NDArray[np.float64]:
        return self._vector(name, channels) if name in self.weights else np.full(channels, absent)


def _as_bias(bias: NDArray[Any] | None) -> ir.Float | None:
    return None if bias is None else bias.astype(np.float32)
