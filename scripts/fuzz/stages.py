"""Nets of random layers, of the kinds that a stage may have: what shape inference accepts, the engine must run."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.engines.select import BACKENDS, make_net, set_threads
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.builder import Writer
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.graph.shape_inference import Plan, Shape
from mrcnn_cv.model.definition import StageGraph
from scripts.fuzz.children import make_again

EXIT_CODES = {3}

SIDES = (1, 1, 2, 3, 5, 8, 13, 33, 64)
SMALL = (1, 1, 1, 2, 3, 5, 7)
INPUT = (17, 23, 3)
"""(height, width, channels)."""

MOST_BYTES = 1 << 23
MOST_WEIGHTS = 1 << 18


def _window(chance: random.Random, op: str, name: str) -> pb.NodeDef:
    node = pb.NodeDef(name=name, op=op)
    sides = SIDES if chance.random() < 0.3 else SMALL
    for attribute in ("strides", "ksize"):
        node.attr[attribute].list.i.extend([1, chance.choice(sides), chance.choice(sides), 1])
    node.attr["padding"].s = chance.choice((b"SAME", b"SAME", b"VALID", b"EXPLICIT"))
    if node.attr["padding"].s == b"EXPLICIT":
        node.attr["explicit_paddings"].list.i.extend([0, 0, *(chance.choice((0, 0, 1, 2, 31)) for _ in range(4)), 0, 0])
    return node


def _weights(chance: random.Random, *shape: int) -> NDArray[np.float32]:
    if np.prod(shape) > MOST_WEIGHTS:
        raise ModelFileError("weights that take too long")
    return np.random.default_rng(chance.randrange(1 << 30)).normal(size=shape).astype(np.float32)


def _convolution(writer: Writer, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    channels, kernel = shape[-1], (chance.choice((*SMALL, 9, 31)), chance.choice((*SMALL, 9, 31)))
    if len(shape) == 2:
        node, out = pb.NodeDef(name=name, op="MatMul"), chance.choice((1, 2, 7, 64))
        return writer.weighted(node, source, _weights(chance, channels, out), _weights(chance, out), 1)
    op = chance.choice(("Conv2D", "Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput"))
    node = _window(chance, op, name)
    if op == "Conv2DBackpropInput":
        sides = node.attr["strides"].list.i[1:3]
        return writer.transposed(node, source, _weights(chance, *sides, channels, 4), _weights(chance, 4))
    groups = chance.choice((1, 1, channels, 2, 3))
    taken = channels if op != "Conv2D" or channels % groups else channels // groups
    out = chance.choice((1, 2)) if op != "Conv2D" else chance.choice((1, 3, 8, groups, 2 * groups))
    dilation = chance.choice((1, 1, 1, 2, 5, 64)) if op == "Conv2D" and all(side % 2 for side in kernel) else 1
    count = out * taken if op != "Conv2D" else out
    return writer.weighted(node, source, _weights(chance, *kernel, taken, out), _weights(chance, count), dilation)


def _pool(writer: Writer, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    return writer.pool(_window(chance, chance.choice(("MaxPool", "AvgPool")), name), source)


def _activation(writer: Writer, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    op = chance.choice(("Relu", "Relu6", "Sigmoid", "HardSwish"))
    return writer.activation(pb.NodeDef(name=name, op=op), source)


def _other(writer: Writer, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    kind = chance.randrange(8)
    if kind == 0:
        return writer.pad(name, source, np.array([[0, 0], *[[chance.choice(SIDES)] * 2] * 2, [0, 0]]))
    if kind == 1:
        return writer.mean(name, source)
    if kind == 2:
        return writer.flatten(name, source)
    if kind == 3:
        return writer.enlarge(name, source, (chance.choice(SIDES), chance.choice(SIDES)))
    if kind == 4:
        node = pb.NodeDef(name=name, op=chance.choice(("ResizeBilinear", "ResizeNearestNeighbor")))
        node.attr["align_corners"].b = chance.random() < 0.5
        return writer.resize(node, source, np.array([chance.choice(SIDES), chance.choice(SIDES)]))
    if kind == 5:
        size = chance.choice((shape[-1], shape[-1], shape[-1], 1, 4))
        return writer.affine(name, source, np.full(size, 2.0), np.zeros(size))
    if kind == 6:
        return writer.pixels_as_rows(name, writer.rows_as_pixels(f"{name}/pixels", source, shape[-1]), shape[-1])
    return writer.concat(name, [source] * chance.choice((2, 3, 40)))


def _joined(writer: Writer, chance: random.Random, name: str, source: str, shape: Shape) -> str:
    second = _activation(writer, chance, f"{name}/second", source, shape)
    if chance.random() < 0.3:
        second = _convolution(writer, chance, f"{name}/other", source, shape)
    kind = chance.randrange(3)
    if kind == 0:
        return writer.add(name, [source, second])
    if kind == 1:
        return writer.concat(name, [source, second, source])
    return writer.multiply(name, [writer.mean(f"{name}/mean", second), source])


_KINDS: tuple[Callable[[Writer, random.Random, str, str, Shape], str], ...] = (
    *(_convolution, _convolution, _convolution, _pool, _pool, _activation, _other, _other, _joined),
)


def _shape(data: bytes, output: str) -> Shape:
    found = Plan(StageGraph(data, ("image",), (output,))).layers({"image": (1, *INPUT)})
    return found[-1].output if found else (1, *INPUT)


def case(number: int, seed: int, folder: Path) -> Path:
    """Up to a dozen layers, of which all but the last fit."""
    chance = random.Random(f"{seed}/{number}")
    writer = Writer()
    source = writer.placeholder("image")
    data = writer.serialize()
    shape: Shape = (1, *INPUT)
    for index in range(chance.randrange(1, 12)):
        before = writer
        writer = Writer(pb.GraphDef.FromString(data).node)
        with suppress(ModelFileError):
            result = chance.choice(_KINDS)(writer, chance, f"layer{index}", source, shape)
            new = writer.serialize()
            shape = _shape(new, result)
            if np.prod(shape) > MOST_BYTES // 4:
                break
            data, source = new, result
            continue
        writer = before
    path = folder / "stage.pb"
    path.write_bytes(source.encode() + b"\n" + data)
    return path


def attempt(path: Path) -> str:
    """Infer shapes, then run the net and compare."""
    set_threads(1)
    output, _, data = path.read_bytes().partition(b"\n")
    stage = StageGraph(data, ("image",), (output.decode(),))
    plan, inputs = Plan(stage), {"image": (1, *INPUT)}
    layers = plan.layers(inputs)
    if not layers or plan.most_bytes(inputs, layers) > MOST_BYTES:
        return "refused: nothing to run, or too much"
    height, width, channels = INPUT
    image = np.random.default_rng(0).normal(size=(1, channels, height, width)).astype(np.float32)
    (found,) = make_net(stage, BACKENDS["cpu"]).run({"image": image})
    expected = next(layer.output for layer in layers if layer.name == stage.outputs[0])
    if len(expected) == 4:
        expected = (expected[0], expected[3], expected[1], expected[2])
    assert found.shape == expected, f"{found.shape}, not {expected}"
    return "accepted"


if __name__ == "__main__":
    make_again(case, attempt)
