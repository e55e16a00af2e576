"""The engine `onnxruntime`, on every device that the installed package has a provider for: with onnxruntime-openvino,
onnxruntime-gpu and the others the same tests run on more than the processor."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_cv.engines.base import Float
from mrcnn_cv.errors import BackendError
from mrcnn_cv.graph import ir
from mrcnn_cv.util.opencv import cv2
from tests.graph import reference
from tests.graph.nets import Case, cases

pytest.importorskip("onnxruntime")

import onnxruntime as ort

from mrcnn_cv.engines.onnxruntime import net as engine
from mrcnn_cv.graph.export import onnx_layers

CASES = {case.name: case for case in cases()}
WORKING = [device for device in engine.devices() if engine.problem_with(device) is None]


def expect_equal(net: engine.OnnxRuntimeNet, case: Case) -> None:
    for inputs in case.inputs():
        for found, expected in zip(net.run(inputs), reference.run(case.net, inputs), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_the_processor_always_works() -> None:
    assert engine.CPU in WORKING


@pytest.mark.parametrize("device", WORKING)
@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_numbers_are_equal_for_one_size_after_the_other(case: Case, device: str) -> None:
    net = engine.OnnxRuntimeNet(case.net, "onnxruntime", device)
    assert net.devices() == set()
    expect_equal(net, case)
    assert net.devices() == {"onnxruntime"}
    assert net._session.get_providers()[0] == engine.provider_of(device)


@pytest.mark.parametrize("device", [device for device in engine.devices() if device not in WORKING])
def test_a_provider_that_does_not_load_says_so(device: str) -> None:
    problem = engine.problem_with(device)
    assert problem is not None
    assert f"a provider for {device}, which does not load" in problem
    with pytest.raises(BackendError, match=f"failed on {device}"):
        expect_equal(engine.OnnxRuntimeNet(CASES["backbone"].net, "onnxruntime", device), CASES["backbone"])


def test_a_device_that_is_not_here_is_named_with_those_that_are() -> None:
    assert engine.problem_with("TPU") == (
        f"ONNX Runtime {engine.version()} has no provider for TPU here, but for {', '.join(engine.devices())}"
    )


def test_names_of_devices_are_free_in_case_and_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: [*providers, "AzureExecutionProvider"])
    assert engine.devices() == ["TensorRT", "CUDA", "DirectML", "CPU"]
    assert engine.automatic_devices() == ["CUDA", "DirectML", "CPU"]
    for name in ("tensorrt", "TENSORRT", "TensorRT"):
        assert engine.provider_of(name) == providers[0]
    for name in ("DirectML", "dml"):
        assert engine.provider_of(name) == providers[2]
        assert engine.canonical(name) == "DirectML"
    assert engine.provider_of("Azure") is None


def test_a_layer_on_the_processor_is_no_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's provider is in every common package and takes no layer: let be, the processor does all in silence."""
    if "AzureExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this package has no such provider")
    monkeypatch.setattr(engine, "_NOT_DEVICES", frozenset())
    with pytest.raises(BackendError, match="failed on Azure, it has no way to run some of the net's layers there"):
        engine.OnnxRuntimeNet(CASES["backbone"].net, "onnxruntime", "Azure")


def test_another_number_of_threads_is_taken_up() -> None:
    net, before = engine.OnnxRuntimeNet(CASES["backbone"].net, "onnxruntime"), cv2.getNumThreads()
    sessions = []
    try:
        for threads in (1, 2, 2):
            cv2.setNumThreads(threads)
            expect_equal(net, CASES["backbone"])
            sessions.append(net._session)
            assert sessions[-1].get_session_options().intra_op_num_threads == threads
    finally:
        cv2.setNumThreads(before)
    assert sessions[0] is not sessions[1]
    assert sessions[1] is sessions[2]


def test_weights_may_go_once_the_session_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime is lent them without a copy, and promises to need them no longer."""
    lent: list[Float] = []
    original = onnx_layers.Tensor.array_or_view

    def noted(tensor: onnx_layers.Tensor) -> Float:
        array = np.array(original(tensor))
        lent.append(array)
        return array

    monkeypatch.setattr(onnx_layers.Tensor, "array_or_view", noted)
    for name in ("backbone", "box_head", "mask_head", "conv_depthwise", "linear_of_many_axes"):
        case = CASES[name]
        net = engine.OnnxRuntimeNet(case.net, "onnxruntime")
        net.run(next(case.inputs()))
        for array in lent:
            array[:] = np.nan
        expect_equal(net, case)
    assert lent


def test_weights_that_are_stored_as_they_are_needed_are_not_copied() -> None:
    weight = np.zeros((8, 6, 3, 3), np.float32)
    weight.flags.writeable = False
    (tensor,) = onnx_layers.OnnxLayers(_net_of(ir.Conv2d("conv", ("image",), weight)), None, 14).tensors.values()
    assert np.shares_memory(tensor.array_or_view(), weight)
    turned = ir.Conv2d("conv", ("image",), weight.transpose(0, 1, 3, 2))
    (tensor,) = onnx_layers.OnnxLayers(_net_of(turned), None, 14).tensors.values()
    assert not np.shares_memory(tensor.array_or_view(), weight)


def _net_of(layer: ir.Layer) -> ir.NetGraph:
    return ir.NetGraph(("image",), (layer.name,), (layer,))


def test_an_error_inside_is_a_sentence() -> None:
    net = engine.OnnxRuntimeNet(CASES["conv_valid"].net, "onnxruntime")
    with pytest.raises(
        BackendError, match=rf"ONNX Runtime {engine.version()} failed on CPU, .*image.*: use the backend cpu"
    ) as error:
        net.run({"image": np.zeros((1, 5, 9, 9), np.float32)})
    assert "\n" not in str(error.value)
    assert "ONNXRuntimeError" not in str(error.value)
