"""A model's weights are in memory once at most: bytes are counted while models of a known size are read."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.model import read_onnx
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.graphdef import read_graph
from mrcnn_cv.util.mapped_file import MappedFile
from tests.importers.graphs import Builder
from tests.importers.onnx_graphs import OnnxBuilder

MEGABYTE = 1 << 20
WEIGHTS = 40 * MEGABYTE
COUNT = 10

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module", params=["graph.pb", "model.onnx", pytest.param("listed.onnx", marks=pytest.mark.long)])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with ten constants of 4 MB, and something that takes each."""
    path = tmp_path_factory.mktemp("models") / str(request.param)
    weights = np.ones((COUNT, WEIGHTS // COUNT // 4), np.float32)
    if path.suffix == ".pb":
        build = Builder()
        for index, part in enumerate(weights):
            build.node(f"read{index}", "Identity", [build.const(f"weights{index}", part)])
        path.write_bytes(build.message.SerializeToString())
        return path
    onnx = OnnxBuilder()
    for index, part in enumerate(weights):
        onnx.const(f"weights{index}", part)
        if path.stem == "listed":
            onnx.message.initializer[-1].ClearField("raw_data")
            onnx.message.initializer[-1].float_data.extend(part)
        onnx.node(f"read{index}", "Cast", [f"weights{index}"], to=1)
    path.write_bytes(onnx.model.SerializeToString())
    return path


def test_reading_copies_no_weights(model: Path) -> None:
    tracemalloc.start()
    try:
        values = (
            TensorFlowConstantFolder(read_graph(model))
            if model.suffix == ".pb"
            else OnnxConstantFolder(read_onnx(model))
        )
        total = sum(float(values.value(f"read{index}").sum()) for index in range(COUNT))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == WEIGHTS // 4
    assert peak < 2 * MEGABYTE


CHILD = """
import sys
from pathlib import Path
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.model import read_onnx
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.graphdef import read_graph

def size(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name + ":")) << 10

path = Path(sys.argv[1])
read, evaluator = (read_graph, TensorFlowConstantFolder) if path.suffix == ".pb" else (read_onnx, OnnxConstantFolder)
before, anonymous = size("VmRSS"), size("RssAnon")
graph = read(path)
print("read", size("VmHWM") - before)
values = evaluator(graph)
assert sum(float(values.value(f"read{index}").sum()) for index in range(10)) > 0
print("looked at", size("VmRSS") - before)
print("anonymous", size("RssAnon") - anonymous)
graph.file.release_pages()
print("released", size("VmRSS") - before)
assert sum(float(values.value(f"read{index}").sum()) for index in range(10)) > 0
"""


@linux
def test_a_process_that_reads_a_model_grows_by_its_pages_alone(model: Path) -> None:
    """Of all memory, protobuf's too; and the pages are given back when they are no longer needed.

    Where the walk looks at a byte, Linux maps all around it that it has in one piece, which is up to 2 MB.
    """
    done = subprocess.run([sys.executable, "-c", CHILD, str(model)], capture_output=True, text=True, check=True)
    found = {name: int(number) for name, number in (line.rsplit(" ", 1) for line in done.stdout.splitlines())}
    assert found["read"] < WEIGHTS * 3 / 4
    assert found["anonymous"] < WEIGHTS / 4
    assert found["looked at"] > WEIGHTS / 2
    assert found["released"] < WEIGHTS / 4


@linux
def test_a_model_that_is_loaded_does_not_hold_its_file(tiny_graph: Path) -> None:
    """OpenCV has copies of its weights, so that the file can be replaced or cut short."""
    detector = MaskRCNN.load(tiny_graph, backend="cpu")
    assert str(tiny_graph) not in Path("/proc/self/maps").read_text()
    assert detector is not None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that is mapped")
def test_a_file_is_written_anew_while_its_graph_is_there(tmp_path: Path) -> None:
    """As `models pull` does it, by another file of the same name: what was read stays as it was."""
    build = Builder()
    build.const("weights", np.ones(3000))
    path = tmp_path / "graph.pb"
    path.write_bytes(build.message.SerializeToString())
    graph = read_graph(path)
    path.unlink()
    path.write_bytes(b"other")
    assert graph.constant(graph.nodes["weights"]).sum() == 3000


@linux
def test_no_net_of_opencv_holds_a_view_of_the_file(tmp_path: Path) -> None:
    """Not of large biases either, which are views as weights are."""
    taken, given = 200, 1200
    path = tmp_path / "weights"
    path.write_bytes(np.ones(given * given, np.float32).tobytes())
    numbers = np.frombuffer(MappedFile(path, 1 << 30).data, np.float32)
    point = ir.Conv2d("point", ("image",), numbers[: given * taken].reshape(given, taken, 1, 1), numbers[:given])
    mean, row = ir.GlobalAvgPool("mean", ("point",)), ir.Flatten("row", ("mean",))
    rows = ir.Linear("rows", ("row",), numbers.reshape(given, given), numbers[:given])
    assert str(path) in Path("/proc/self/maps").read_text()
    made = make_net(ir.NetGraph(("image",), ("point", "rows"), (point, mean, row, rows)), BACKENDS["cpu"])
    del numbers, point, rows
    gc.collect()
    assert str(path) not in Path("/proc/self/maps").read_text()
    maps, scores = made.run({"image": np.ones((1, taken, 3, 3), np.float32)})
    assert (maps == taken + 1).all()
    assert (scores == (taken + 1) * given + 1).all()
