"""The large constants of an ONNX model, which are taken out of it before it is parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.wire_format import Content, Pieces, Walk, only

_GRAPH = pb.ModelProto.GRAPH_FIELD_NUMBER
_NODE, _INITIALIZER = pb.GraphProto.NODE_FIELD_NUMBER, pb.GraphProto.INITIALIZER_FIELD_NUMBER
_OP_TYPE, _ATTRIBUTE = pb.NodeProto.OP_TYPE_FIELD_NUMBER, pb.NodeProto.ATTRIBUTE_FIELD_NUMBER
_NAME, _TENSOR = pb.AttributeProto.NAME_FIELD_NUMBER, pb.AttributeProto.T_FIELD_NUMBER


@dataclass(frozen=True)
class OnnxConstants:
    """What was taken out of a model's graph: of its initializers, and of its Constant nodes, by their places.

    Of branches nothing is: what they compute is small.
    """

    initializers: Mapping[int, Content] = field(default_factory=dict)
    nodes: Mapping[int, Content] = field(default_factory=dict)


def parse_model(data: memoryview) -> tuple[pb.ModelProto, OnnxConstants]:
    """A model without its large constants, and these; raises what `protobuf_limits.parse` does."""
    message = pb.ModelProto()
    walk = _ModelWalk(data)
    return message, OnnxConstants(walk.initializers, walk.nodes) if walk.parse(message) else OnnxConstants()


class _ModelWalk(Walk):
    RAW = pb.TensorProto.RAW_DATA_FIELD_NUMBER
    LISTS: ClassVar[Mapping[int, int]] = {
        pb.TensorProto.FLOAT_DATA_FIELD_NUMBER: 4,
        pb.TensorProto.DOUBLE_DATA_FIELD_NUMBER: 8,
    }

    def __init__(self, data: memoryview) -> None:
        super().__init__(data)
        self.initializers: dict[int, Content] = {}
        self.nodes: dict[int, Content] = {}
        self._parts: Counter[int] = Counter()

    def root(self) -> Pieces:
        return self.container(0, len(self.data), {_GRAPH: self._graph}, Counter())

    def _graph(self, index: int, start: int, end: int) -> Pieces:
        # Protobuf joins graphs, so the nodes of the next are counted on.
        inner = {_NODE: self.part(self._constant), _INITIALIZER: self.part(self._initializer)}
        return self.container(start, end, inner, self._parts)

    def _initializer(self, index: int, start: int, end: int) -> Pieces | None:
        return self.tensor(start, end, self.initializers, index)

    def _constant(self, index: int, start: int, end: int) -> Pieces | None:
        """A Constant without the tensor in its attribute "value", where these and all in them are there once alone."""
        parts = self.fields(start, end)
        op, attribute = only(parts, _OP_TYPE), only(parts, _ATTRIBUTE)
        if op is None or attribute is None or self.text(op) != b"Constant":
            return None
        inside = self.fields(attribute.content, attribute.end)
        name, tensor = only(inside, _NAME), only(inside, _TENSOR)
        if name is None or tensor is None or self.text(name) != b"value":
            return None
        made = self.tensor(tensor.content, tensor.end, self.nodes, index)
        made = self.replaced(attribute.content, attribute.end, tensor, made)
        return self.replaced(start, end, attribute, made)
