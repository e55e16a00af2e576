"""Reading a GraphDef: what is refused, and what a constant's value is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import Graph, node_name, read_graph, tensor_value
from tests.importers.graphs import Builder


def constant(dtype: pb.DataType, shape: list[int], content: bytes = b"", **lists: Sequence[float]) -> pb.NodeDef:
    node = pb.NodeDef(name="c", op="Const")
    tensor = node.attr["value"].tensor
    tensor.dtype = dtype
    tensor.tensor_content = content
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for name, values in lists.items():
        getattr(tensor, name).extend(values)
    return node


def test_a_tensors_name_tells_its_node() -> None:
    assert [node_name(name) for name in ("a/b", "a/b:0", "a/b:12", "^a/b")] == ["a/b"] * 4


def test_an_input_that_is_missing_means_a_file_cut_short() -> None:
    builder = Builder()
    builder.node("relu", "Relu", ["conv"])
    with pytest.raises(ModelFileError, match=r"'relu' that takes 'conv', which is missing.*cut short"):
        builder.graph()


def test_a_missing_control_input_counts_as_well() -> None:
    builder = Builder()
    builder.node("relu", "NoOp", ["^gone"])
    with pytest.raises(ModelFileError, match="'gone', which is missing"):
        builder.graph()


def test_two_nodes_of_one_name_are_no_graph() -> None:
    builder = Builder()
    for _ in range(2):
        builder.node("same", "NoOp")
    with pytest.raises(ModelFileError, match="two nodes named 'same'"):
        builder.graph()


@pytest.mark.parametrize("name", ["", "/lead", "a b", "ä", "a\n", "a" * 1001, "a:0", "\x1b[31m"])
def test_names_that_tensorflow_does_not_allow(name: str) -> None:
    builder = Builder()
    builder.node(name, "NoOp")
    with pytest.raises(ModelFileError, match="name that TensorFlow does not allow") as error:
        builder.graph()
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a", "A.b-c_d/e", "1", ".hidden", "a>b"])
def test_names_that_it_allows(name: str) -> None:
    builder = Builder()
    builder.node(name, "NoOp")
    assert list(builder.graph().nodes) == [name]


@pytest.mark.parametrize(
    ("op", "least"), [("Relu", 1), ("Conv2D", 2), ("CropAndResize", 4), ("NonMaxSuppressionV3", 4)]
)
def test_a_node_with_too_few_inputs_is_refused(op: str, least: int) -> None:
    builder = Builder()
    builder.node("x", "Placeholder")
    builder.node("control", "NoOp")
    builder.node("short", op, ["x"] * (least - 1) + ["^control"])
    with pytest.raises(ModelFileError, match=f"'short' .{op}. with {least - 1} of its {least} inputs"):
        builder.graph()


def test_ways_through_a_graph() -> None:
    builder = Builder()
    builder.node("x", "Placeholder")
    builder.node("size", "Shape", ["x"])
    builder.node("a", "Relu", ["x"])
    builder.node("b", "Relu", ["a", "^size"])
    builder.node("c", "Add", ["b", "a"])
    graph = builder.graph()
    assert graph.inputs(graph.nodes["b"]) == ["a"]
    assert [node.name for node in graph.consumers("a")] == ["b", "c"]
    assert [node.name for node in graph.consumers("x")] == ["a"]
    assert list(graph.upstream(["c"])) == ["c", "b", "a", "x"]
    assert list(graph.upstream(["c:0"], lambda node: node.name == "a")) == ["c", "b", "a"]
    assert list(graph.downstream(graph.nodes["x"])) == ["x", "a", "b", "c"]
    # The size of a tensor is not its values.
    assert list(graph.upstream(["size"])) == ["size"]


def test_values_as_bytes_of_every_type() -> None:
    for name, dtype in (
        ("float32", pb.DT_FLOAT),
        ("float64", pb.DT_DOUBLE),
        ("float16", pb.DT_HALF),
        ("int32", pb.DT_INT32),
        ("int64", pb.DT_INT64),
        ("int8", pb.DT_INT8),
        ("uint8", pb.DT_UINT8),
        ("int16", pb.DT_INT16),
        ("bool", pb.DT_BOOL),
    ):
        expected = np.array([[0, 1, 1], [1, 0, 1]], dtype=name)
        found = tensor_value(constant(dtype, [2, 3], expected.tobytes()))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_bfloat16_is_the_upper_half_of_a_float32() -> None:
    expected = np.array([1.0, -2.5, 0.15625, 65280.0], np.float32)
    upper = (expected.view(np.uint32) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(tensor_value(constant(pb.DT_BFLOAT16, [4], upper.tobytes())), expected)
    np.testing.assert_array_equal(tensor_value(constant(pb.DT_BFLOAT16, [4], half_val=upper.tolist())), expected)


def test_listed_values_repeat_the_last_one() -> None:
    found = tensor_value(constant(pb.DT_FLOAT, [2, 3], float_val=[1.5, 2.5]))
    np.testing.assert_array_equal(found, [[1.5, 2.5, 2.5], [2.5, 2.5, 2.5]])
    assert tensor_value(constant(pb.DT_INT32, [], int_val=[7])) == 7
    np.testing.assert_array_equal(tensor_value(constant(pb.DT_INT64, [2], int64_val=[1 << 40])), [1 << 40] * 2)
    np.testing.assert_array_equal(tensor_value(constant(pb.DT_BOOL, [2], bool_val=[True, False])), [True, False])
    halves = np.array([0.5, -3], np.float16).view(np.uint16).tolist()
    np.testing.assert_array_equal(tensor_value(constant(pb.DT_HALF, [2], half_val=halves)), [0.5, -3])
    np.testing.assert_array_equal(tensor_value(constant(pb.DT_DOUBLE, [1], double_val=[0.1])), [0.1])


def test_a_constant_without_values_is_zeros() -> None:
    """As Grappler's constant folding writes them."""
    assert tensor_value(constant(pb.DT_FLOAT, [0, 5])).shape == (0, 5)
    np.testing.assert_array_equal(tensor_value(constant(pb.DT_INT32, [5])), np.zeros(5, np.int32))


@pytest.mark.parametrize(
    ("node", "match"),
    [
        (constant(pb.DT_FLOAT, [3], b"\0" * 11), "holds 11 bytes where its shape .* needs 12"),
        (constant(pb.DT_FLOAT, [3], b"\0" * 16), "holds 16 bytes where its shape .* needs 12"),
        (constant(pb.DT_FLOAT, [1 << 40, 1 << 40], b"\0" * 16), "holds 16 bytes"),
        (constant(pb.DT_FLOAT, [-1, 4], b"\0" * 16), "which cannot be"),
        (constant(pb.DT_FLOAT, [2], float_val=[1, 2, 3]), "lists 3 values for a shape of 2"),
        (constant(pb.DT_FLOAT, [1 << 20, 1 << 20], float_val=[1]), "lists 1 values"),
        (constant(pb.DT_UINT8, [1], int_val=[300]), "lists a value"),
        (constant(pb.DT_HALF, [1], half_val=[70000]), "lists a value"),
        (constant(pb.DT_STRING, [1]), "type that is not supported"),
        (constant(99, [1], b"\0"), "type that is not supported"),  # type: ignore[arg-type]
    ],
)
def test_bytes_and_shape_that_disagree(node: pb.NodeDef, match: str) -> None:
    with pytest.raises(ModelFileError, match=match):
        tensor_value(node)


def test_reading_a_file(tmp_path: Path) -> None:
    builder = Builder()
    builder.const("c", [1.0, 2.0])
    path = tmp_path / "graph.pb"
    path.write_bytes(builder.message.SerializeToString())
    graph = read_graph(path)
    assert isinstance(graph, Graph)
    np.testing.assert_array_equal(tensor_value(graph.nodes["c"]), [1, 2])


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "no graph nodes"), (b"\x08\x01", "no graph nodes"), (b"\x0a\xff", "cut short"), (b"hello", "graph")],
)
def test_files_that_are_no_graphs_are_named(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=match) as error:
        read_graph(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.pb cannot be read"):
        read_graph(tmp_path / "gone.pb")
