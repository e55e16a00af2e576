"""What a graph takes (images, encoded images, tf.Examples, batches of one) changes nothing in what it finds.

The graphs in `data/inputs` have the weights of tiny_mask_rcnn, so TensorFlow's answers are those that it gave there.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.graph.protos import graph_pb2 as pb
from tests.conftest import DATA, load_golden
from tests.importers.graphs import read
from tests.support.parity import check_parity

PLACEHOLDERS = {
    "encoded_image_string_tensor": ("encoded_image_string_tensor", pb.DT_STRING, [-1]),
    "tf_example": ("tf_example", pb.DT_STRING, [-1]),
    "batch_of_one": ("image_tensor", pb.DT_UINT8, [1, -1, -1, 3]),
    "batch_of_one_240x160": ("image_tensor", pb.DT_UINT8, [1, 160, 240, 3]),
}
"""File → (name, type, shape) of what its graph takes."""


@pytest.fixture(params=sorted(PLACEHOLDERS))
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One of these graphs, unpacked."""
    path = tmp_path / f"{request.param}.pb"
    path.write_bytes(lzma.decompress((DATA / "inputs" / f"{path.name}.xz").read_bytes()))
    return path


def test_the_graph_really_takes_that(graph: Path) -> None:
    (placeholder,) = (node for node in read(graph).node if node.op == "Placeholder")
    shape = [dimension.size for dimension in placeholder.attr["shape"].shape.dim]
    assert (placeholder.name, placeholder.attr["dtype"].type, shape) == PLACEHOLDERS[graph.stem]


def test_another_input_finds_the_same(graph: Path) -> None:
    golden = load_golden(DATA, "tiny_mask_rcnn/coffee")
    model = MaskRCNN.load(graph, backend="cpu")
    check_parity(model.predict(golden.image, score_threshold=None), golden, model.definition)
