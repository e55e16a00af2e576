"""Edits of a GraphDef that know what it means: attributes, constants, inputs and nodes that are nearly right."""

from __future__ import annotations

import random
from collections.abc import Callable

from mrcnn_cv.graph.protos import graph_pb2 as pb
from tests.robustness.fuzz.mutations import name, poisoned, real, some, whole

_DTYPES = {pb.DT_FLOAT: "<f4", pb.DT_DOUBLE: "<f8", pb.DT_INT32: "<i4", pb.DT_INT64: "<i8", pb.DT_BOOL: "|b1"}
_LISTED = {pb.DT_FLOAT: "float_val", pb.DT_INT32: "int_val", pb.DT_INT64: "int64_val", pb.DT_DOUBLE: "double_val"}


def edit(graph: pb.GraphDef, chance: random.Random) -> None:
    """One to five edits."""
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        if not graph.node:
            return
        chance.choice(_EDITS)(graph, chance)


def _node(graph: pb.GraphDef, chance: random.Random, fits: Callable[[pb.NodeDef], bool] = bool) -> pb.NodeDef | None:
    """A node; all ops are taken as often, however many nodes they have."""
    by_op: dict[str, list[pb.NodeDef]] = {}
    for node in graph.node:
        if fits(node):
            by_op.setdefault(node.op, []).append(node)
    nodes = some(list(by_op.values()), chance)
    return None if nodes is None else chance.choice(nodes)


def _number_attribute(graph: pb.GraphDef, chance: random.Random) -> None:
    """Strides, windows, dilations, paddings, axes, masks of slices."""
    node = _node(graph, chance, lambda node: any(value.list.i or value.HasField("i") for value in node.attr.values()))
    if node is None:
        return
    key = chance.choice(sorted(key for key, value in node.attr.items() if value.list.i or value.HasField("i")))
    value = node.attr[key]
    if not value.list.i:
        value.i = whole(chance)
    elif chance.random() < 0.2:
        del value.list.i[chance.randrange(len(value.list.i)) :]
    elif chance.random() < 0.2:
        value.list.i.append(whole(chance))
    else:
        number = whole(chance)
        for _ in range(chance.choice((1, 2))):
            value.list.i[chance.randrange(len(value.list.i))] = number


def _other_attribute(graph: pb.GraphDef, chance: random.Random) -> None:
    """Paddings and layouts, types, switches, epsilons; lost attributes, and those of another node."""
    node = _node(graph, chance, lambda node: bool(node.attr))
    if node is None:
        return
    key = chance.choice(sorted(node.attr))
    value = node.attr[key]
    kind = chance.randrange(7)
    if kind == 0:
        del node.attr[key]
    elif kind == 1:
        value.s = chance.choice((b"SAME", b"VALID", b"EXPLICIT", b"NCHW", b"", b"\xff\xfe", b"nearest", b"x" * 10000))
    elif kind == 2:
        value.type = chance.choice((0, 1, 2, 3, 4, 9, 10, 19, 20, 21, 23, 101))  # type: ignore[assignment]
    elif kind == 3:
        value.b = not value.b
    elif kind == 4:
        value.f = real(chance)
    elif kind == 5:
        other = chance.choice(graph.node)
        if other.attr:
            value.CopyFrom(other.attr[chance.choice(sorted(other.attr))])
    else:
        extra = chance.choice(("dilations", "explicit_paddings", "strides", "ksize", "transpose_b", "data_format"))
        node.attr[extra].CopyFrom(value)


def _constant(graph: pb.GraphDef, chance: random.Random) -> pb.TensorProto | None:
    """A constant; one of a few numbers as often as one of many."""
    nodes = [node for node in graph.node if node.op == "Const"]
    few = [node for node in nodes if len(node.attr["value"].tensor.tensor_content) <= 64]
    node = some(few if chance.random() < 0.5 else nodes, chance)
    return None if node is None else node.attr["value"].tensor


def _values(graph: pb.GraphDef, chance: random.Random) -> None:
    tensor = _constant(graph, chance)
    if tensor is None:
        return
    if tensor.tensor_content and tensor.dtype in _DTYPES:
        tensor.tensor_content = poisoned(tensor.tensor_content, _DTYPES[tensor.dtype], chance)
    elif tensor.dtype in _LISTED:
        values = getattr(tensor, _LISTED[tensor.dtype])
        kind = tensor.dtype in (pb.DT_FLOAT, pb.DT_DOUBLE)
        number = real(chance) if kind else whole(chance)
        if tensor.dtype == pb.DT_INT32:
            number = max(-(1 << 31), min(int(number), (1 << 31) - 1))
        del values[:]
        values.extend([number] * chance.choice((1, 1, 1, 2, 1000)))


def _shape(graph: pb.GraphDef, chance: random.Random) -> None:
    """Shapes that do not multiply out, that do but are others, and those of more bytes than there are."""
    tensor = _constant(graph, chance)
    if tensor is None:
        return
    dims, kind = tensor.tensor_shape.dim, chance.randrange(7)
    if kind == 0 or not dims:
        dims.add(size=whole(chance))
    elif kind == 1:
        del dims[chance.randrange(len(dims))]
    elif kind == 2:
        chance.choice(dims).size = whole(chance)
    elif kind == 3:
        sizes = [dim.size for dim in dims]
        chance.shuffle(sizes)
        for dim, size in zip(dims, sizes, strict=True):
            dim.size = size
    elif kind == 4:
        for _ in range(chance.choice((1, 40, 3000))):
            dims.add(size=1)
    elif kind == 5:
        # All of it is one number, repeated, for a shape of any size.
        if tensor.dtype in _LISTED:
            tensor.tensor_content = b""
            getattr(tensor, _LISTED[tensor.dtype]).append(1)
        chance.choice(dims).size = chance.choice((1, 3, 512, 4096, 1 << 20, 1 << 24, 1 << 25))
    else:
        tensor.tensor_shape.unknown_rank = True


def _content(graph: pb.GraphDef, chance: random.Random) -> None:
    """Another type, more or fewer bytes than there should be, the value of another constant."""
    tensor = _constant(graph, chance)
    if tensor is None:
        return
    kind = chance.randrange(4)
    if kind == 0:
        tensor.dtype = chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 14, 19, 23, 101))  # type: ignore[assignment]
    elif kind == 1:
        tensor.tensor_content = tensor.tensor_content[: chance.randrange(len(tensor.tensor_content) + 1)]
    elif kind == 2:
        tensor.tensor_content += b"\0" * chance.choice((1, 4, 64, 4096))
    else:
        other = _constant(graph, chance)
        if other is not None:
            tensor.CopyFrom(pb.TensorProto.FromString(other.SerializeToString()))


def _inputs(graph: pb.GraphDef, chance: random.Random) -> None:
    """Rewired to any node, to itself, in a circle, to what is missing; lost, doubled, exchanged, with another port."""
    node = _node(graph, chance, lambda node: bool(node.input))
    if node is None:
        return
    at, kind = chance.randrange(len(node.input)), chance.randrange(10)
    if kind <= 1:
        node.input[at] = chance.choice(graph.node).name
    elif kind == 2:
        alike = [other.name for other in graph.node if other.op == node.op and other is not node]
        node.input[at] = some(alike, chance) or node.name
    elif kind == 3:
        node.input[at] = node.name
    elif kind == 4:
        consumers = [other.name for other in graph.node if node.name in [one.partition(":")[0] for one in other.input]]
        node.input[at] = some(consumers, chance) or node.name
    elif kind == 5:
        node.input[at] = chance.choice(("missing", "", "^" + node.input[at], ":0", "a:b:c", name(chance)))
    elif kind == 6:
        del node.input[at]
    elif kind == 7:
        node.input.append(chance.choice((node.input[at], chance.choice(graph.node).name)))
    elif kind == 8:
        turned = list(reversed(node.input))
        node.input[:] = turned
    else:
        node.input[at] = node.input[at].partition(":")[0] + chance.choice((":1", ":2", ":99999999999", ":-1", ":x"))


def _nodes(graph: pb.GraphDef, chance: random.Random) -> None:
    """Deleted, doubled, renamed, with another op."""
    node = _node(graph, chance)
    if node is None:
        return
    kind = chance.randrange(6)
    if kind == 0:
        graph.node.remove(node)
    elif kind == 1:
        copy = graph.node.add()
        copy.CopyFrom(node)
        if chance.random() < 0.5:
            copy.name += "_again"
            consumers = [other for other in graph.node if node.name in other.input]
            for consumer in consumers:
                consumer.input[list(consumer.input).index(node.name)] = copy.name
    elif kind == 2:
        node.name = name(chance)
    elif kind == 3:
        new = chance.choice((node.name + "x", "image", "crops", "x" * 5000, chance.choice(graph.node).name, "a" * 900))
        for other in graph.node:
            for index, source in enumerate(other.input):
                if source.lstrip("^").partition(":")[0] == node.name:
                    other.input[index] = source.replace(node.name, new)
        node.name = new
    elif kind == 4:
        node.op = chance.choice((chance.choice(graph.node).op, name(chance), "If", "Enter", "Identity", "Placeholder"))
    else:
        other = chance.choice(graph.node)
        node.op, other.op = other.op, node.op


def _chain(graph: pb.GraphDef, chance: random.Random) -> None:
    """Thousands of nodes in a row, or one that takes thousands."""
    node = _node(graph, chance, lambda node: bool(node.input))
    if node is None:
        return
    count, source = chance.choice((50, 1200, 3000)), node.input[0]
    op = chance.choice(("Identity", "Relu", "Relu6", "Add", "Mul", "BiasAdd", "Shape", "Neg", "ExpandDims", "Reshape"))
    if chance.random() < 0.3:
        node.input.extend([source] * count)
        return
    for index in range(count):
        link = graph.node.add(name=f"chain/{len(graph.node)}/{index}", op=op, input=[source])
        if op in ("Add", "Mul", "BiasAdd", "ExpandDims", "Reshape"):
            link.input.append(chance.choice((source, chance.choice(graph.node).name)))
        source = link.name
    node.input[0] = source


_EDITS: tuple[Callable[[pb.GraphDef, random.Random], None], ...] = (
    *(_number_attribute, _number_attribute, _other_attribute, _values, _values, _shape, _shape, _content),
    *(_inputs, _inputs, _nodes, _nodes, _chain),
)
