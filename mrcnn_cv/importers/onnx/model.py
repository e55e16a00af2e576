"""Read and check an ONNX file: nodes in order, who makes and who takes each tensor, the values of its constants.

No cv2 and no onnx package here: of the format, whose field numbers are public, a detector uses little.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.limits import Budget
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.base import named
from mrcnn_cv.importers.constant_folding import Array
from mrcnn_cv.importers.onnx.constants import OnnxConstants, parse_model
from mrcnn_cv.importers.onnx.tensors import tensor_value
from mrcnn_cv.importers.wire_format import Content, read_message
from mrcnn_cv.util.mapped_file import MappedFile

MAX_NODES = 1 << 18
"""Constants are among them; torchvision's largest detector has 4,000."""

MAX_NESTING = 8
"""Branches inside of branches."""

PASS_THROUGH = frozenset({"Identity", "Dropout"})
"""Ops that hand on what they take; a graph looks through them."""

_VALUE_INPUTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Shape", "Size", "ConstantOfShape", "NonZero", "NonMaxSuppression"), ()),
    **dict.fromkeys(("Gather", "GatherND", "GatherElements", "Slice", "Expand", "Reshape", "TopK", "Tile"), (0,)),
    **dict.fromkeys(("Squeeze", "Unsqueeze", "Pad", "Split", "Resize", "Upsample", "RoiAlign"), (0,)),
    **dict.fromkeys(("ScatterElements", "ScatterND"), (0, 2)),
    "Where": (1, 2),
}
"""Of ops that take more than values: the inputs whose values they pass on; of all others it is every input."""

_NOTHING = pb.AttributeProto()


@dataclass(frozen=True, eq=False)
class Node:
    """One node. Tensors are called by their names; an optional input that is left out is ''."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, pb.AttributeProto]

    @property
    def name(self) -> str:
        """Of its first output, which is unique where a node's own name need not be."""
        return self.outputs[0] if self.outputs else f"a nameless {self.op}"

    def has(self, name: str) -> bool:
        """Whether an attribute is given."""
        return name in self.attributes

    def whole(self, name: str, default: int) -> int:
        """A whole number among the attributes."""
        return int(self.attributes[name].i) if name in self.attributes else default

    def real(self, name: str, default: float) -> float:
        """A number among the attributes."""
        return float(self.attributes[name].f) if name in self.attributes else default

    def text(self, name: str, default: str) -> str:
        """A text among the attributes."""
        return self.attributes[name].s.decode("utf-8", "replace") if name in self.attributes else default

    def wholes(self, name: str) -> list[int]:
        """A list of whole numbers among the attributes; none where it is left out."""
        return list(self.attributes.get(name, _NOTHING).ints)


class OnnxGraph:
    """A checked graph. The branches of an If are part of it: their nodes are nodes, their results the If's inputs.

    nodes: in the order in which they can be computed. inputs: name → shape, None for a side of any length. opset: of
    the standard ops. exporter: its name and version. file: where the large constants lie, which the model does
    not hold itself.
    """

    def __init__(
        self, model: pb.ModelProto, constants: OnnxConstants | None = None, file: MappedFile | None = None
    ) -> None:
        self.file = file
        self._taken = constants or OnnxConstants()
        self.exporter = f"{model.producer_name} {model.producer_version}".strip()
        versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
        self.opset = max(versions, default=0)
        self.inputs = {
            each.name: tuple(dim.dim_value or None for dim in each.type.tensor_type.shape.dim)
            for each in model.graph.input
        }
        self.outputs = tuple(each.name for each in model.graph.output)
        self._constants: dict[str, tuple[pb.TensorProto, Content | None]] = {}
        self._producers: dict[str, Node] = {}
        self._again: Counter[str] = Counter()
        self.budget = Budget()
        self._list: list[Node] = []
        self._count = 0
        self._read(model.graph, {}, 0)
        # Since version 4 of the format an initializer may also be listed as an input.
        self.inputs = {name: shape for name, shape in self.inputs.items() if name not in self._constants}
        self.nodes = self._in_order()
        self._past_identities = self._skip_identities()
        # They are asked for over and over.
        self._sources_of: dict[bool, dict[Node, list[Node]]] = {True: {}, False: {}}
        self._consumers: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for position in value_inputs(node):
                self._consumers[self.skip_identity(node.inputs[position])].append(node)

    def _read(self, graph: pb.GraphProto, outer: Mapping[str, str], depth: int) -> dict[str, str]:
        """Take in a graph; returns how its tensors are called here. outer: the same for what it may look at."""
        if depth > MAX_NESTING:
            raise ModelFileError("has branches inside of branches without end")
        self._count += len(graph.node) + len(graph.initializer)
        if self._count > MAX_NODES:
            raise ModelFileError(f"has more than {MAX_NODES} nodes, so it is not a detector")
        own = {name: name for name in self.inputs} if depth == 0 else {}
        # Nothing was taken out of branches.
        taken = self._taken if depth == 0 else OnnxConstants()
        for index, tensor in enumerate(graph.initializer):
            own[tensor.name] = self._new_name(tensor.name, depth)
            self._constants[own[tensor.name]] = tensor, taken.initializers.get(index)
        for node in graph.node:
            for name in filter(None, node.output):
                if depth == 0 and name in self.inputs:
                    raise ModelFileError(f"makes the tensor '{name[:80]}' twice, so it is not a valid ONNX model")
                own[name] = self._new_name(name, depth)
                self._producers[own[name]] = _UNREAD
        names = {**outer, **own}
        for index, node in enumerate(graph.node):
            self._add(node, names, depth, taken.nodes.get(index))
        return names

    def _new_name(self, name: str, depth: int) -> str:
        """Names are unique in a valid file; those of branches are often not."""
        if depth == 0:
            if name in self._constants or name in self._producers or not name:
                raise ModelFileError(f"makes the tensor '{name[:80]}' twice, so it is not a valid ONNX model")
            return name
        own = name
        while own in self._constants or own in self._producers or own in self.inputs:
            self._again[name] += 1
            own = f"{name}_{self._again[name]}"
        return own

    def _add(self, node: pb.NodeProto, names: Mapping[str, str], depth: int, taken: Content | None) -> None:
        missing = next((name for name in node.input if name and name not in names), None)
        if missing is not None:
            raise ModelFileError(
                f"has a node '{node.name[:80]}' ({node.op_type[:40]}) that takes '{missing[:80]}', which is missing:"
                " the file is probably cut short"
            )
        inputs = [names[name] if name else "" for name in node.input]
        outputs = tuple(names[name] for name in node.output if name)
        if node.op_type == "If":
            for attribute in node.attribute:
                inner = self._read(attribute.g, names, depth + 1)
                inputs += [inner[each.name] for each in attribute.g.output if each.name in inner]
        if node.op_type == "Constant" and len(outputs) == 1:
            self._constants[outputs[0]] = _constant(node), taken
            del self._producers[outputs[0]]
            return
        if not outputs:
            return
        read = Node(node.op_type, tuple(inputs), outputs, {each.name: each for each in node.attribute})
        self._producers.update(dict.fromkeys(outputs, read))
        self._list.append(read)

    def _in_order(self) -> tuple[Node, ...]:
        """The nodes, each after those that it takes from."""
        sources = {
            node: [self._producers[name] for name in node.inputs if name in self._producers] for node in self._list
        }
        try:
            return tuple(TopologicalSorter(sources).static_order())
        except CycleError as error:
            stuck: Node = error.args[1][0]
            raise ModelFileError(f"has a node '{stuck.name[:80]}' ({stuck.op[:40]}) that depends on itself") from error

    def _skip_identities(self) -> dict[str, str]:
        skip_identity: dict[str, str] = {}
        for node in self.nodes:
            if node.op in PASS_THROUGH and node.inputs and node.inputs[0]:
                skip_identity[node.outputs[0]] = skip_identity.get(node.inputs[0], node.inputs[0])
        return skip_identity

    def skip_identity(self, tensor: str) -> str:
        """The tensor that a chain of identities hands on, itself where there is none."""
        return self._past_identities.get(tensor, tensor)

    def input(self, node: Node, index: int) -> str:
        """The tensor that a node takes, identities looked through; '' where it is left out."""
        return self.skip_identity(node.inputs[index]) if index < len(node.inputs) else ""

    def producer(self, tensor: str) -> Node | None:
        """The node that makes a tensor; None for an input of the graph or a constant."""
        return self._producers.get(self.skip_identity(tensor))

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor stands in the file."""
        return self.skip_identity(tensor) in self._constants

    def constant(self, tensor: str) -> Array:
        """The value of a constant, a view of the file where it is large; ModelFileError where it contradicts itself."""
        stored, taken = self._constants[self.skip_identity(tensor)]
        return tensor_value(stored, tensor, taken)

    def consumers(self, tensor: str) -> list[Node]:
        """Nodes that compute with the values of a tensor; readers of its shape and identities are left out."""
        return [node for node in self._consumers[self.skip_identity(tensor)] if node.op not in PASS_THROUGH]

    def upstream(
        self, tensors: Iterable[str], stop: Callable[[Node], bool] = lambda node: False, values: bool = True
    ) -> list[Node]:
        """The nodes that `tensors` come from, nearest first; what feeds a `stop` node is left out.

        values: only those whose values they are, not those that decide over shapes, or over which values are taken.
        """

        def sources(node: Node) -> list[Node]:
            if node not in known:
                known[node] = self._sources(node, values)
            return [] if stop(node) else known[node]

        known = self._sources_of[values]
        producers = map(self.producer, tensors)
        return self.budget.walk((node for node in producers if node is not None), sources)

    def _sources(self, node: Node, values: bool) -> list[Node]:
        """The nodes that make what a node takes."""
        positions = value_inputs(node) if values else range(len(node.inputs))
        found = (self.producer(node.inputs[position]) for position in positions)
        return [source for source in found if source is not None]

    def downstream(self, tensors: Iterable[str], stop: Callable[[Node], bool] = lambda node: False) -> list[Node]:
        """The nodes that the values of `tensors` reach, nearest first; what a `stop` node feeds is left out."""

        def consumers(node: Node) -> list[Node]:
            return [] if stop(node) else [consumer for name in node.outputs for consumer in self.consumers(name)]

        return self.budget.walk((consumer for tensor in tensors for consumer in self.consumers(tensor)), consumers)


def value_inputs(node: Node) -> Iterable[int]:
    """Positions of the inputs whose values, not only their shapes or choice, are in a node's result."""
    wanted = _VALUE_INPUTS.get(node.op, range(1, len(node.inputs)) if node.op == "If" else range(len(node.inputs)))
    return [position for position in wanted if position < len(node.inputs) and node.inputs[position]]


def _constant(node: pb.NodeProto) -> pb.TensorProto:
    """The tensor of a Constant node, which may also list plain numbers."""
    for attribute in node.attribute:
        if attribute.name == "value":
            return attribute.t
        if attribute.name in ("value_float", "value_floats"):
            several = attribute.name.endswith("s")
            numbers = list(attribute.floats) if several else [attribute.f]
            return pb.TensorProto(data_type=pb.TensorProto.FLOAT, dims=[len(numbers)] * several, float_data=numbers)
        if attribute.name in ("value_int", "value_ints"):
            several = attribute.name.endswith("s")
            whole = list(attribute.ints) if several else [attribute.i]
            return pb.TensorProto(data_type=pb.TensorProto.INT64, dims=[len(whole)] * several, int64_data=whole)
    raise ModelFileError(f"has a constant '{node.name[:80]}' of a kind that is not supported")


_UNREAD = Node("", (), (), {})


def read_onnx(path: Path) -> OnnxGraph:
    """Read an ONNX model from a file.

    Raises ModelFileError (one sentence with the path) for a file that is none, or contradicts itself.
    """
    file, (model, constants) = read_message(path, "an ONNX model", "export the model again", parse_model)
    with named(path):
        if not model.graph.node:
            raise ModelFileError("holds no graph nodes, so it is not an ONNX model")
        return OnnxGraph(model, constants, file)
