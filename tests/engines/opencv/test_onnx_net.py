"""The engine of OpenCV 5.1 and later: skipped with those before."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mrcnn_cv.engines.opencv import onnx_net
from mrcnn_cv.errors import BackendError, ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.util.opencv import cv2
from tests.graph import reference
from tests.graph.nets import Case, Weights, cases

pytestmark = pytest.mark.skipif(not onnx_net.is_the_engine(), reason="this OpenCV has other engines")

CASES = {case.name: case for case in cases()}
SIZES = [(height, width) for height in (32, 33, 47) for width in (32, 45, 64)]


def expect_equal(net: onnx_net.CvOnnxNet, case: Case, inputs: dict[str, np.ndarray]) -> None:
    for found, expected in zip(net.run(inputs), reference.run(case.net, inputs), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_numbers_are_equal_for_one_size_after_the_other(case: Case) -> None:
    net = onnx_net.CvOnnxNet(case.net)
    assert net.devices() == set()
    for inputs in case.inputs():
        expect_equal(net, case, inputs)
    assert net.devices() == {"cpu"}


def test_nine_sizes_through_one_net_are_as_through_new_ones() -> None:
    case, numbers = CASES["backbone"], np.random.default_rng(0)
    net = onnx_net.CvOnnxNet(case.net)
    for size in (*SIZES, *reversed(SIZES)):
        inputs = {"image": numbers.normal(size=(1, 6, *size)).astype(np.float32)}
        for found, expected in zip(net.run(inputs), onnx_net.CvOnnxNet(case.net).run(inputs), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["box_head", "mask_head"])
def test_any_number_of_crops(name: str) -> None:
    case, numbers = CASES[name], np.random.default_rng(0)
    net = onnx_net.CvOnnxNet(case.net, {"image": (None, 6, 7, 7)})
    for count in (1, 100, 3, 17, 1):
        expect_equal(net, case, {"image": numbers.normal(size=(count, 6, 7, 7)).astype(np.float32)})


def test_results_are_the_callers_to_keep() -> None:
    case = CASES["backbone"]
    net = onnx_net.CvOnnxNet(case.net)
    first, second, *_ = case.inputs()
    found = net.run(first)
    copies = [value.copy() for value in found]
    net.run(second)
    for value, copy in zip(found, copies, strict=True):
        np.testing.assert_array_equal(value, copy)


def test_names_of_any_kind() -> None:
    names = ("scope/a:0", "b!c", 'd "e"', "ä", "f.weight")
    layers = [Weights(0).conv(names[0], "image", 6, 6)]
    others = [ir.Relu6(name, (before,)) for before, name in itertools.pairwise(names)]
    case = Case("names", ir.NetGraph(("image",), names, (*layers, *others)), ((6, 9, 9),))
    net = onnx_net.CvOnnxNet(case.net)
    for inputs in case.inputs():
        expect_equal(net, case, inputs)


@pytest.mark.parametrize("shape", [(1, 5, 9, 9), (1, 7, 9, 9), (6, 9)])
def test_other_channels_than_the_nets_are_an_error(shape: tuple[int, ...]) -> None:
    """OpenCV 5.1 itself says nothing."""
    net = onnx_net.CvOnnxNet(CASES["conv_valid"].net)
    with pytest.raises(BackendError, match=r"the net takes 'image' as \(None, 6, None, None\), .* but is given \("):
        net.run({"image": np.zeros(shape, np.float32)})


def test_an_error_inside_is_a_sentence() -> None:
    net = onnx_net.CvOnnxNet(CASES["add"].net)
    net._shapes = {}
    with pytest.raises(BackendError, match=rf"OpenCV {cv2.__version__} failed inside the net: .") as error:
        net.run({"image": np.zeros((1, 6, 9), np.float32)})
    assert "\n" not in str(error.value)


def test_what_it_cannot_read_is_an_error_and_no_empty_net() -> None:
    with pytest.raises(ModelFileError, match="cannot import the net"):
        onnx_net._read(b"\x08\x07")
