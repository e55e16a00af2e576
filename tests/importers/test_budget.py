"""Small files that ask for much: endless walks, circles, sums and weights without number, names that collide."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import limits as budget
from mrcnn_cv.graph.ir import Relu
from mrcnn_cv.graph.limits import MAX_STEPS
from mrcnn_cv.graph.net_builder import MAX_LAYERS, NetBuilder
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.graph.protos import onnx_pb2
from mrcnn_cv.importers.constant_folding import NotConstant
from mrcnn_cv.importers.object_detection_api.family import read_crop
from mrcnn_cv.importers.object_detection_api.preprocessing import read_pixel_steps
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import Map, Output, extract_net
from mrcnn_cv.importers.tensorflow import extract as tensorflow
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.graphdef import Graph, tensor_value
from tests.importers.graphs import Builder
from tests.importers.onnx_graphs import OnnxBuilder, tensor


@pytest.fixture
def build() -> Builder:
    builder = Builder()
    builder.node("image", "Placeholder")
    return builder


def squares(build: Builder, count: int, op: str = "Mul") -> str:
    """A chain of nodes that each take the one before twice."""
    name = "image"
    for index in range(count):
        name = build.node(f"square{index}", op, [name, name])
    return name


def test_a_chain_that_depends_on_the_image_is_not_walked_again_for_each_of_its_nodes(build: Builder) -> None:
    end, graph = squares(build, 2000), build.graph()
    tensorflow.extract_net(graph, {"image": "image"}, [end])
    assert MAX_STEPS - graph.budget.steps < 20 * 2000


def test_reshapes_of_a_crop_that_take_it_twice_are_followed_once(build: Builder) -> None:
    crop = build.node("crop", "CropAndResize", ["image"] * 4)
    name = crop
    for index in range(200):
        name = build.node(f"shape{index}", "Reshape", [name, name])
    graph = build.graph()
    _, names = read_crop(graph, graph.node(crop), (7, 7))
    assert len(names) == 201


def test_what_is_not_constant_stays_so(build: Builder) -> None:
    build.node("sum", "Add", ["image", build.const("one", 1.0)])
    values = TensorFlowConstantFolder(build.graph())
    for _ in range(2):
        with pytest.raises(NotConstant):
            values.value("sum")
    assert values.value("one") == 1


def test_a_circle_of_factors_is_refused(build: Builder) -> None:
    build.const("two", 2.0)
    build.node("first", "Mul", ["second", "two"])
    build.node("second", "Add", ["first", "two"])
    with pytest.raises(ModelFileError, match="depends on itself"):
        tensorflow.extract_net(build.graph(), {"image": "image"}, ["first"])


def test_a_circle_of_pixel_steps_is_refused(build: Builder) -> None:
    build.const("two", 2.0)
    build.node("first", "Mul", ["second", "two"])
    build.node("second", "Add", ["first", "two"])
    with pytest.raises(ModelFileError, match="depends on itself"):
        read_pixel_steps(build.graph(), "first")


def test_walks_without_end_are_refused(build: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_STEPS", 50)
    end, graph = squares(build, 100), build.graph()
    with pytest.raises(ModelFileError, match="so entangled that it cannot be read"):
        graph.upstream([end])


def test_walks_of_an_onnx_graph_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_STEPS", 50)
    build = OnnxBuilder()
    name = "image"
    for index in range(100):
        name = build.node(f"relu{index}", "Relu", [name])
    graph = build.graph()
    with pytest.raises(ModelFileError, match="so entangled"):
        graph.upstream([name])


def test_sums_that_would_fill_the_memory_together_are_refused(build: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_SUM_BYTES", 100_000)
    build.const("many", [1000], "int32")
    name = build.node("filled", "Fill", ["many", build.const("value", 1.0)])
    for index in range(100):
        name = build.node(f"negative{index}", "Neg", [name])
    with pytest.raises(ModelFileError, match="sums of constants that are far too large"):
        TensorFlowConstantFolder(build.graph()).value(name)


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        ("Gather", [np.zeros(1 << 13, np.float32), np.zeros((1 << 13,), np.int64)]),
        ("Clip", [np.zeros((1 << 13, 1), np.float32), np.zeros((1, 1 << 13), np.float32)]),
    ],
)
def test_sums_that_multiply_what_they_are_given_are_refused(op: str, inputs: list[NDArray[np.generic]]) -> None:
    build = OnnxBuilder()
    names = [build.const(f"input{index}", value) for index, value in enumerate(inputs)]
    # Twice: the first result is large, but not too large.
    first = build.node("first", op, names)
    second = build.node("second", op, [first, first])
    with pytest.raises(ModelFileError, match="too large"):
        OnnxConstantFolder(build.graph()).value(second)


def test_a_constant_with_thousands_of_axes_is_refused() -> None:
    node = pb.NodeDef(name="deep", op="Const")
    node.attr["value"].tensor.dtype = pb.DT_FLOAT
    node.attr["value"].tensor.float_val.append(1)
    for _ in range(3000):
        node.attr["value"].tensor.tensor_shape.dim.add(size=1)
    with pytest.raises(ModelFileError, match="which cannot be"):
        tensor_value(node)


def test_nodes_without_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrcnn_cv.importers.tensorflow.graphdef.MAX_NODES", 100)
    nodes = (pb.NodeDef(name=f"node{index}", op="Placeholder") for index in itertools.count())
    with pytest.raises(ModelFileError, match="more than 100 nodes"):
        Graph(nodes)


def test_a_constant_that_is_the_weights_of_many_layers_is_written_so_often_only(
    build: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mrcnn_cv.graph.net_builder.MAX_WEIGHT_BYTES", 10_000)
    build.const("weights", np.ones((3, 3, 8, 8)))
    name = "image"
    for index in range(10):
        name = build.node(f"layer{index}", "Conv2D", [name, "weights"], strides=[1, 1, 1, 1], padding=b"SAME")
    with pytest.raises(ModelFileError, match="would not fit into memory"):
        tensorflow.extract_net(build.graph(), {"image": "image"}, [name])


def test_nets_of_layers_without_number_are_refused(build: Builder) -> None:
    name = "image"
    for index in range(MAX_LAYERS):
        name = build.node(f"relu{index}", "Relu", [name])
    with pytest.raises(ModelFileError, match=f"more than {MAX_LAYERS} layers"):
        tensorflow.extract_net(build.graph(), {"image": "image"}, [name])


def test_weights_that_overflow_when_a_factor_is_folded_into_them_are_refused(build: Builder) -> None:
    build.const("weights", np.full((1, 1, 3, 2), 1e30))
    layer = build.node("layer", "Conv2D", ["image", "weights"], strides=[1, 1, 1, 1], padding=b"SAME")
    build.node("scaled", "Mul", [layer, build.const("factor", [1e30, 1.0])])
    with pytest.raises(ModelFileError, match="'layer/weights' are not all finite"), np.errstate(over="ignore"):
        tensorflow.extract_net(build.graph(), {"image": "image"}, ["scaled"])


def test_names_in_branches_that_collide_are_told_apart_at_once() -> None:
    build = OnnxBuilder()
    build.message.initializer.append(tensor("condition", True))
    for index in range(3000):
        branch = onnx_pb2.GraphProto()
        branch.node.add(op_type="Relu", input=["image"], output=["same"])
        branch.output.add(name="same")
        build.node(f"if{index}", "If", ["condition"], then_branch=branch)
    graph = build.graph()
    names = {node.name for node in graph.nodes if node.op == "Relu"}
    assert len(names) == 3000
    # Counted, not a mark longer each time.
    assert max(map(len, names)) < 12


def test_layers_of_an_onnx_graph_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrcnn_cv.graph.net_builder.MAX_LAYERS", 100)
    build, name = OnnxBuilder(), "image"
    for index in range(100):
        name = build.node(f"relu{index}", "Relu", [name])
    graph = build.graph()
    with pytest.raises(ModelFileError, match="more than 100 layers"):
        extract_net(graph, OnnxConstantFolder(graph), {"image": Map("image")}, [Output(name)])


def test_a_constant_that_is_the_weights_of_many_onnx_layers_counts_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrcnn_cv.graph.net_builder.MAX_WEIGHT_BYTES", 10_000)
    build, name = OnnxBuilder(), "image"
    build.const("weights", np.ones((8, 8, 3, 3), np.float32))
    for index in range(10):
        name = build.node(f"layer{index}", "Conv", [name, "weights"], pads=[1] * 4)
    graph = build.graph()
    with pytest.raises(ModelFileError, match="would not fit into memory"):
        extract_net(graph, OnnxConstantFolder(graph), {"image": Map("image")}, [Output(name)])


def test_onnx_weights_that_overflow_when_a_factor_is_folded_into_them_are_refused() -> None:
    build = OnnxBuilder()
    build.node("layer", "Conv", ["image", build.const("weights", np.full((2, 3, 1, 1), 1e30, np.float32))])
    build.node("scaled", "Mul", ["layer", build.const("factor", np.array([1e30, 1], np.float32).reshape(2, 1, 1))])
    graph = build.graph()
    with pytest.raises(ModelFileError, match="'layer/weights' are not all finite"):
        extract_net(graph, OnnxConstantFolder(graph), {"image": Map("image")}, [Output("scaled")])


def test_names_that_collide_when_translated_are_told_apart_at_once() -> None:
    builder = NetBuilder(("image",))
    names = {builder.add(Relu, "same", ["image"]) for _ in range(3000)}
    assert len(names) == 3000
    assert max(map(len, names)) < 12
