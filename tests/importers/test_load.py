"""From a path to a model: what is found, and how plainly everything else is refused."""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.importers.object_detection_api import family as object_detection_api
from tests.importers.graphs import Builder, read

Write = Callable[[Path], Path]


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as error:
        open_model(path)
    message = str(error.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_a_file(tiny_graph: Path) -> None:
    assert open_model(tiny_graph).path == tiny_graph


def test_the_folder_that_holds_it(tiny_graph: Path) -> None:
    assert open_model(tiny_graph.parent).path == tiny_graph


def test_a_folder_with_one_graph_of_another_name(tiny_graph: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "my net äöü.pb"
    renamed.write_bytes(tiny_graph.read_bytes())
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    assert open_model(tmp_path).path == renamed


def test_a_folder_with_several_graphs(tmp_path: Path) -> None:
    for name in ("a.pb", "b.pb"):
        (tmp_path / name).write_bytes(b"x")
    assert "several models (a.pb, b.pb): name one" in refusal(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "holds no frozen_inference_graph.pb" in refusal(tmp_path)


@pytest.mark.parametrize("inside", ["saved_model.pb", "saved_model/saved_model.pb"])
def test_a_saved_model_folder(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).parent.mkdir(exist_ok=True)
    (tmp_path / inside).with_name("fingerprint.pb").write_bytes(b"\x08\x01")
    (tmp_path / inside).write_bytes(b"\x08\x01")
    message = refusal(tmp_path)
    assert "SavedModel" in message
    assert "export_inference_graph.py" in message
    assert "convert_variables_to_constants_v2" in message


def test_a_saved_model_file(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    assert "SavedModel" in refusal(tmp_path / "saved_model.pb")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no model file" in refusal(tmp_path / "missing.pb")


def test_a_device_is_no_model() -> None:
    assert "not a regular file" in refusal(Path("/dev/null"))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("empty.pb", b"", "is empty"),
        ("model.h5", b"\x89HDF\r\n\x1a\n", "Keras"),
        ("really_keras.pb", b"\x89HDF\r\n\x1a\n", "Keras"),
        ("graph.pbtxt", b'node {\n  name: "image_tensor"\n  op: "Placeholder"\n}', r"text graph \(\.pbtxt\)"),
        ("text.pb", b'node {\n  name: "image_tensor"\n}', "text graph"),
        ("notes.txt", b"hello there", "a text file"),
        ("page.pb", b"<!DOCTYPE html><html>Not found</html>", "a text file"),
        ("model.onnx", b"\x08\x07\x12\x07pytorch", "ONNX"),
        ("model.zip", b"PK\x03\x04\x00", "compressed archive"),
        ("graph.pb.xz", b"\xfd7zXZ\x00", "compressed archive"),
        ("pointer.pb", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "git lfs pull"),
        ("noise.pb", bytes(range(128, 256)) * 9, "not a frozen TensorFlow graph"),
        ("zeros.pb", bytes(4096), "not a frozen TensorFlow graph"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "not a frozen TensorFlow graph"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=match) as error:
        open_model(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_archives_are_to_be_unpacked(tiny_graph: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tiny_graph, "model/frozen_inference_graph.pb")
    assert "unpack it" in refusal(tmp_path / "model.tar.gz")
    (tmp_path / "graph.pb").write_bytes(gzip.compress(tiny_graph.read_bytes()[:5000]))
    assert "unpack it" in refusal(tmp_path / "graph.pb")


def ssd(build: Builder) -> None:
    build.node("image_tensor", "Placeholder")
    build.const("weights", np.ones((1, 1, 3, 4)))
    build.node("boxes", "Conv2D", ["image_tensor", "weights"])
    build.const("limit", 100, "int32")
    build.const("iou", 0.6)
    build.node("nms", "NonMaxSuppressionV3", ["boxes", "boxes", "limit", "iou"])


def classifier(build: Builder) -> None:
    build.node("input", "Placeholder")
    build.const("weights", np.ones((4, 10)))
    build.node("logits", "MatMul", ["input", "weights"])
    build.node("probabilities", "Softmax", ["logits"])


def unfrozen(build: Builder) -> None:
    build.node("weights", "VarHandleOp")
    build.node("read", "ReadVariableOp", ["weights"])


def functions(build: Builder) -> None:
    build.node("image_tensor", "Placeholder")
    build.node("loop", "StatelessWhile", ["image_tensor"])
    build.node("detection_boxes", "Relu", ["loop"])


def combined(build: Builder) -> None:
    build.node("boxes", "Placeholder")
    build.node("CombinedNonMaxSuppression", "CombinedNonMaxSuppression", ["boxes", "boxes"])
    build.node("detection_boxes", "Relu", ["CombinedNonMaxSuppression"])


def crops_by_products(build: Builder) -> None:
    ssd(build)
    crops = build.node("MultiLevelMatMulCropAndResize/crops", "Mul", ["boxes", "nms"])
    build.node("detection_boxes", "Relu", [crops])


def sums(build: Builder) -> None:
    build.const("a", 1.0)
    build.node("b", "Neg", ["a"])


@pytest.mark.parametrize(
    ("fill", "match"),
    [
        (ssd, "detector without region crops, such as SSD"),
        (classifier, "classification or segmentation network"),
        (unfrozen, "not frozen"),
        (functions, r"StatelessWhile.*disable_control_flow_v2"),
        (combined, "without NonMaxSuppression.*use_combined_nms"),
        (crops_by_products, "use_matmul_crop_and_resize"),
        (sums, "not a detector"),
    ],
)
def test_other_kinds_of_graphs_are_called_by_their_name(
    tmp_path: Path, fill: Callable[[Builder], None], match: str
) -> None:
    builder = Builder()
    fill(builder)
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(builder.message.SerializeToString())
    message = refusal(path)
    assert re.search(match, message)
    assert "Mask R-CNN" in message


def survives(content: bytes, path: Path) -> bool:
    """Whether the bytes are a model after all; anything but a model or a ModelFileError is a failure."""
    path.write_bytes(content)
    try:
        open_model(path)
        return True
    except ModelFileError as error:
        message = str(error)
    assert "\n" not in message
    assert str(path) in message
    return False


def test_a_graph_cut_short_anywhere_is_refused(tiny_graph: Path, tmp_path: Path) -> None:
    content = tiny_graph.read_bytes()
    ends = [*range(40), *np.random.default_rng(3).integers(40, len(content) - 3000, 80).tolist()]
    for end in ends:
        assert not survives(content[:end], tmp_path / "cut.pb"), end


@pytest.mark.long
def test_a_graph_with_flipped_bytes_never_crashes(tiny_graph: Path, tmp_path: Path) -> None:
    """Where a flip hits a weight, it is another model; anywhere else it is refused."""
    content = tiny_graph.read_bytes()
    rng = np.random.default_rng(4)
    survived = 0
    for _ in range(80):
        spoilt = bytearray(content)
        for position in rng.integers(0, len(content), rng.integers(1, 20)):
            spoilt[position] ^= int(rng.integers(1, 256))
        survived += survives(bytes(spoilt), tmp_path / "spoilt.pb")
    assert 0 < survived < 80


@pytest.mark.long
def test_a_graph_with_flipped_numbers_is_refused(tiny_graph: Path, tmp_path: Path) -> None:
    """Flips in small constants and in names only: thresholds, sizes, shapes, ops."""
    content = tiny_graph.read_bytes()
    start = content.index(b"GridAnchorGenerator/Const")
    rng = np.random.default_rng(5)
    for _ in range(100):
        spoilt = bytearray(content)
        for position in rng.integers(start, start + 30000, 3):
            spoilt[position] ^= 1 << int(rng.integers(0, 8))
        assert not survives(bytes(spoilt), tmp_path / "spoilt.pb")


OPS = ("Const", "Identity", "Shape", "Mul", "Reshape", "Conv2D", "Pack", "MatMul", "ConcatV2", "Minimum", "Gather")
ODD = (0, 1, -1, 3, 1 << 20, (1 << 31) - 1)


def spoil(message: pb.GraphDef, rng: np.random.Generator) -> None:
    """Change one node: its op, where one of its inputs comes from, an attribute, or a small constant."""
    nodes = [node for node in message.node if node.op != "Const" or len(node.attr["value"].tensor.tensor_content) < 64]
    node = nodes[rng.integers(len(nodes))]
    kind = rng.integers(4)
    if kind == 0:
        node.op = str(rng.choice(OPS))
    elif kind == 1 and node.input:
        node.input[int(rng.integers(len(node.input)))] = message.node[rng.integers(len(message.node))].name
    elif kind == 2 and node.input:
        del node.input[int(rng.integers(len(node.input)))]
    elif node.op == "Const":
        tensor = node.attr["value"].tensor
        for dim in tensor.tensor_shape.dim:
            dim.size = int(rng.choice(ODD))
        tensor.int_val[:] = [int(rng.choice(ODD)) for _ in tensor.int_val]
        tensor.float_val[:] = [float(rng.choice([np.nan, np.inf, -1, 0])) for _ in tensor.float_val]
        tensor.tensor_content = rng.bytes(len(tensor.tensor_content))
    else:
        for value in node.attr.values():
            value.list.i[:] = [int(rng.choice(ODD)) for _ in value.list.i]


@pytest.mark.long
def test_a_graph_with_spoilt_nodes_never_crashes(graphs: Path, tmp_path: Path) -> None:
    """It is refused, or still a model where the change hits nothing that counts."""
    messages = [read(graphs / name / "frozen_inference_graph.pb") for name in ("tiny_mask_rcnn", "tiny_faster_rcnn")]
    rng = np.random.default_rng(6)
    survived = 0
    for index in range(20):
        message = pb.GraphDef()
        message.CopyFrom(messages[index % 2])
        for _ in range(rng.integers(1, 5)):
            spoil(message, rng)
        survived += survives(message.SerializeToString(), tmp_path / "spoilt.pb")
    assert 0 < survived < 20


def test_what_no_reader_knows_to_be_wrong_is_still_a_refusal(tiny_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        round(float("nan"))

    monkeypatch.setattr(object_detection_api, "read_model", fail)
    with pytest.raises(ModelFileError, match=f"^{tiny_graph} contradicts itself .*NaN"):
        open_model(tiny_graph)
