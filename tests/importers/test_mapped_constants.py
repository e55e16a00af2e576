"""Large constants are taken out of a file before protobuf parses it, and nothing is read otherwise than by protobuf."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import HealthCheck, example, given, reject, settings
from hypothesis import strategies as st

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.graph.protos import onnx_pb2
from mrcnn_cv.graph.wire_fields import varint_bytes
from mrcnn_cv.importers import protobuf_limits, wire_format
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.constants import parse_model
from mrcnn_cv.importers.onnx.model import read_onnx
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.constants import parse_graph
from mrcnn_cv.importers.tensorflow.graphdef import function_graph, read_graph, tensor_value
from mrcnn_cv.importers.wire_format import Content
from tests.importers.graphs import Builder
from tests.importers.onnx_graphs import OnnxBuilder


@pytest.fixture
def _everything() -> Iterator[None]:
    """Every constant is large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire_format, "LEAST_BYTES", 1)
        yield


def field(number: int, content: bytes) -> bytes:
    return varint_bytes(number << 3 | 2) + varint_bytes(len(content)) + content


def put_back(tensor: pb.TensorProto | onnx_pb2.TensorProto, raw: str, content: Content) -> None:
    """What was taken out of a tensor, where protobuf would have put it."""
    assert getattr(tensor, raw) == b"\0"
    tensor.ClearField(raw)
    name = tensor.DESCRIPTOR.fields_by_number[content.field].name
    if name == raw:
        setattr(tensor, raw, bytes(content.data))
    else:
        dtype = "<f8" if name.startswith("double") else "<f4"
        getattr(tensor, name).extend(np.frombuffer(content.data, dtype).tolist())


def whole_graph(data: bytes) -> tuple[pb.GraphDef, int]:
    """A GraphDef as `parse_graph` reads it, with what it took out, and how many times it took."""
    message, constants = parse_graph(memoryview(data))
    functions = message.library.function
    rooms = [(message.node, constants.nodes)]
    rooms += [(each.node_def, constants.functions.get(each.signature.name, {})) for each in functions]
    named = [[each.signature.name for each in functions], *([node.name for node in nodes] for nodes, _ in rooms)]
    if any(len(set(names)) < len(names) for names in named):
        # Refused behind this, or the last one of them counts.
        reject()
    for nodes, contents in rooms:
        for node in nodes:
            if node.name in contents:
                put_back(node.attr["value"].tensor, "tensor_content", contents[node.name])
    return message, sum(len(contents) for _, contents in rooms)


def whole_model(data: bytes) -> tuple[onnx_pb2.ModelProto, int]:
    """The same of an ONNX model."""
    message, constants = parse_model(memoryview(data))
    for index, content in constants.initializers.items():
        put_back(message.graph.initializer[index], "raw_data", content)
    for index, content in constants.nodes.items():
        put_back(message.graph.node[index].attribute[0].t, "raw_data", content)
    return message, len(constants.initializers) + len(constants.nodes)


def check_equal(data: bytes, plain: Message, read: Callable[[bytes], tuple[Message, int]]) -> int:
    """The file as protobuf reads it is the file as we do, or neither reads it; how many constants were taken out."""
    try:
        plain.ParseFromString(data)
    except DecodeError:
        with pytest.raises(DecodeError):
            read(data)
        return 0
    found, count = read(data)
    assert found.SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)
    return count


class Wire:
    """Random messages as bytes: mostly the fields that count, often twice, sometimes of a wrong kind or cut short."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._names = 0

    def _chance(self, percent: int) -> bool:
        return self._draw(st.integers(0, 99)) >= 100 - percent

    def name(self) -> bytes:
        """Names of nodes and functions are not given twice, which `Graph` refuses."""
        self._names += 1
        return b"n%d" % self._names

    def some(self, *makers: Callable[[], bytes], most: int = 4) -> bytes:
        chosen = self._draw(st.lists(st.sampled_from((*makers, self.odd)), min_size=1, max_size=most))
        return b"".join(make() for make in chosen)

    def odd(self) -> bytes:
        """Unknown fields, known ones of a wrong kind, numbers that are too long, groups, junk."""
        return self._draw(
            st.sampled_from(
                [
                    *(b"", b"", b"\x98\x01\x07", b"\xa2\x01\x02ab", b"\xa5\x01abcd", b"\x08\x01", b"\x20\x00"),
                    *(b"\x22\x00", b"\x0d1234", b"\x8a\x00\x01x", b"\x0a\x81\x00x", b"\x0b\x0c", b"\x0b\x22\x01x\x0c"),
                    *(b"\x22\x05ab", b"\x02\x01x", b"\x29\0\0\0\0\0\0\0\0", b"\x20" + b"\xff" * 9 + b"\x01"),
                ]
            )
            if self._chance(10)
            else st.just(b"")
        )

    def within(self, number: int, content: bytes) -> bytes:
        return field(number, content)

    def numbers(self) -> bytes:
        return self._draw(st.sampled_from([b"", b"x", b"\0\0\x80\x3f", b"\0\0\x80\x3f" * 2, b"abcdefgh" * 3]))

    def tensor(self) -> bytes:
        return self.some(
            lambda: b"\x08\x01",
            lambda: field(2, field(2, b"\x08\x02")),
            *[lambda: field(4, self.numbers())] * 3,
            lambda: field(5, self.numbers()),
            lambda: b"\x2d\0\0\x80\x3f",
            lambda: field(6, b"\0" * 16),
            most=5,
        )

    def attr_value(self) -> bytes:
        value = field(8, self.tensor())
        return value if self._chance(80) else value + self.some(lambda: field(8, self.tensor()), lambda: b"\x18\x05")

    def entry(self) -> bytes:
        def key() -> bytes:
            return field(1, self._draw(st.sampled_from([b"value", b"value", b"value", b"T", b""])))

        def value() -> bytes:
            return field(2, self.attr_value())

        return key() + value() if self._chance(80) else self.some(key, value, value)

    def node(self) -> bytes:
        first = field(1, self.name())
        if self._chance(70):
            return first + field(2, b"Const") + field(5, self.entry())
        return first + self.some(lambda: field(5, self.entry()), lambda: field(3, b"x"))

    def function(self) -> bytes:
        nodes = self.some(lambda: field(3, self.node()))
        return field(1, field(1, self.name())) + nodes

    def graph(self) -> bytes:
        return self.some(
            *[lambda: field(1, self.node())] * 3,
            lambda: field(2, self.some(lambda: field(1, self.function()))),
            most=6,
        )

    def onnx_tensor(self) -> bytes:
        return self.some(
            lambda: b"\x08\x02",
            lambda: b"\x10\x01",
            *[lambda: field(9, self.numbers())] * 3,
            lambda: field(4, self.numbers()),
            lambda: b"\x25\0\0\x80\x3f",
            lambda: field(10, b"\0" * 16),
            lambda: field(8, b"c"),
            most=5,
        )

    def attribute(self) -> bytes:
        def name() -> bytes:
            return field(1, self._draw(st.sampled_from([b"value", b"value", b"value", b"other", b"value of more"])))

        def tensor() -> bytes:
            return field(5, self.onnx_tensor())

        return name() + tensor() if self._chance(80) else self.some(name, tensor, lambda: field(6, b""))

    def onnx_node(self) -> bytes:
        if self._chance(70):
            return field(2, b"y") + field(4, b"Constant") + field(5, self.attribute())
        return self.some(lambda: field(4, b"Constant"), lambda: field(4, b"If"), lambda: field(5, self.attribute()))

    def onnx_graph(self) -> bytes:
        return self.some(lambda: field(1, self.onnx_node()), lambda: field(5, self.onnx_tensor()), most=6)

    def model(self) -> bytes:
        return self.some(lambda: b"\x08\x07", *[lambda: field(7, self.onnx_graph())] * 3, lambda: field(2, b"p"))

    def damaged(self, data: bytes) -> bytes:
        """As it is, mostly; else cut short, or with a byte changed."""
        if self._chance(93) or not data:
            return data
        place = self._draw(st.integers(0, len(data) - 1))
        if self._chance(50):
            return data[:place]
        return data[:place] + bytes([self._draw(st.integers(0, 255))]) + data[place + 1 :]


@st.composite
def graphs(draw: st.DrawFn) -> bytes:
    wire = Wire(draw)
    return wire.damaged(wire.graph())


@st.composite
def models(draw: st.DrawFn) -> bytes:
    wire = Wire(draw)
    return wire.damaged(wire.model())


FULL = b"\0\0\x80\x3f" * 2
TENSOR = b"\x08\x01" + field(2, field(2, b"\x08\x02"))


def const(tensor: bytes, *, name: bytes = b"c") -> bytes:
    """A Const node in a graph."""
    return field(1, field(1, name) + field(2, b"Const") + entry(field(8, tensor)))


def entry(value: bytes, key: bytes = b"value") -> bytes:
    return field(5, field(1, key) + field(2, value))


MERGED = [
    # Twice: the last one is the value.
    const(TENSOR + field(4, b"12345678") + field(4, FULL)),
    # Tensors in one entry are merged, entries of one key are not.
    field(1, field(1, b"c") + field(5, field(1, b"value") + field(2, field(8, TENSOR) + field(8, field(4, FULL))))),
    field(1, field(1, b"c") + field(5, field(1, b"value") + field(2, field(8, field(4, FULL))) + field(2, b""))),
    field(1, field(1, b"c") + entry(field(8, field(4, FULL))) + entry(field(8, field(5, FULL)))),
    field(1, field(1, b"c") + entry(field(8, field(4, FULL))) + field(5, field(1, b"value"))),
    # Of a key that is given twice the last one counts, and so does the last of several kinds of a value.
    field(1, field(1, b"c") + field(5, field(1, b"value") + field(1, b"T") + field(2, field(8, field(4, FULL))))),
    field(1, field(1, b"c") + entry(field(8, field(4, FULL)) + b"\x18\x05")),
    # A list in two parts, or packed and not packed.
    const(TENSOR + field(5, FULL) + field(5, FULL)),
    const(TENSOR + field(5, FULL) + b"\x2d\0\0\x80\x3f"),
    # A list beside bytes.
    const(TENSOR + field(5, FULL) + field(4, b"1")),
    const(TENSOR + field(4, b"") + field(5, FULL)),
    # A list with a part of a number.
    const(TENSOR + field(5, FULL + b"1")),
    # In a group, which protobuf skips.
    b"\x7b" + const(TENSOR + field(4, FULL)) + b"\x7c",
    field(1, field(1, b"c") + b"\x7b" + entry(field(8, field(4, FULL))) + b"\x7c"),
]
TWO_LIBRARIES = field(2, field(1, field(1, field(1, b"f")) + field(3, const(TENSOR + field(4, FULL))[2:]))) + field(
    2, field(1, field(1, field(1, b"g")) + field(3, const(TENSOR + field(4, FULL), name=b"d")[2:]))
)
_CONSTANT = field(1, field(4, b"Constant") + field(5, field(1, b"value") + field(5, field(9, FULL))))
TWO_GRAPHS = field(7, _CONSTANT + field(5, field(9, FULL))) + field(7, _CONSTANT + field(5, field(4, FULL)))


@pytest.mark.usefixtures("_everything")
@pytest.mark.parametrize("data", MERGED)
def test_what_protobuf_merges_is_left_to_it(data: bytes) -> None:
    check_equal(data, pb.GraphDef(), whole_graph)


@pytest.mark.usefixtures("_everything")
def test_parts_of_a_library_and_of_a_graph_are_joined() -> None:
    assert check_equal(TWO_LIBRARIES, pb.GraphDef(), whole_graph) == 2
    assert check_equal(TWO_GRAPHS, onnx_pb2.ModelProto(), whole_model) == 4


@pytest.mark.usefixtures("_everything")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=graphs())
@example(data=const(TENSOR + field(4, FULL)) * 1 + TWO_LIBRARIES)
def test_graphs_are_read_as_protobuf_reads_them(data: bytes) -> None:
    check_equal(data, pb.GraphDef(), whole_graph)


@pytest.mark.usefixtures("_everything")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=models())
@example(data=TWO_GRAPHS)
def test_models_are_read_as_protobuf_reads_them(data: bytes) -> None:
    check_equal(data, onnx_pb2.ModelProto(), whole_model)


@pytest.mark.usefixtures("_everything")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_junk_is_refused_as_protobuf_refuses_it(data: bytes) -> None:
    check_equal(data, pb.GraphDef(), whole_graph)
    check_equal(data, onnx_pb2.ModelProto(), whole_model)


def large(count: int = 3000) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.arange(count, dtype=np.float32) % 2000


def test_large_constants_of_a_graph_are_views_of_the_file(tmp_path: Path) -> None:
    build = Builder()
    build.const("small", [1.0, 2.0])
    for dtype in ("float32", "float16", "float64", "int32", "int64"):
        build.const(f"large_{dtype}", large().reshape(30, 100), dtype)
    build.node("handed_on", "Identity", ["large_float32"])
    listed = build.message.node.add(name="listed", op="Const").attr["value"].tensor
    listed.dtype = pb.DT_FLOAT
    listed.tensor_shape.dim.add(size=4000)
    listed.float_val.extend(large().tolist())
    (tmp_path / "graph.pb").write_bytes(build.message.SerializeToString())
    graph = read_graph(tmp_path / "graph.pb")
    assert graph.file is not None
    assert graph.file.is_mapped
    values = TensorFlowConstantFolder(graph)
    file = np.frombuffer(graph.file.data, np.uint8)
    for name in ("large_float32", "large_float16", "large_float64", "large_int32", "large_int64", "handed_on"):
        value = values.value(name)
        assert value.dtype.name == name.replace("handed_on", "float32").removeprefix("large_")
        assert np.may_share_memory(value, file)
        np.testing.assert_array_equal(value, large().reshape(30, 100))
    assert values.value("small").tolist() == [1, 2]
    # The last one of a list is repeated.
    np.testing.assert_array_equal(values.value("listed"), [*large(), *[999.0] * 1000])


def test_large_constants_of_a_model_are_views_of_the_file(tmp_path: Path) -> None:
    build = OnnxBuilder()
    build.const("raw", large().reshape(30, 100))
    build.message.initializer.add(name="listed", data_type=1, dims=[3000], float_data=large().tolist())
    build.message.initializer.add(name="doubles", data_type=11, dims=[3000], double_data=large().tolist())
    node = build.message.node.add(op_type="Constant", output=["node"])
    node.attribute.add(name="value").t.CopyFrom(build.message.initializer[0])
    build.node("cast", "Cast", ["raw"], to=1)
    build.node("used", "Add", ["image", "node"])
    (tmp_path / "model.onnx").write_bytes(build.model.SerializeToString())
    graph = read_onnx(tmp_path / "model.onnx")
    assert graph.file is not None
    file = np.frombuffer(graph.file.data, np.uint8)
    values = OnnxConstantFolder(graph)
    for name in ("raw", "listed", "doubles", "node", "cast"):
        assert np.may_share_memory(values.value(name), file)
        np.testing.assert_array_equal(values.value(name).ravel(), large())


def test_constants_of_functions_are_those_of_their_nodes(tmp_path: Path) -> None:
    build = Builder()
    build.const("weights", large())
    function = build.message.library.function.add()
    function.signature.name = "body"
    other = Builder()
    other.const("weights", -large())
    function.node_def.extend(other.message.node)
    (tmp_path / "graph.pb").write_bytes(build.message.SerializeToString())
    graph = read_graph(tmp_path / "graph.pb")
    body = function_graph(graph, "body")
    np.testing.assert_array_equal(graph.constant(graph.nodes["weights"]), large())
    np.testing.assert_array_equal(body.constant(body.nodes["weights"]), -large())


def test_a_graph_with_other_nodes_keeps_its_constants(tmp_path: Path) -> None:
    build = Builder()
    build.const("weights", large())
    build.node("more", "Relu", ["weights"])
    (tmp_path / "graph.pb").write_bytes(build.message.SerializeToString())
    graph = read_graph(tmp_path / "graph.pb")
    less = graph.with_nodes([graph.nodes["weights"]])
    np.testing.assert_array_equal(less.constant(less.nodes["weights"]), large())


def test_a_constant_without_what_was_taken_out_of_it_is_refused(tmp_path: Path) -> None:
    """Not read as zeros, which a Const without values is."""
    build = Builder()
    build.const("bytes", large())
    listed = build.message.node.add(name="listed", op="Const").attr["value"].tensor
    listed.dtype = pb.DT_FLOAT
    listed.tensor_shape.dim.add(size=3000)
    listed.float_val.extend(large().tolist())
    (tmp_path / "graph.pb").write_bytes(build.message.SerializeToString())
    for node in read_graph(tmp_path / "graph.pb").nodes.values():
        with pytest.raises(ModelFileError, match=r"holds 1 bytes where its shape \[3000\] needs 12000"):
            tensor_value(node)


@pytest.mark.parametrize("cut", [1, 5000, 11_990])
def test_a_file_that_is_cut_short(tmp_path: Path, cut: int) -> None:
    build = Builder()
    build.const("weights", large())
    (tmp_path / "graph.pb").write_bytes(build.message.SerializeToString()[:-cut])
    with pytest.raises(ModelFileError, match="cut short"):
        read_graph(tmp_path / "graph.pb")
    onnx = OnnxBuilder()
    onnx.const("weights", large())
    (tmp_path / "model.onnx").write_bytes(onnx.model.SerializeToString()[:-cut])
    with pytest.raises(ModelFileError, match="cut short"):
        read_onnx(tmp_path / "model.onnx")


def test_a_large_constant_whose_bytes_and_shape_disagree(tmp_path: Path) -> None:
    build = Builder()
    build.const("weights", large())
    build.message.node[0].attr["value"].tensor.tensor_shape.dim[0].size = 2999
    (tmp_path / "graph.pb").write_bytes(build.message.SerializeToString())
    graph = read_graph(tmp_path / "graph.pb")
    with pytest.raises(ModelFileError, match=r"holds 12000 bytes where its shape \[2999\] needs 11996"):
        graph.constant(graph.nodes["weights"])
    onnx = OnnxBuilder()
    onnx.const("raw", large())
    onnx.message.initializer.add(name="listed", data_type=1, dims=[9], float_data=large().tolist())
    onnx.message.initializer[0].dims[0] = 2999
    onnx.node("used", "Add", ["raw", "listed"])
    (tmp_path / "model.onnx").write_bytes(onnx.model.SerializeToString())
    model = read_onnx(tmp_path / "model.onnx")
    with pytest.raises(ModelFileError, match="'raw' that holds 12000 bytes"):
        model.constant("raw")
    with pytest.raises(ModelFileError, match="lists 3000 values for a shape of 9"):
        model.constant("listed")


def test_a_list_of_another_type_is_not_the_value(tmp_path: Path) -> None:
    """Of float_data, where the type says that values are in int64_data."""
    onnx = OnnxBuilder()
    onnx.message.initializer.add(name="c", data_type=7, dims=[3000], float_data=large().tolist())
    (tmp_path / "model.onnx").write_bytes(onnx.model.SerializeToString() + field(7, field(1, field(4, b"Relu"))))
    with pytest.raises(ModelFileError, match="lists 0 values for a shape of 3000"):
        read_onnx(tmp_path / "model.onnx").constant("c")
    build = Builder()
    listed = build.message.node.add(name="c", op="Const").attr["value"].tensor
    listed.dtype = pb.DT_INT64
    listed.tensor_shape.dim.add(size=3000)
    listed.float_val.extend(large().tolist())
    (tmp_path / "graph.pb").write_bytes(build.message.SerializeToString())
    graph = read_graph(tmp_path / "graph.pb")
    assert not graph.constant(graph.nodes["c"]).any()


def test_arrays_of_a_mapped_file_pickle_by_value(tmp_path: Path) -> None:
    build = Builder()
    build.const("weights", large())
    (tmp_path / "graph.pb").write_bytes(build.message.SerializeToString())
    graph = read_graph(tmp_path / "graph.pb")
    value = graph.constant(graph.nodes["weights"])
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(value, protocol)
        assert len(data) > value.nbytes
        np.testing.assert_array_equal(pickle.loads(data), large())


MANY = 30_000


@pytest.mark.parametrize(
    "data",
    [
        field(1, b"") * MANY,
        field(2, field(1, b"") * MANY),
        field(1, b"\x1a\x00" * 200 + b"\x32" + varint_bytes(5000) + b"\0" * 5000) * 100,
        b"\x98\x01\x07" * MANY,
    ],
    ids=["nodes", "functions", "inputs", "unknown"],
)
def test_a_walk_over_structure_without_end_ends(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf_limits, "MAX_STRUCTURE", 20_000)
    walked: list[int] = []
    monkeypatch.setattr(protobuf_limits, "parse", lambda *_: walked.append(1))
    with pytest.raises(ModelFileError, match="beside its weights"):
        parse_graph(memoryview(data))
    assert not walked


def test_a_constant_of_more_fields_than_any_has_is_left_to_protobuf(tmp_path: Path) -> None:
    build = Builder()
    build.const("weights", large())
    build.message.node[0].input.extend(["^weights"] * 300)
    message, constants = parse_graph(memoryview(build.message.SerializeToString()))
    assert not constants.nodes
    assert message == build.message
