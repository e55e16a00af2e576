"""The large constants of a GraphDef, which are taken out of it before it is parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.protobuf_limits import parse
from mrcnn_cv.importers.wire_format import Content, Field, Inner, NotPlain, Pieces, Walk, only

RAW = pb.TensorProto.TENSOR_CONTENT_FIELD_NUMBER
FLOATS = pb.TensorProto.FLOAT_VAL_FIELD_NUMBER
DOUBLES = pb.TensorProto.DOUBLE_VAL_FIELD_NUMBER

_NODE, _LIBRARY = pb.GraphDef.NODE_FIELD_NUMBER, pb.GraphDef.LIBRARY_FIELD_NUMBER
_FUNCTION = pb.FunctionDefLibrary.FUNCTION_FIELD_NUMBER
_FUNCTION_NODE = pb.FunctionDef.NODE_DEF_FIELD_NUMBER
_ATTR, _TENSOR = pb.NodeDef.ATTR_FIELD_NUMBER, pb.AttrValue.TENSOR_FIELD_NUMBER
_KEY, _VALUE = 1, 2
"""Of an entry of a map, which protobuf writes as a message."""

Contents = Mapping[str, Content]
"""Name of a node → what was taken out of it."""


@dataclass(frozen=True)
class TensorFlowConstants:
    """What was taken out of a graph's nodes, and of those of its functions, by their names."""

    nodes: Contents = field(default_factory=dict)
    functions: Mapping[str, Contents] = field(default_factory=dict)


def parse_graph(data: memoryview) -> tuple[pb.GraphDef, TensorFlowConstants]:
    """A GraphDef without its large constants, and these; raises what `protobuf_limits.parse` does."""
    message = pb.GraphDef()
    walk = _GraphWalk(data)
    try:
        pieces = walk.graph()
    except NotPlain:
        parse(data, message)
        return message, TensorFlowConstants()
    parse(b"".join(pieces), message)
    nodes, functions = message.node, message.library.function
    return message, TensorFlowConstants(
        {nodes[index].name: content for index, content in walk.found.items()},
        {
            function.signature.name: {
                function.node_def[place].name: content for place, content in walk.in_functions.get(index, {}).items()
            }
            for index, function in enumerate(functions)
        },
    )


class _GraphWalk(Walk):
    """found: place of a node → what was taken out of it. in_functions: the same by the place of a function."""

    def __init__(self, data: memoryview) -> None:
        super().__init__(data)
        self.found: dict[int, Content] = {}
        self.in_functions: dict[int, dict[int, Content]] = {}
        self._functions: Counter[int] = Counter()

    def graph(self) -> Pieces:
        inner: dict[int, Inner] = {_NODE: partial(self._node, self.found), _LIBRARY: self._library}
        return self.container(0, len(self.data), inner, Counter())

    def _library(self, index: int, start: int, end: int) -> Pieces:
        # Protobuf joins libraries, so functions of the next are counted on.
        return self.container(start, end, {_FUNCTION: self._function}, self._functions)

    def _function(self, index: int, start: int, end: int) -> Pieces:
        found = self.in_functions[index] = {}
        return self.container(start, end, {_FUNCTION_NODE: partial(self._node, found)}, Counter())

    def _node(self, found: dict[int, Content], index: int, start: int, end: int) -> Pieces | None:
        try:
            return self._constant(found, index, start, end)
        except NotPlain:
            return None

    def _constant(self, found: dict[int, Content], index: int, start: int, end: int) -> Pieces | None:
        """A node without the tensor in its attribute "value", where that and all around it is there once alone."""
        entries = [
            (each, self.fields(each.content, each.end))
            for each in self.fields(start, end)
            if each.number == _ATTR and each.kind == 2
        ]
        values = [(each, inside) for each, inside in entries if self._is_value(inside)]
        if len(values) != 1:
            return None
        entry, inside = values[0]
        value = only(inside, _VALUE)
        if value is None or len(inside) != 2:
            return None
        tensor = self.fields(value.content, value.end)
        if len(tensor) != 1 or only(tensor, _TENSOR) is None:
            return None

        def take(content: Content) -> None:
            found[index] = content

        made = self.tensor(tensor[0].content, tensor[0].end, RAW, {FLOATS: 4, DOUBLES: 8}, take)
        made = self.replaced(value.content, value.end, tensor[0], made)
        made = self.replaced(entry.content, entry.end, value, made)
        return self.replaced(start, end, entry, made)

    def _is_value(self, entry: list[Field]) -> bool:
        """Whether the key of an entry is "value", as far as it can be told: one with several keys may be."""
        keys = [self.text(each) for each in entry if each.number == _KEY and each.kind == 2]
        return b"value" in keys
