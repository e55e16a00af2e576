"""The large constants of a GraphDef, which are taken out of it before it is parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.wire_format import Content, Field, Inner, Pieces, Walk, only

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
    if not walk.parse(message):
        return message, TensorFlowConstants()
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

    RAW = pb.TensorProto.TENSOR_CONTENT_FIELD_NUMBER
    LISTS: ClassVar[Mapping[int, int]] = {
        pb.TensorProto.FLOAT_VAL_FIELD_NUMBER: 4,
        pb.TensorProto.DOUBLE_VAL_FIELD_NUMBER: 8,
    }

    def __init__(self, data: memoryview) -> None:
        super().__init__(data)
        self.found: dict[int, Content] = {}
        self.in_functions: dict[int, dict[int, Content]] = {}
        self._functions: Counter[int] = Counter()

    def root(self) -> Pieces:
        inner: dict[int, Inner] = {_NODE: self._nodes(self.found), _LIBRARY: self._library}
        return self.container(0, len(self.data), inner, Counter())

    def _nodes(self, found: dict[int, Content]) -> Inner:
        return self.part(partial(self._constant, found))

    def _library(self, index: int, start: int, end: int) -> Pieces:
        # Protobuf joins libraries, so functions of the next are counted on.
        return self.container(start, end, {_FUNCTION: self._function}, self._functions)

    def _function(self, index: int, start: int, end: int) -> Pieces:
        found = self.in_functions[index] = {}
        return self.container(start, end, {_FUNCTION_NODE: self._nodes(found)}, Counter())

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

        made = self.tensor(tensor[0].content, tensor[0].end, found, index)
        made = self.replaced(value.content, value.end, tensor[0], made)
        made = self.replaced(entry.content, entry.end, value, made)
        return self.replaced(start, end, entry, made)

    def _is_value(self, entry: list[Field]) -> bool:
        """Whether the key of an entry is "value", as far as it can be told: one with several keys may be."""
        keys = [self.text(each) for each in entry if each.number == _KEY and each.kind == 2]
        return b"value" in keys
