"""Nets of random layers: what shape inference accepts, the engine must run, and with the numbers of plain numpy."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.engines.select import BACKENDS, make_net, set_threads
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.passes import standard_passes
from mrcnn_cv.graph.shape_inference import Shape, ShapeInference
from tests.graph import reference
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {3}

SIDES = (1, 1, 2, 3, 5, 8, 13, 33, 64)
SMALL = (1, 1, 1, 2, 3, 5, 7)
INPUT = (1, 3, 17, 23)

MOST_BYTES = 1 << 23
MOST_WEIGHTS = 1 << 18

MAX_SEEN = 1 << 23
"""Numbers that the windows of a layer see all together; with more, plain numpy takes too long."""

Add = Callable[[NetBuilder, random.Random, str, str, Shape], str]


def _window(chance: random.Random) -> dict[str, Any]:
    sides = SIDES if chance.random() < 0.3 else SMALL
    explicit = tuple(chance.choice((0, 0, 1, 2, 31)) for _ in range(4))
    padding = chance.choice(("same", "same", ir.NO_PADDING, explicit))
    return {"stride": (chance.choice(sides), chance.choice(sides)), "padding": padding}


def _kernel(chance: random.Random) -> ir.Pair:
    sides = SIDES if chance.random() < 0.3 else SMALL
    return chance.choice(sides), chance.choice(sides)


def _weights(chance: random.Random, *shape: int) -> NDArray[Any]:
    """Of a size that lets numbers neither vanish nor grow from layer to layer."""
    if np.prod(shape) > MOST_WEIGHTS:
        raise ModelFileError("weights that take too long")
    values: NDArray[Any] = np.random.default_rng(chance.randrange(1 << 30)).normal(size=shape)
    dtype: type[Any] = chance.choice((np.float32, np.float32, np.float16))
    return np.asarray(values / math.sqrt(math.prod(shape[1:])), dtype)


def _weighted(build: NetBuilder, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    channels, kernel = shape[1], (chance.choice((*SMALL, 9, 31)), chance.choice((*SMALL, 9, 31)))
    if len(shape) == 2:
        out = chance.choice((1, 2, 7, 64))
        weight = _weights(chance, out, channels)
        return build.add(ir.Linear, name, [source], weight=weight, **_rest(chance, out))
    kind = chance.choice(("full", "full", "depthwise", "transposed"))
    if kind == "transposed":
        weight = _weights(chance, channels, 4, chance.choice(SIDES), chance.choice(SIDES))
        return build.add(ir.ConvTranspose2d, name, [source], weight=weight, **_rest(chance, 4))
    window = _window(chance)
    if kind == "depthwise":
        groups, out = channels, chance.choice((1, 2)) * channels
    else:
        groups = chance.choice((1, 1, channels, 2, 3))
        groups, out = (1 if channels % groups else groups), chance.choice((1, 3, 8, groups, 2 * groups))
        if chance.random() < 0.4:
            window = {"padding": "same", "dilation": (chance.choice((2, 5, 64)), chance.choice((2, 2, 3)))}
    weight = _weights(chance, out, channels // groups, *kernel)
    return build.add(ir.Conv2d, name, [source], weight=weight, groups=groups, **window, **_rest(chance, out))


def _rest(chance: random.Random, out: int) -> dict[str, Any]:
    """A bias and factors, or not."""
    bias = _weights(chance, out) if chance.random() < 0.7 else None
    return {"bias": bias, "scale": np.linspace(0.5, 1.5, out) if chance.random() < 0.5 else None}


def _pool(build: NetBuilder, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    kind = chance.choice((ir.MaxPool2d, ir.AvgPool2d))
    return build.add(kind, name, [source], kernel=_kernel(chance), **_window(chance))


def _activation(build: NetBuilder, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    kind = chance.choice(ir.ACTIVATIONS)
    return build.add(kind, name, [source], **({"alpha": 0.2, "beta": 0.5} if kind is ir.HardSigmoid else {}))


def _other(build: NetBuilder, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    kind = chance.randrange(8)
    if kind == 0:
        return build.add(ir.Pad, name, [source], padding=tuple(chance.choice(SIDES) for _ in range(4)))
    if kind == 1:
        return build.add(ir.GlobalAvgPool, name, [source])
    if kind in (2, 3):
        return build.add(ir.Flatten, name, [source], channels_last=chance.random() < 0.7)
    if kind == 4:
        return build.add(ir.Upsample, name, [source], factors=(chance.choice(SIDES), chance.choice(SIDES)))
    if kind == 5:
        mode, rule = (
            chance.choice(("bilinear", "nearest")),
            chance.choice(("asymmetric", "half_pixel", "align_corners")),
        )
        return build.add(
            ir.Resize, name, [source], size=(chance.choice(SIDES), chance.choice(SIDES)), mode=mode, coordinates=rule
        )
    if kind == 6:
        size = chance.choice((shape[1], shape[1], shape[1], 1, 4))
        return build.add(ir.Affine, name, [source], scale=np.full(size, 1.5), shift=np.full(size, 0.5))
    return build.add(ir.Concat, name, [source] * chance.choice((1, 2, 3, 40)))


def _joined(build: NetBuilder, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    second = _activation(build, chance, f"{name}/second", source, shape)
    if chance.random() < 0.3:
        second = _weighted(build, chance, f"{name}/other", source, shape)
    kind = chance.randrange(3)
    if kind == 0:
        return build.add(ir.Add, name, [source, second])
    if kind == 1:
        return build.add(ir.Concat, name, [source, second, source])
    return build.add(ir.Mul, name, [build.add(ir.GlobalAvgPool, f"{name}/mean", [second]), source])


_KINDS: tuple[Add, ...] = (_weighted, _weighted, _weighted, _pool, _pool, _activation, _other, _other, _joined)


def _longer(net: ir.NetGraph, add: Add, chance: random.Random, shape: Shape) -> ir.NetGraph:
    """The net with one more layer or two; ModelFileError where they do not fit."""
    build = NetBuilder(net.inputs)
    for layer in net:
        fields = {name: value for name, value in vars(layer).items() if name not in ("name", "inputs")}
        build.add(type(layer), layer.name, layer.inputs, **fields)
    return build.finish([add(build, chance, f"layer{len(net.layers)}", net.outputs[0], shape)])


def case(number: int, seed: int, folder: Path) -> Path:
    """Up to a dozen layers, of which all but the last fit."""
    chance = random.Random(f"{seed}/{number}")
    net = ir.NetGraph((ir.IMAGE,), (ir.IMAGE,), ())
    shape: Shape = INPUT
    for _ in range(chance.randrange(1, 12)):
        with suppress(ModelFileError):
            longer = _longer(net, chance.choice(_KINDS), chance, shape)
            (shape_of_it,) = ShapeInference(longer).results({ir.IMAGE: INPUT})
            if np.prod(shape_of_it) > MOST_BYTES // 4:
                break
            net, shape = longer, shape_of_it
    path = folder / "net.pickle"
    path.write_bytes(pickle.dumps(standard_passes(net)))
    return path


def attempt(path: Path) -> str:
    """Infer shapes, then run the net and compare."""
    set_threads(1)
    net: ir.NetGraph = pickle.loads(path.read_bytes())
    shapes, inputs = ShapeInference(net), {ir.IMAGE: INPUT}
    layers = shapes.layers(inputs)
    if not layers or shapes.peak_bytes(inputs, layers) > MOST_BYTES:
        return "refused: nothing to run, or too much"
    image = np.random.default_rng(0).normal(size=INPUT).astype(np.float32)
    (found,) = make_net(net, BACKENDS["cpu"]).run({ir.IMAGE: image})
    (expected,) = shapes.results(inputs)
    assert found.shape == expected, f"{found.shape}, not {expected}"
    maps = inputs | {layer.name: layer.output for layer in layers}
    if sum(layer.flops for layer in layers) < MAX_SEEN and not any(_may_differ(layer, maps) for layer in net):
        (numbers,) = reference.run(net, {ir.IMAGE: image})
        difference = np.abs(found - numbers).max()
        assert difference < 1e-3 * max(1, np.abs(numbers).max()), f"off by {difference}"
    return "accepted"


def _may_differ(layer: ir.Layer, maps: Mapping[str, Shape]) -> bool:
    """Whether the last bit of a coordinate decides which pixel is taken, or OpenCV (5.0) is known to be wrong.

    It is about depthwise convolutions of 3x3 on maps that are a single pixel wide or high, of which no model makes any.
    """
    if isinstance(layer, ir.Conv2d):
        return layer.groups > 1 and layer.kernel == (3, 3) and 1 in maps[layer.inputs[0]][2:]
    return isinstance(layer, ir.Resize) and layer.mode == "nearest"


if __name__ == "__main__":
    make_again(case, attempt)
