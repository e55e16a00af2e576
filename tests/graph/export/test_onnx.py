"""NetGraph → ONNX: valid, and the numbers of the net by ONNX Runtime."""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.export import onnx as export
from mrcnn_cv.graph.export import onnx_layers
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from tests.graph import reference
from tests.graph.nets import HEAD, MAPS, Case, Weights, cases, one

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CASES = cases()
OPSETS = (export.OPSET, onnx_layers.RESIZE_BY_AXES)


def session_of(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def expect_equal(case: Case, model: bytes) -> None:
    session = session_of(model)
    for inputs in case.inputs():
        for found, expected in zip(session.run(None, inputs), reference.run(case.net, inputs), strict=True):
            np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-5)


def test_every_layer_has_its_nodes() -> None:
    assert set(onnx_layers._LAYERS) == set(ir.LAYERS)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_model_is_valid_and_equal(case: Case, opset: int) -> None:
    model = export.to_onnx(case.net, opset=opset)
    onnx.checker.check_model(model, full_check=True)
    expect_equal(case, model)


@pytest.mark.parametrize("case", [case for case in CASES if len(set(case.shapes)) == 1], ids=str)
def test_so_it_is_where_the_size_of_the_maps_is_known(case: Case) -> None:
    model = export.to_onnx(case.net, {"image": (None, *case.shapes[0])})
    onnx.checker.check_model(model, full_check=True)
    expect_equal(case, model)


def test_inputs_and_outputs_have_names_and_shapes() -> None:
    case = next(case for case in CASES if case.name == "box_head")
    (image,), outputs = (
        [(info.name, [dim.dim_value or dim.dim_param for dim in info.type.tensor_type.shape.dim]) for info in infos]
        for model in [onnx.load_from_string(export.to_onnx(case.net))]
        for infos in (model.graph.input, model.graph.output)
    )
    assert image == ("image", ["N", 6, "image_height", "image_width"])
    assert outputs == [("boxes", ["N", 8]), ("scores", ["N", 3])]


def test_known_sizes_are_told() -> None:
    case = next(case for case in CASES if case.name == "mask_head")
    model = onnx.load_from_string(export.to_onnx(case.net, {"image": (None, 6, 7, 7)}))
    (masks,) = model.graph.output
    assert [dim.dim_value or dim.dim_param for dim in masks.type.tensor_type.shape.dim] == ["N", 3, 28, 28]


def test_a_known_size_and_number_need_no_nodes_for_shapes() -> None:
    """OpenCV before 5.0 reads no others."""
    case = next(case for case in CASES if case.name == "mask_head")
    model = onnx.load_from_string(export.to_onnx(case.net, {"image": (2, *HEAD[0])}))
    assert "Shape" not in {node.op_type for node in model.graph.node}


def test_zeros_are_written() -> None:
    """OpenCV 5.1 takes attributes for missing that are not, and returns an empty net without an error."""
    names = {"avg_pool_valid": "count_include_pad", "mask_head": "axis"}
    for case in [case for case in CASES if case.name in names]:
        nodes = pb.ModelProto.FromString(export.to_onnx(case.net)).graph.node
        found = [each for node in nodes for each in node.attribute if each.name == names[case.name]]
        assert found
        assert all(each.HasField("i") and each.i == 0 for each in found)


def test_one_name_for_two_things_is_no_trouble() -> None:
    """Models of strangers may call a layer like the weights of another."""
    weight = np.ones((6, 6, 1, 1), np.float32)
    first = ir.Conv2d("conv", ("image",), weight)
    case = one("names", first, ir.Relu("conv.weight", ("conv",)), ir.Relu("conv.weight_", ("conv.weight",)))
    expect_equal(case, export.to_onnx(case.net))


def test_weights_apart_are_named_and_complete() -> None:
    case = next(case for case in CASES if case.name == "box_head")
    model, others = export.without_weights(case.net)
    message = pb.ModelProto.FromString(model)
    external = [tensor.name for tensor in message.graph.initializer if tensor.data_location == pb.TensorProto.EXTERNAL]
    assert [tensor.name for tensor in others] == external == ["conv.weight", "hidden.weight"]
    whole = {tensor.name: tensor for tensor in pb.ModelProto.FromString(export.to_onnx(case.net)).graph.initializer}
    for tensor in others:
        assert tensor.array().tobytes() == whole[tensor.name].raw_data


class _Counted:
    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self.bytes += len(data)


def _large() -> ir.NetGraph:
    """16 convolutions of 4 MiB each that are stored in another order."""
    weight = np.zeros((1, 1, 1024, 1024), np.float32).transpose(3, 2, 0, 1)
    return ir.NetGraph(
        ("image",), ("15",), tuple(ir.Conv2d(str(i), (str(i - 1) if i else "image",), weight) for i in range(16))
    )


def test_writing_holds_one_layer_at_a_time() -> None:
    net, file = _large(), _Counted()
    tracemalloc.start()
    try:
        export.write_onnx(net, file)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
    assert file.bytes > 64 << 20


def test_a_model_in_memory_is_there_once() -> None:
    net = _large()
    tracemalloc.start()
    try:
        model = export.to_onnx(net)
        assert tracemalloc.get_traced_memory()[1] < len(model) * 1.2
    finally:
        tracemalloc.stop()


def test_what_is_written_is_what_protobuf_would_write() -> None:
    net, file = CASES[0].net, BytesIO()
    export.write_onnx(net, file)
    message = pb.ModelProto.FromString(file.getvalue())
    assert len(message.SerializeToString()) == len(file.getvalue())
    assert [info.name for info in message.graph.output] == list(net.outputs)


def test_a_stride_a_dilation_and_same_are_too_much_together() -> None:
    """ONNX Runtime fails when such a net runs; where the size is known, paddings are numbers."""
    layer = Weights(0).conv("conv", "image", 6, 12, padding="same", dilation=(2, 2), stride=(2, 2))
    case = one("same_dilated_strided", layer, shapes=MAPS[:1])
    with pytest.raises(ModelFileError, match="'conv' with a stride, a dilation and paddings"):
        export.to_onnx(case.net)
    expect_equal(case, export.to_onnx(case.net, {"image": (None, *MAPS[0])}))
