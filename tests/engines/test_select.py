"""Choosing a backend, and telling the truth about what ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv import BackendError, MaskRCNN, ModelFileError, UsageError
from mrcnn_cv.engines import select as backend
from mrcnn_cv.engines.base import Backend
from mrcnn_cv.engines.opencv import engine as opencv_engine
from mrcnn_cv.engines.opencv import net as classic_net
from mrcnn_cv.engines.opencv.net import CvNet
from mrcnn_cv.engines.openvino.engine import OpenVinoEngine
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.export.tensorflow import TensorFlowGraph
from mrcnn_cv.importers.load import open_model
from tests.support.opencv import classic_only, opencv_net
from tests.support.parity import Image

CPU, OPENCL, CUDA = (backend.BACKENDS[name] for name in ("cpu", "opencl", "cuda"))


@pytest.fixture
def _fresh_probes() -> Iterator[None]:
    """Probes are remembered for the life of a process."""
    backend.probe.cache_clear()
    yield
    backend.probe.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, *working: str) -> None:
    """A machine on which just these backends work."""
    probes = {
        name: backend.Probe(each, name in working, "a device", None if name in working else "there is none")
        for name, each in backend.BACKENDS.items()
    }
    monkeypatch.setattr(backend, "probe", lambda name, device=None: probes[name])


def test_openvino_wants_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the process otherwise."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (512 << 10, resource.RLIM_INFINITY))
    openvino = backend.BACKENDS["openvino"]
    problem = OpenVinoEngine().problem(openvino, None)
    assert problem is not None
    assert "limited to 512 KiB" in problem
    assert "ulimit -s 1024" in problem


def test_the_cpu_always_works() -> None:
    found = backend.probe("cpu")
    assert (found.in_build, found.problem) == (True, None)
    assert found.device


@pytest.mark.parametrize(
    ("working", "expected"),
    [
        (["cuda", "openvino", "opencl", "cpu"], "cuda"),
        (["openvino", "onnxruntime", "opencl", "cpu"], "openvino"),
        (["openvino", "opencl", "cpu"], "openvino"),
        (["onnxruntime", "opencl", "cpu"], "onnxruntime"),
        (["opencl", "cpu"], "opencl"),
        (["cpu"], "cpu"),
        (["cuda-fp16", "openvino-bf16", "cpu"], "cpu"),
    ],
)
def test_auto_takes_the_best_that_works_in_full_precision(
    monkeypatch: pytest.MonkeyPatch, working: list[str], expected: str
) -> None:
    pretend(monkeypatch, *working)
    assert backend.choose("auto").backend.name == expected


def test_an_explicit_choice_that_cannot_run_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "cpu", "opencl")
    with pytest.raises(
        BackendError, match=r"the backend cuda cannot run.*what works here: opencl, cpu.*WITH_CUDA=ON"
    ) as raised:
        backend.choose("cuda")
    assert raised.value.exit_code == 4


@pytest.mark.parametrize("device", ["", "  "])
def test_a_device_without_a_name_is_none(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    pretend(monkeypatch, "cpu", "openvino")
    assert backend.choose("auto", device).backend.name == "openvino"
    assert backend.choose("cpu", device).backend.name == "cpu"


def test_a_name_that_is_no_backend_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"no backend 'gpu'.*auto, cuda"):
        backend.choose("gpu")


@classic_only
@pytest.mark.usefixtures("_fresh_probes")
def test_a_test_net_that_stayed_on_the_cpu_unmasks_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv_engine, "is_in_build", lambda each: True)
    monkeypatch.setattr(CvNet, "devices", lambda net: {"cpu"})
    found = backend.probe("opencl")
    assert found.in_build
    assert found.problem == "OpenCV ran a test net on cpu instead, without an error"
    with pytest.raises(BackendError, match="the backend opencl cannot run"):
        backend.choose("opencl")


def test_a_model_that_stayed_on_the_cpu_is_an_error_when_something_else_was_asked_for() -> None:
    chosen = backend.Probe(OPENCL, True, "a graphics card", None)
    with pytest.raises(BackendError, match="every layer ran on cpu instead"):
        backend.report("opencl", chosen, {"cpu"})


def test_a_model_that_stayed_on_the_cpu_is_reported_as_cpu_under_auto() -> None:
    use = backend.report("auto", backend.Probe(OPENCL, True, "a graphics card", None), {"cpu"})
    assert (use.requested, use.used) == ("auto", "cpu")
    assert use.device == backend.probe("cpu").device


def test_what_was_asked_for_and_ran_is_reported() -> None:
    use = backend.report("cuda", backend.Probe(CUDA, True, "a graphics card", None), {"cuda", "cpu"})
    assert (use.requested, use.used) == ("cuda", "cuda")


def test_instances_tell_what_ran(tiny_graph: Path, photo: Image) -> None:
    use = MaskRCNN.load(tiny_graph, backend="auto").predict(photo).backend
    assert use is not None
    assert use.requested == "auto"
    assert use.used in backend.BACKENDS


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("OCV/CPU", {"cpu"}),
        ("CUDA/CUDA", {"cuda"}),
        ("CUDA/CUDA_FP16", {"cuda-fp16"}),
        ("OCV/OCL", {"opencl"}),
        ("OCV/OCL_FP16", {"opencl-fp16"}),
        ("OpenVINO/CPU", {"openvino"}),
        # A layer that the CUDA backend could not take: target CUDA, run by OpenCV on the CPU.
        ("OCV/CUDA", set()),
    ],
)
def test_devices_are_read_from_opencvs_dump(mark: str, expected: set[str]) -> None:
    class Dumped:
        def dump(self) -> str:
            return f'digraph G {{\n\t"a" [label="a\\nConvolution\\loutput: 1 x 4 x 8 x 8\\l{mark}\\n" style=filled]\n}}'

    net = CvNet.__new__(CvNet)
    net._net = Dumped()  # type: ignore[assignment]
    net._nets = {(): net._net}
    assert net.devices() == expected


def test_a_net_that_has_not_run_claims_nothing() -> None:
    assert opencv_net(backend.tiny_net()).devices() == set()


def test_nothing_found_in_the_first_image_is_no_error(tiny_graph: Path, photo: Image) -> None:
    """The mask head then has not run, and OpenCV cannot dump such a net."""
    model = MaskRCNN.load(tiny_graph, backend="cpu")
    found = model.predict(photo, score_threshold=1.0)
    assert len(found) == 0
    assert found.backend is not None
    assert found.backend.used == "cpu"


@pytest.mark.parametrize("error", [BackendError("it does not build that"), MemoryError()])
def test_where_nets_cannot_be_built_auto_goes_on_with_the_next_and_says_so(
    tiny_graph: Path, photo: Image, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    first = backend.choose("auto")
    assert backend.choose(first.backend.name).problem is None
    monkeypatch.setattr(backend, "AUTOMATIC", (first.backend.name, "cpu"))
    whole = backend.make_net

    def fails(net: ir.NetGraph, chosen: Backend, *others: Any) -> Any:
        if chosen.name == first.backend.name:
            raise error
        return whole(net, chosen, *others)

    if first.backend.name == "cpu":
        pytest.skip("only the processor works here")
    monkeypatch.setattr(backend, "make_net", fails)
    model = MaskRCNN.load(tiny_graph)
    assert [each for each in model.definition.warnings if "failed to build" in each] == [
        f"the backend {first.backend.name} failed to build the nets of this model"
        f" ({str(error) or 'not enough memory'}): cpu runs them"
    ]
    used = model.predict(photo).backend
    assert used is not None
    assert (used.requested, used.used) == ("auto", "cpu")
    with pytest.raises(type(error)):
        MaskRCNN.load(tiny_graph, backend=first.backend.name)


@pytest.mark.parametrize("count", [-1, 10**11])
def test_a_number_of_threads_that_cannot_be(count: int) -> None:
    with pytest.raises(UsageError, match="threads must lie between"):
        backend.set_threads(count)


@classic_only
def test_opencvs_dump_still_marks_layers_as_we_read_them() -> None:
    net = CvNet(backend.tiny_net(), CPU)
    net.run({"image": np.ones((1, 3, 8, 8), dtype=np.float32)})
    assert net.devices() == {"cpu"}


def test_outputs_are_not_overwritten_by_the_next_run() -> None:
    net = opencv_net(backend.tiny_net())
    (first,) = net.run({"image": np.ones((1, 3, 8, 8), dtype=np.float32)})
    before = first.copy()
    net.run({"image": np.full((1, 3, 8, 8), 2, dtype=np.float32)})
    np.testing.assert_array_equal(first, before)


def test_a_net_takes_inputs_of_any_size_in_turn() -> None:
    net = opencv_net(backend.tiny_net())
    for size in (8, 16, 5, 8):
        (result,) = net.run({"image": np.ones((1, 3, size, size), dtype=np.float32)})
        assert result.shape == (1, 4, size, size)
        # A 3x3 window of ones over 3 channels of ones.
        assert result[0, 0, size // 2, size // 2] == 27


@pytest.mark.parametrize("first", [(96, 144), (67, 101)])
def test_paddings_follow_the_size_of_the_input(tiny_graph: Path, first: tuple[int, int]) -> None:
    """OpenCV keeps those of the first input, and is wrong for others without a word."""
    trunk = open_model(tiny_graph).definition.trunk
    used = opencv_net(trunk)
    used.run({"image": np.zeros((1, 3, *first), np.float32)})
    for size in ((96, 96), (96, 107), (68, 160), (160, 50), (112, 160), (83, 83), (96, 96), (65, 120), (96, 144)):
        image = np.random.default_rng(size[1]).random((1, 3, *size), dtype=np.float32)
        fresh = opencv_net(trunk).run({"image": image})
        for ours, expected in zip(used.run({"image": image}), fresh, strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_an_error_inside_opencv_is_a_backend_error() -> None:
    net = opencv_net(backend.tiny_net())
    # From 5.1 on the net knows its inputs, and OpenCV is not asked.
    says = "failed inside the net" if isinstance(net, CvNet) else "takes 'image'"
    with pytest.raises(BackendError, match=says):
        net.run({"image": np.ones((1, 2, 8, 8), dtype=np.float32)})


@classic_only
def test_a_graph_that_opencv_cannot_import_is_a_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    unreadable = TensorFlowGraph(np.full(3, 255, np.uint8), ("out",))
    monkeypatch.setattr(classic_net, "to_tensorflow", lambda net: unreadable)
    with pytest.raises(ModelFileError, match="cannot import"):
        CvNet(backend.tiny_net(), CPU)


@classic_only
def test_a_layer_that_opencv_does_not_have_is_a_model_error() -> None:
    """An input that is an output too is none of its layers."""
    with pytest.raises(ModelFileError, match="does not import the layer 'image'"):
        CvNet(replace(backend.tiny_net(), outputs=("probe", "image")), CPU)


def test_threads_are_those_that_this_process_may_use() -> None:
    import cv2

    before = cv2.getNumThreads()
    try:
        backend.set_threads(1)
        assert cv2.getNumThreads() == 1
        backend.set_threads(0)
        assert cv2.getNumThreads() == backend.available_processors()
    finally:
        cv2.setNumThreads(before)


def _with_cpu_as_opencl_device(code: str, **environment: str) -> str:
    """Run code in a process whose OpenCL device is the processor (needs pocl); skips where there is no such device."""
    command = [sys.executable, "-c", code]
    variables = {**os.environ, "OPENCV_OPENCL_DEVICE": ":CPU:", **environment}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    # The driver writes its own messages to stdout too.
    answer = done.stdout.splitlines()[-1]
    if json.loads(answer)["in_build"] is False:
        pytest.skip("no OpenCL driver for the processor is installed (Debian: pocl-opencl-icd)")
    return answer


PROBE = """
import json
from mrcnn_cv.engines import select as backend
from mrcnn_cv.engines.base import Backend
found = backend.probe("opencl")
print(json.dumps({"in_build": found.in_build, "problem": found.problem}))
"""


@classic_only
def test_opencl_on_a_device_that_is_no_gpu_is_seen_to_run_on_the_cpu() -> None:
    """OpenCV takes the request, warns on stderr at most, and uses the CPU."""
    found = json.loads(_with_cpu_as_opencl_device(PROBE))
    assert found["problem"] == "OpenCV ran a test net on cpu instead, without an error"


@classic_only
def test_opencl_that_really_runs_is_believed() -> None:
    found = json.loads(_with_cpu_as_opencl_device(PROBE, OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES="1"))
    assert found["problem"] is None


def test_what_an_opencl_driver_prints_stays_out_of_the_json_lines(
    tiny_graph: Path, photo_path: Path, tmp_path: Path
) -> None:
    program = Path(sys.executable).parent / "mrcnn-cv"
    command = [str(program), str(photo_path), "--model", str(tiny_graph), "--save", "none", "--json", "-"]
    variables = {**os.environ, "OPENCV_OPENCL_DEVICE": ":CPU:", "OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES": "1"}
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["width"] for line in done.stdout.splitlines()] == [240]
