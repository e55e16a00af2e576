"""Edits of an ONNX model that know what it means: attributes, constants, inputs and nodes that are nearly right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.onnx.tensors import DTYPES
from tests.robustness.fuzz.mutations import name, poisoned, real, some, whole


def edit(model: pb.ModelProto, chance: random.Random) -> None:
    """One to five edits."""
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        if model.graph.node:
            chance.choice(_EDITS)(model, chance)


def _nodes(graph: pb.GraphProto) -> Iterator[tuple[pb.GraphProto, pb.NodeProto]]:
    """All nodes with the graph that they are in, those of branches too."""
    for node in graph.node:
        yield graph, node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)


def _node(
    model: pb.ModelProto, chance: random.Random, fits: Callable[[pb.NodeProto], bool] = bool
) -> tuple[pb.GraphProto, pb.NodeProto] | None:
    """A node; all ops are taken as often, however many nodes they have."""
    by_op: dict[str, list[tuple[pb.GraphProto, pb.NodeProto]]] = {}
    for graph, node in _nodes(model.graph):
        if fits(node):
            by_op.setdefault(node.op_type, []).append((graph, node))
    nodes = some(list(by_op.values()), chance)
    return None if nodes is None else chance.choice(nodes)


def _attribute(model: pb.ModelProto, chance: random.Random) -> None:
    """Strides, pads, groups, dilations, axes, modes, limits; lost attributes, and those of another node."""
    found = _node(model, chance, lambda node: bool(node.attribute) and node.op_type not in ("Constant", "If"))
    if found is None:
        return
    node = found[1]
    attribute, kind = chance.choice(node.attribute), chance.randrange(12)
    if kind <= 3 and attribute.ints:
        number = whole(chance)
        for _ in range(chance.choice((1, 2))):
            attribute.ints[chance.randrange(len(attribute.ints))] = number
    elif kind <= 3:
        attribute.i = whole(chance)
    elif kind == 4:
        attribute.ints.append(whole(chance))
    elif kind == 5 and attribute.ints:
        del attribute.ints[chance.randrange(len(attribute.ints)) :]
    elif kind == 6:
        attribute.f = real(chance)
    elif kind == 7:
        attribute.s = chance.choice(
            (b"SAME_UPPER", b"linear", b"nearest", b"half_pixel", b"max", b"\xff", b"x" * 10000)
        )
    elif kind == 8:
        node.attribute.remove(attribute)
    elif kind == 9:
        others = [one for _, other in _nodes(model.graph) for one in other.attribute if one.name == attribute.name]
        attribute.CopyFrom(pb.AttributeProto.FromString(chance.choice(others).SerializeToString()))
    elif kind == 10:
        names = (
            "dilations",
            "pads",
            "strides",
            "group",
            "axis",
            "kernel_shape",
            "auto_pad",
            "ceil_mode",
            "sampling_ratio",
        )
        attribute.name = chance.choice(names)
    else:
        node.attribute.add().CopyFrom(attribute)


def _constant(model: pb.ModelProto, chance: random.Random) -> pb.TensorProto | None:
    """A constant; one of a few numbers as often as one of many."""
    tensors = list(model.graph.initializer)
    for _, node in _nodes(model.graph):
        if node.op_type == "Constant":
            tensors += [attribute.t for attribute in node.attribute if attribute.name == "value"]
    few = [tensor for tensor in tensors if len(tensor.raw_data) <= 64]
    return some(few if few and chance.random() < 0.5 else tensors, chance)


def _values(model: pb.ModelProto, chance: random.Random) -> None:
    tensor = _constant(model, chance)
    if tensor is not None and tensor.data_type in DTYPES and tensor.raw_data:
        tensor.raw_data = poisoned(tensor.raw_data, DTYPES[tensor.data_type], chance)


def _shape(model: pb.ModelProto, chance: random.Random) -> None:
    """Shapes that do not multiply out, that do but are others, and those of more bytes than there are."""
    tensor = _constant(model, chance)
    if tensor is None:
        return
    kind = chance.randrange(5)
    if kind == 0 or not tensor.dims:
        tensor.dims.append(whole(chance))
    elif kind == 1:
        del tensor.dims[chance.randrange(len(tensor.dims))]
    elif kind == 2:
        tensor.dims[chance.randrange(len(tensor.dims))] = whole(chance)
    elif kind == 3:
        sizes = list(tensor.dims)
        chance.shuffle(sizes)
        tensor.dims[:] = sizes
    else:
        tensor.dims.extend([1] * chance.choice((1, 10, 40, 3000)))


def _content(model: pb.ModelProto, chance: random.Random) -> None:
    """Another type, more or fewer bytes than there should be, the value of another constant, another file."""
    tensor = _constant(model, chance)
    if tensor is None:
        return
    kind = chance.randrange(6)
    if kind == 0:
        tensor.data_type = chance.choice((0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 20))  # type: ignore[assignment]
    elif kind == 1:
        tensor.raw_data = tensor.raw_data[: chance.randrange(len(tensor.raw_data) + 1)]
    elif kind == 2:
        tensor.raw_data += b"\0" * chance.choice((1, 4, 64, 4096))
    elif kind == 3:
        tensor.data_location = pb.TensorProto.EXTERNAL
    elif kind == 4:
        tensor.raw_data = b""
        tensor.int64_data.extend([whole(chance)] * chance.choice((1, 2, 100)))
        tensor.float_data.extend([real(chance)] * chance.choice((1, 2, 100)))
    else:
        other = _constant(model, chance)
        if other is not None:
            own = tensor.name
            tensor.CopyFrom(pb.TensorProto.FromString(other.SerializeToString()))
            tensor.name = own


def _inputs(model: pb.ModelProto, chance: random.Random) -> None:
    """Rewired to anything, to itself, in a circle, to what is missing; lost, doubled, exchanged."""
    found = _node(model, chance, lambda node: bool(node.input) and bool(node.output))
    if found is None:
        return
    graph, node = found
    at, kind = chance.randrange(len(node.input)), chance.randrange(9)
    made = [tensor for other in graph.node for tensor in other.output]
    if kind <= 1:
        node.input[at] = chance.choice([*made, *(tensor.name for tensor in model.graph.initializer)])
    elif kind == 2:
        alike = [other.output[0] for other in graph.node if other.op_type == node.op_type and other.output]
        node.input[at] = chance.choice(alike or made)
    elif kind == 3:
        node.input[at] = node.output[0]
    elif kind == 4:
        consumers = [other.output[0] for other in graph.node if other.output and set(node.output) & set(other.input)]
        node.input[at] = some(consumers, chance) or node.output[0]
    elif kind == 5:
        node.input[at] = chance.choice(("missing", "", name(chance)))
    elif kind == 6:
        del node.input[at]
    elif kind == 7:
        node.input.extend([node.input[at]] * chance.choice((1, 1, 5000)))
    else:
        turned = list(reversed(node.input))
        node.input[:] = turned


def _whole_nodes(model: pb.ModelProto, chance: random.Random) -> None:
    """Deleted, doubled, renamed, with another op, in another place."""
    found = _node(model, chance)
    if found is None:
        return
    graph, node = found
    kind = chance.randrange(7)
    if kind == 0:
        graph.node.remove(node)
    elif kind == 1:
        copy = graph.node.add()
        copy.CopyFrom(pb.NodeProto.FromString(node.SerializeToString()))
        if chance.random() < 0.5:
            copy.output[:] = [f"{tensor}_again" for tensor in node.output]
    elif kind == 2:
        node.name = name(chance)
    elif kind == 3 and node.output:
        old = node.output[0]
        node.output[0] = new = chance.choice(
            (name(chance), "image", "crops", chance.choice(graph.node).name, "x" * 900)
        )
        for other in graph.node:
            other.input[:] = [new if tensor == old else tensor for tensor in other.input]
    elif kind == 4:
        node.op_type = chance.choice((chance.choice(graph.node).op_type, name(chance), "If", "Loop", "Identity"))
    elif kind == 5:
        other = chance.choice(graph.node)
        node.op_type, other.op_type = other.op_type, node.op_type
    else:
        del node.output[1 if len(node.output) > 1 else 0 :]


def _frame(model: pb.ModelProto, chance: random.Random) -> None:
    """What stands around the nodes: inputs and outputs, versions, the exporter."""
    kind = chance.randrange(6)
    if kind == 0 and model.graph.input:
        dims = chance.choice(model.graph.input).type.tensor_type.shape.dim
        if dims:
            chance.choice(dims).dim_value = whole(chance)
    elif kind == 1 and model.graph.output:
        chance.choice(model.graph.output).name = chance.choice(("missing", "", model.graph.node[0].output[0]))
    elif kind == 2 and model.opset_import:
        model.opset_import[0].version = whole(chance)
    elif kind == 3:
        model.producer_name = name(chance)
    elif kind == 4 and model.graph.initializer:
        model.graph.initializer.remove(chance.choice(model.graph.initializer))
    elif model.graph.input:
        model.graph.input.add(name=name(chance))


def _chain(model: pb.ModelProto, chance: random.Random) -> None:
    """Thousands of nodes in a row, or branches inside of branches."""
    found = _node(model, chance, lambda node: bool(node.input))
    if found is None:
        return
    graph, node = found
    if chance.random() < 0.2:
        inner = graph
        for depth in range(chance.choice((3, 9, 60))):
            branch = inner.node.add(op_type="If", input=[node.input[0]], output=[f"deep{depth}"])
            inner = branch.attribute.add(name="then_branch").g
        return
    source, op = (
        node.input[0],
        chance.choice(("Identity", "Relu", "Add", "Mul", "Shape", "Unsqueeze", "Reshape", "Cast")),
    )
    for index in range(chance.choice((50, 1200, 3000))):
        link = graph.node.add(op_type=op, input=[source], output=[f"chain{len(graph.node)}_{index}"])
        if op in ("Add", "Mul", "Unsqueeze", "Reshape"):
            link.input.append(source)
        source = link.output[0]
    node.input[0] = source


_EDITS: tuple[Callable[[pb.ModelProto, random.Random], None], ...] = (
    *(_attribute, _attribute, _attribute, _values, _values, _shape, _shape, _content),
    *(_inputs, _inputs, _whole_nodes, _whole_nodes, _frame, _chain),
)
