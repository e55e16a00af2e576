"""ONNX files are read with care: what contradicts itself is refused, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.constant_folding import NotConstant
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.model import read_onnx
from tests.importers.onnx_graphs import OnnxBuilder, tensor


@pytest.fixture
def build() -> OnnxBuilder:
    """A model with an input called "image"."""
    return OnnxBuilder()


def test_nodes_come_in_an_order_in_which_they_can_be_computed(build: OnnxBuilder) -> None:
    build.node("last", "Relu", ["middle"])
    build.node("middle", "Relu", ["first"])
    build.node("first", "Relu", ["image"])
    assert [node.name for node in build.graph().nodes] == ["first", "middle", "last"]


def test_identities_of_constants_and_of_maps_are_looked_through(build: OnnxBuilder) -> None:
    build.const("weights", np.array([1, 2], np.float32))
    build.node("shared", "Identity", ["weights"])
    build.node("map", "Relu", ["image"])
    build.node("dropped", "Dropout", ["map"])
    build.node("sum", "Add", ["dropped", "shared"])
    graph = build.graph()
    assert graph.constant("shared").tolist() == [1, 2]
    assert [node.op for node in graph.upstream(["sum"]) if node.op != "Dropout"] == ["Add", "Relu"]
    assert [node.op for node in graph.consumers("map")] == ["Add"]


def test_the_branches_of_an_if_are_part_of_the_graph(build: OnnxBuilder) -> None:
    branch = OnnxBuilder()
    branch.message.ClearField("input")
    branch.const("limit", np.array([0.5], np.float32))
    branch.node("same", "Min", ["boxes", "limit"])
    branch.message.output.add(name="same")
    build.node("boxes", "Relu", ["image"])
    build.node("empty", "Equal", ["boxes", "boxes"])
    build.node("same", "Neg", ["boxes"])
    build.node("kept", "If", ["empty"], then_branch=branch.message, else_branch=branch.message)
    graph = build.graph()
    # Both branches call their result "same", as does the graph around them.
    assert [node.op for node in graph.upstream(["kept"])] == ["If", "Min", "Min", "Relu"]
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ([1.5, -2.0], {"data_type": pb.TensorProto.FLOAT, "float_data": [1.5, -2.0]}),
        ([1.5, -2.0], {"data_type": pb.TensorProto.DOUBLE, "double_data": [1.5, -2.0]}),
        ([1.5, -2.0], {"data_type": pb.TensorProto.FLOAT16, "int32_data": [0x3E00, 0xC000]}),
        ([1.5, -2.0], {"data_type": pb.TensorProto.BFLOAT16, "int32_data": [0x3FC0, 0xC000]}),
        ([1.5, -2.0], {"data_type": pb.TensorProto.BFLOAT16, "raw_data": b"\xc0\x3f\x00\xc0"}),
        ([7, -9], {"data_type": pb.TensorProto.INT64, "int64_data": [7, -9]}),
        ([7, -9], {"data_type": pb.TensorProto.INT32, "int32_data": [7, -9]}),
        ([7, -9], {"data_type": pb.TensorProto.INT8, "int32_data": [7, -9]}),
        ([7, 9], {"data_type": pb.TensorProto.UINT64, "uint64_data": [7, 9]}),
        ([1, 0], {"data_type": pb.TensorProto.BOOL, "int32_data": [1, 0]}),
    ],
)
def test_values_in_every_spelling(build: OnnxBuilder, value: list[float], fields: dict[str, object]) -> None:
    build.message.initializer.append(pb.TensorProto(name="c", dims=[2], **fields))  # type: ignore[arg-type]
    build.node("used", "Add", ["image", "c"])
    assert build.graph().constant("c").tolist() == value


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"dims": [3], "float_data": [1.0, 2.0]}, "lists 2 values for a shape of 3"),
        ({"dims": [3], "raw_data": b"1234"}, "4 bytes where its shape"),
        ({"dims": [-1], "float_data": [1.0]}, "cannot be"),
        ({"dims": [1 << 60, 1 << 60], "float_data": [1.0]}, "lists 1 values"),
        ({"dims": [1] * 17, "float_data": [1.0]}, "cannot be"),
        ({"dims": [1], "data_location": 1}, "another file.*onnx.save_model"),
        ({"dims": [1], "data_type": 8}, "a type that is not supported"),
        ({"dims": [1], "data_type": pb.TensorProto.INT8, "int32_data": [300]}, "cannot hold"),
        ({"dims": [0, 5], "raw_data": b"1234"}, "4 bytes where its shape"),
    ],
)
def test_constants_that_contradict_themselves(build: OnnxBuilder, fields: dict[str, object], match: str) -> None:
    build.message.initializer.append(pb.TensorProto(**{"name": "c", "data_type": 1, **fields}))  # type: ignore[arg-type]
    build.node("used", "Add", ["image", "c"])
    with pytest.raises(ModelFileError, match=match):
        build.graph().constant("c")


def _circle(build: OnnxBuilder) -> None:
    build.node("a", "Add", ["image", "b"])
    build.node("b", "Relu", ["a"])


def _itself(build: OnnxBuilder) -> None:
    build.node("a", "Identity", ["a"])


def _missing(build: OnnxBuilder) -> None:
    build.node("a", "Relu", ["nothing"])


def _twice(build: OnnxBuilder) -> None:
    build.node("a", "Relu", ["image"])
    build.node("a", "Neg", ["image"])


def _like_the_input(build: OnnxBuilder) -> None:
    build.node("image", "Relu", ["image"])


def _constant_twice(build: OnnxBuilder) -> None:
    build.node("a", "Add", ["image", build.const("c", np.float32(1))])
    build.const("c", np.float32(2))


def _deep(build: OnnxBuilder) -> None:
    inner = pb.GraphProto()
    for _ in range(20):
        outer = pb.GraphProto()
        node = outer.node.add(op_type="If", input=["image"], output=["x"])
        node.attribute.add(name="then_branch").g.CopyFrom(inner)
        inner = outer
    build.message.node.extend(inner.node)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (_circle, "depends on itself"),
        (_itself, "depends on itself"),
        (_missing, "'nothing', which is missing"),
        (_twice, "twice"),
        (_like_the_input, "twice"),
        (_constant_twice, "twice"),
        (_deep, "without end"),
    ],
)
def test_graphs_that_contradict_themselves(
    build: OnnxBuilder, tmp_path: Path, spoil: Callable[[OnnxBuilder], None], match: str
) -> None:
    spoil(build)
    path = tmp_path / "model.onnx"
    path.write_bytes(build.model.SerializeToString())
    with pytest.raises(ModelFileError, match=match) as error:
        read_onnx(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "no graph nodes"), (b"\x08\x07", "no graph nodes"), (b"\x08\x07\x3a\xff\x01ab", "cut short")],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelFileError, match=match):
        read_onnx(tmp_path / "model.onnx")


SUMS: list[tuple[str, Callable[[OnnxBuilder], str], list[float]]] = [
    (
        "a frozen batch norm",
        lambda build: build.node(
            "y", "Div", [build.const("g", [6.0]), build.node("r", "Sqrt", [build.const("v", 4.0)])]
        ),
        [3],
    ),
    ("a negative slice", lambda build: _sliced(build, [-1], [-(1 << 62)], [-1]), [4, 3, 2, 1]),
    ("a slice to the end", lambda build: _sliced(build, [1], [1 << 62], [2]), [2, 4]),
    (
        "division of whole numbers",
        lambda build: build.node("y", "Div", [build.const("a", [7, -7]), build.const("b", [2, 2])]),
        [3, -3],
    ),
    (
        "a shape of a constant",
        lambda build: build.node("y", "Shape", [build.const("a", np.zeros((2, 5), np.float32))]),
        [2, 5],
    ),
    (
        "a filled tensor",
        lambda build: build.node("y", "ConstantOfShape", [build.const("a", [3])], value=tensor("", [2.5])),
        [2.5] * 3,
    ),
    (
        "axes as an attribute",
        lambda build: build.node("y", "Squeeze", [build.node("u", "Unsqueeze", [build.const("a", [4])], axes=[0])]),
        4,  # type: ignore[list-item]
    ),
    (
        "the least of all",
        lambda build: build.node("y", "ReduceMin", [build.const("a", [4, 2, 9])], keepdims=0),
        2,  # type: ignore[list-item]
    ),
    (
        "a cast",
        lambda build: build.node("y", "Cast", [build.const("a", [4.7])], to=int(pb.TensorProto.INT64)),
        [4],
    ),
]


def _sliced(build: OnnxBuilder, start: list[int], end: list[int], step: list[int]) -> str:
    names = [build.const("a", [1, 2, 3, 4])]
    names += [build.const(name, value) for name, value in (("s", start), ("e", end), ("x", [0]), ("t", step))]
    return build.node("y", "Slice", names)


@pytest.mark.parametrize(("make", "expected"), [row[1:] for row in SUMS], ids=[row[0] for row in SUMS])
def test_sums_of_constants(build: OnnxBuilder, make: Callable[[OnnxBuilder], str], expected: list[float]) -> None:
    name = make(build)
    assert OnnxConstantFolder(build.graph()).value(name).tolist() == expected


def test_what_depends_on_the_image_is_no_constant(build: OnnxBuilder) -> None:
    build.node("y", "Add", [build.node("s", "Shape", ["image"]), build.const("one", [1])])
    with pytest.raises(NotConstant, match="image"):
        OnnxConstantFolder(build.graph()).value("y")


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        ("Expand", [np.ones(1, np.float32), np.array([1 << 20, 1 << 20])]),
        ("ConstantOfShape", [np.array([1 << 20, 1 << 20])]),
        ("Range", [np.array(0), np.array(1 << 40), np.array(1)]),
        ("Range", [np.array(0), np.array(9), np.array(0)]),
        ("Reshape", [np.zeros(6, np.float32), np.array([4, 2])]),
        ("Gather", [np.zeros(3, np.float32), np.array([5])]),
        ("Concat", [np.zeros((2, 2), np.float32), np.zeros(3, np.float32)]),
        ("Add", [np.zeros((1 << 14, 1), np.float32), np.zeros((1, 1 << 14), np.float32)]),
        ("Cast", [np.zeros(3, np.float32)]),
        ("Sqrt", []),
    ],
)
def test_sums_that_cannot_be_computed(build: OnnxBuilder, op: str, inputs: list[NDArray[np.generic]]) -> None:
    build.node("y", op, [build.const(f"c{index}", value) for index, value in enumerate(inputs)])
    with pytest.raises(ModelFileError, match=op):
        OnnxConstantFolder(build.graph()).value("y")
