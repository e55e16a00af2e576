"""NetGraph → GraphDef: every layer by cv2.dnn's classic engine is what the reference says; no weight is held twice."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.engines.opencv.net import CvNet
from mrcnn_cv.engines.select import BACKENDS
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.export import tensorflow as export
from mrcnn_cv.graph.export.tensorflow import to_tensorflow
from mrcnn_cv.graph.protos import graph_pb2 as pb
from tests.graph import reference
from tests.graph.nets import HEAD, MAPS, Case, Weights, cases, one, settled
from tests.support.opencv import classic_only

REFUSED = {"conv_dilated": "changes the size of its input", "flatten": "by channels at 'rows'"}

pytestmark = classic_only

CASES = [settled(case) for case in cases() if case.name not in REFUSED]
WHOLE = [case for case in CASES if case.name in ("backbone", "box_head", "mask_head")]


def expect_equal(case: Case) -> None:
    net = CvNet(case.net, BACKENDS["cpu"])
    for inputs in case.inputs():
        for found, expected in zip(net.run(inputs), reference.run(case.net, inputs), strict=True):
            # Winograd's filtering, which OpenCV takes for 3x3 windows, rounds more than a plain sum.
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(1, np.abs(expected).max()))


def parsed(net: ir.NetGraph) -> pb.GraphDef:
    return pb.GraphDef.FromString(to_tensorflow(net).message.tobytes())


def constants(net: ir.NetGraph) -> dict[str, Any]:
    """The float32 constants of the message, as cv2.dnn reads them."""
    tensors = {node.name: node.attr["value"].tensor for node in parsed(net).node if node.op == "Const"}
    return {
        name: np.frombuffer(tensor.tensor_content, np.float32).reshape([dim.size for dim in tensor.tensor_shape.dim])
        for name, tensor in tensors.items()
        if tensor.dtype == pb.DT_FLOAT
    }


def test_every_layer_has_its_nodes() -> None:
    assert set(export._LAYERS) == set(ir.LAYERS)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_numbers_are_those_of_the_net(case: Case) -> None:
    expect_equal(case)


@pytest.mark.parametrize("case", [case for case in cases() if case.name in REFUSED], ids=str)
def test_what_the_importer_cannot_read_is_refused(case: Case) -> None:
    with pytest.raises(ModelFileError, match=REFUSED[case.name]):
        to_tensorflow(case.net)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_message_is_what_protobuf_would_write(case: Case) -> None:
    exported = to_tensorflow(case.net)
    message = pb.GraphDef.FromString(exported.message.tobytes())
    assert len(message.SerializeToString()) == exported.message.size
    names = [node.name for node in message.node]
    assert len(set(names)) == len(names)
    assert {name for node in message.node for name in node.input} <= set(names)
    assert set(exported.outputs) <= set(names)
    assert len(exported.outputs) == len(case.net.outputs)


@pytest.mark.parametrize("case", WHOLE, ids=str)
def test_each_weight_is_there_once(case: Case) -> None:
    weights = [layer for layer in case.net if isinstance(layer, ir.WEIGHTED)]
    held = sorted(values.size for name, values in constants(case.net).items() if name.endswith("/weights"))
    assert held == sorted(layer.weight.size for layer in weights)
    size = to_tensorflow(case.net).message.size
    assert size < 4 * sum(array.size for layer in case.net for array in layer.arrays()) + 500 * len(case.net.layers)


def test_a_message_in_memory_is_there_once() -> None:
    """8 convolutions of 4 MiB each that are stored in another order, half of them with factors."""
    weight = np.ones((1024, 1024, 1, 1), np.float32)
    net = ir.NetGraph(
        ("image",),
        ("7",),
        tuple(
            ir.Conv2d(str(i), (str(i - 1) if i else "image",), weight, scale=np.ones(1024) if i % 2 else None)
            for i in range(8)
        ),
    )
    tracemalloc.start()
    try:
        message = to_tensorflow(net).message
        assert tracemalloc.get_traced_memory()[1] < message.size + (1 << 20)
    finally:
        tracemalloc.stop()
    assert message.size > 32 << 20


def conv(weight: Any, **fields: Any) -> ir.NetGraph:
    return ir.NetGraph(("image",), ("conv",), (ir.Conv2d("conv", ("image",), weight, **fields),))


def turned(layer: ir.Layer) -> Any:
    """The weights as TensorFlow orders them, in float64, from what a layer holds."""
    assert isinstance(layer, ir.WEIGHTED)
    axis = 1 if isinstance(layer, ir.ConvTranspose2d) else 0
    scale = np.ones(1) if layer.scale is None else layer.scale
    weight = layer.weight.astype(np.float64) * scale.reshape([-1 if n == axis else 1 for n in range(layer.weight.ndim)])
    if isinstance(layer, ir.Linear):
        return weight.reshape(len(weight), -1).T
    if isinstance(layer, ir.Conv2d) and layer.groups > 1 and weight.shape[1] == 1:
        return weight[:, 0].transpose(1, 2, 0).reshape(*layer.kernel, layer.groups, -1)
    return weight.transpose(2, 3, 1, 0)


WEIGHTS = Weights(5)
SCALED: list[ir.Conv2d | ir.ConvTranspose2d | ir.Linear] = [
    WEIGHTS.conv("layer", "image", 6, 12),
    WEIGHTS.conv("layer", "image", 6, 12, groups=6),
    WEIGHTS.conv("layer", "image", 6, 12, groups=3),
    WEIGHTS.conv("layer", "image", 6, 12, padding="same", dilation=(2, 2)),
    ir.ConvTranspose2d("layer", ("image",), WEIGHTS.turned(6, 12, 2, 2), scale=WEIGHTS.factors(12)),
    ir.Linear("layer", ("image",), WEIGHTS.of(12, 70), scale=WEIGHTS.factors(12)),
]


@pytest.mark.parametrize("layer", SCALED, ids=lambda layer: f"{layer.op}-{getattr(layer, 'groups', 1)}")
def test_factors_are_multiplied_in_double_precision(layer: ir.Conv2d | ir.ConvTranspose2d | ir.Linear) -> None:
    assert layer.scale is not None
    held = constants(ir.NetGraph(("image",), ("layer",), (layer,)))["layer/weights"]
    np.testing.assert_array_equal(held, turned(layer).astype(np.float32))
    # It is seen: in single precision some of the products end otherwise.
    short = turned(replace(layer, scale=layer.scale.astype(np.float32).astype(np.float64))).astype(np.float32)
    assert not np.array_equal(held, short)


LARGE = np.random.default_rng(0).normal(size=(8, 6, 12, 14))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize(
    "view", [lambda array: array, lambda array: array[::2, :, ::4, ::-3], lambda array: array.transpose(2, 1, 0, 3)]
)
@pytest.mark.parametrize("scale", [False, True])
def test_weights_of_any_type_and_strides(dtype: Any, view: Callable[[Any], Any], scale: bool) -> None:
    array = view(LARGE.astype(dtype))
    net = conv(array, scale=WEIGHTS.factors(len(array)) if scale else None)
    np.testing.assert_array_equal(constants(net)["conv/weights"], turned(net.layers[0]).astype(np.float32))


def test_names_that_are_taken_twice_get_marks() -> None:
    """Models of strangers may call a layer like what is added beside another."""
    first = WEIGHTS.conv("conv", "image", 6, 6, padding="same")
    names = ("conv/weights", "conv/biases", "conv/with_bias", "conv/with_bias_", "last/weights")
    layers: list[ir.Layer] = [first]
    for name in names:
        layers.append(ir.Relu(name, (layers[-1].name,)))
    layers.append(WEIGHTS.conv("last", layers[-1].name, 6, 4, 1))
    net = ir.NetGraph(("image",), ("conv", "conv/with_bias", "last"), tuple(layers))
    expect_equal(Case("names", net, MAPS))
    held = [node.name for node in parsed(net).node]
    assert {*names, "conv/weights_", "last/weights_"} <= set(held)


@pytest.mark.parametrize("padding", ["same", (1, 1, 1, 1), (0, 0, 1, 0)])
def test_a_map_that_is_padded_twice_is_refused(padding: ir.Padding) -> None:
    """The importer would make one padding of both, and forget the second."""
    pad = ir.Pad("pad", ("image",), (1, 0, 2, 3))
    case = one("twice", pad, WEIGHTS.conv("conv", "pad", 6, 5, padding=padding))
    with pytest.raises(ModelFileError, match="pads the input of 'conv' twice"):
        to_tensorflow(case.net)


PAD = ir.Pad("pad", ("image",), (1, 0, 2, 3))


@pytest.mark.parametrize(
    "layers",
    [
        (PAD, WEIGHTS.conv("conv", "pad", 6, 5)),
        (PAD, WEIGHTS.conv("conv", "pad", 6, 6, groups=6, stride=(2, 2))),
        (PAD, WEIGHTS.conv("conv", "pad", 6, 5, padding="same", dilation=(2, 2))),
        (PAD, ir.Relu("relu", ("pad",)), WEIGHTS.conv("conv", "relu", 6, 5, padding=(1, 1, 1, 1))),
        (PAD, ir.Pad("again", ("pad",), (1, 1, 1, 1)), WEIGHTS.conv("conv", "again", 6, 5)),
        (PAD, ir.MaxPool2d("pool", ("pad",), (3, 3), (2, 2), (1, 1, 1, 1))),
        (PAD, ir.AvgPool2d("pool", ("pad",), (3, 3), (1, 1), "same")),
        (PAD, ir.ConvTranspose2d("up", ("pad",), WEIGHTS.of(6, 4, 2, 2))),
    ],
    ids=lambda layers: "-".join(layer.op for layer in layers),
)
def test_other_layers_behind_a_padding(layers: tuple[ir.Layer, ...]) -> None:
    expect_equal(one("padded", *layers))


@pytest.mark.parametrize(
    "layer",
    [
        WEIGHTS.conv("gaps", "image", 6, 5, 3, stride=(4, 1), padding="same"),
        WEIGHTS.conv("gaps", "image", 6, 5, 5, stride=(2, 7), padding="same"),
        ir.MaxPool2d("gaps", ("image",), (3, 3), (1, 5), "same"),
        ir.AvgPool2d("gaps", ("image",), (4, 4), (5, 5), "same"),
    ],
    ids=lambda layer: layer.op,
)
def test_paddings_of_windows_that_leave_gaps_are_refused(layer: ir.Layer) -> None:
    """The importer would pad nothing in front of them."""
    with pytest.raises(ModelFileError, match="'gaps', whose windows leave gaps"):
        to_tensorflow(one("gaps", layer).net)


@pytest.mark.parametrize(
    ("weight", "fields", "match"),
    [
        ((5, 6, 3, 3), {}, "changes the size"),
        ((5, 6, 3, 3), {"padding": (1, 1, 1, 1)}, "changes the size"),
        ((5, 6, 3, 3), {"padding": (3, 2, 1, 2)}, "changes the size"),
        ((5, 6, 3, 3), {"padding": "same", "stride": (2, 2)}, "changes the size"),
        ((5, 6, 2, 2), {"padding": "same", "dilation": (3, 3)}, "by more behind than before"),
    ],
)
def test_dilations_that_change_the_size_or_pad_unevenly_are_refused(
    weight: tuple[int, ...], fields: dict[str, Any], match: str
) -> None:
    with pytest.raises(ModelFileError, match=match):
        to_tensorflow(conv(WEIGHTS.of(*weight), **{"dilation": (2, 2), **fields}))


@pytest.mark.parametrize("kernel", [(2, 2), (4, 4), (3, 1), (1, 5), (2, 3)])
@pytest.mark.parametrize("dilation", [(2, 2), (2, 4)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_dilations_of_any_kernel(kernel: ir.Pair, dilation: ir.Pair, groups: int) -> None:
    layer = ir.Conv2d("conv", ("image",), WEIGHTS.of(6, 6 // groups, *kernel), padding="same", groups=groups)
    expect_equal(one("dilated", replace(layer, dilation=dilation)))


@pytest.mark.parametrize("kind", [ir.Relu, ir.Relu6, ir.HardSwish, ir.Sigmoid])
@pytest.mark.parametrize("bias", [False, True])
def test_a_dilated_convolution_is_an_output_with_an_activation_behind_it(kind: type[ir.Layer], bias: bool) -> None:
    layer = WEIGHTS.conv("conv", "image", 6, 5, padding="same", dilation=(2, 2))
    layers = (layer if bias else replace(layer, bias=None), kind("end", ("conv",)))
    expect_equal(Case("dilated", ir.NetGraph(("image",), ("conv", "end"), layers), MAPS))


SIDES = WEIGHTS.of(6, 6, 2, 2)
BEFORE: list[tuple[ir.Layer, ...]] = [
    (ir.ConvTranspose2d("end", ("image",), SIDES),),
    *((kind("end", ("image",)),) for kind in (ir.Relu, ir.Relu6, ir.Sigmoid, ir.HardSwish, ir.GlobalAvgPool)),
    (ir.HardSigmoid("end", ("image",), 0.2, 0.5),),
    (ir.Affine("end", ("image",), WEIGHTS.factors(6), WEIGHTS.factors(6)),),
    (ir.Pad("end", ("image",), (1, 0, 2, 3)),),
    (ir.Upsample("end", ("image",), (2, 3)),),
    (ir.Resize("end", ("image",), (5, 4), "bilinear", "asymmetric"),),
    (ir.Concat("end", ("image", "image")),),
    (ir.Concat("end", ("image",)),),
    (ir.Relu("relu", ("image",)), ir.Add("end", ("image", "relu"))),
    (WEIGHTS.conv("conv", "image", 6, 6, 1), ir.Add("end", ("image", "conv"))),
    (WEIGHTS.conv("conv", "image", 6, 6, 1), ir.Add("end", ("conv", "image"))),
    (ir.GlobalAvgPool("mean", ("image",)), ir.Mul("end", ("image", "mean"))),
    (ir.MaxPool2d("end", ("image",), (2, 2)),),
    (ir.AvgPool2d("end", ("image",), (2, 2)),),
]


@pytest.mark.parametrize("before", BEFORE, ids=lambda layers: "-".join(layer.op for layer in layers))
@pytest.mark.parametrize("behind_conv", [False, True])
@pytest.mark.parametrize("with_rows", [False, True])
def test_maps_are_turned_before_they_are_flattened_whatever_is_before(
    before: tuple[ir.Layer, ...], behind_conv: bool, with_rows: bool
) -> None:
    """The importer knows the order of axes of some layers only, and would flatten (C, H, W) without a word."""
    flat = ir.Flatten("flat", ("end",), channels_last=True)
    layers: tuple[ir.Layer, ...] = (*before, flat)
    if behind_conv:
        first = WEIGHTS.conv("first", "image", 6, 6, 1)
        renamed = (tuple("first" if name == "image" else name for name in layer.inputs) for layer in layers)
        layers = (first, *(replace(layer, inputs=inputs) for layer, inputs in zip(layers, renamed, strict=True)))
    if with_rows:
        (rows,) = reference.run(one("flat", *layers).net, {"image": np.zeros((1, *HEAD[0]), np.float32)})
        layers = (*layers, ir.Linear("rows", ("flat",), WEIGHTS.of(5, rows.shape[1])))
    expect_equal(one("flat", *layers, shapes=HEAD))


def test_a_flattening_by_channels_is_turned_where_they_are_known() -> None:
    layers = (
        WEIGHTS.conv("conv", "image", 6, 4),
        ir.Flatten("flat", ("conv",)),
        ir.Linear("rows", ("flat",), WEIGHTS.of(3, 100)),
    )
    expect_equal(one("flat", *layers, shapes=HEAD))
