"""Every architecture as each generation of the exporter spells it, against TensorFlow's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import tensor_value
from tests.conftest import DATA, load_golden
from tests.importers.graphs import Builder, read, set_value
from tests.importers.object_detection_api.test_optimised import with_joined_layers, with_reciprocals
from tests.importers.object_detection_api.test_variants import (
    check,
    old_op_names,
    predict,
    reverse,
    the_whole_of_2018,
    under_import,
    with_half_weights,
    with_identities,
    with_leftovers,
    with_nms_v3,
    with_nms_v4,
    without_raw_outputs,
)
from tests.support.parity import Image, check_parity
from tests.support.rows import sampled

Edit = Callable[[pb.GraphDef], None]
ARCHITECTURES = (
    "tiny_faster_rcnn",
    "tiny_inception_resnet_v2",
    "tiny_mask_rcnn",
    "tiny_mask_rcnn_agnostic",
    "tiny_resnet50",
    "tiny_resnet50_atrous",
    "tiny_resnet101",
    "tiny_resnet152",
    "tiny_settings",
)


def with_add_of_version_1(message: pb.GraphDef) -> None:
    for node in message.node:
        node.op = {"AddV2": "Add"}.get(node.op, node.op)


def of_1_13(message: pb.GraphDef) -> None:
    for edit in (without_raw_outputs, old_op_names, with_nms_v3):
        edit(message)


def of_1_14(message: pb.GraphDef) -> None:
    """FusedBatchNorm and Add still, raw_detection_* already."""
    for edit in (old_op_names, with_nms_v4):
        edit(message)


def of_1_15(message: pb.GraphDef) -> None:
    """FusedBatchNormV3 already, Add still."""
    for edit in (with_add_of_version_1, with_nms_v4):
        edit(message)


def with_slims_unfused_batch_norm(message: pb.GraphDef) -> None:
    """tf.nn.batch_normalization, as slim builds it without `fused`: the factor is computed in the graph."""
    builder = Builder(message)
    for node in list(message.node):
        if node.op != "FusedBatchNormV3":
            continue
        x, gamma, beta, mean, variance = node.input[:5]
        scope = f"{node.name}/batchnorm"
        epsilon = builder.const(f"{scope}/add/y", node.attr["epsilon"].f)
        noisy = builder.node(f"{scope}/add", "AddV2", [variance, epsilon])
        factor = builder.node(f"{scope}/mul", "Mul", [builder.node(f"{scope}/Rsqrt", "Rsqrt", [noisy]), gamma])
        scaled = builder.node(f"{scope}/mul_1", "Mul", [x, factor])
        shift = builder.node(f"{scope}/sub", "Sub", [beta, builder.node(f"{scope}/mul_2", "Mul", [mean, factor])])
        node.op = "AddV2"
        node.input[:] = [scaled, shift]
        node.attr.clear()


def with_everything(message: pb.GraphDef) -> None:
    """Training leftovers, an inference pass, Identities, `import/` and nodes in no order, in one graph."""
    for edit in (with_joined_layers, with_leftovers, with_reciprocals, with_identities, under_import, reverse):
        edit(message)


def parity(message: pb.GraphDef, name: str, folder: Path) -> None:
    path = folder / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    golden = load_golden(DATA, f"{name}/coffee")
    model = MaskRCNN.load(path, backend="cpu")
    check_parity(model.predict(golden.image, score_threshold=None), golden, model.definition)


def every_generation() -> Iterator[Any]:
    """(architecture, generation): the first and the last one of all, those between of one with masks and one without.

    The others are in the suite `long`.
    """
    for name in ARCHITECTURES:
        for edit in (the_whole_of_2018, of_1_13, of_1_14, of_1_15):
            is_quick = name == "tiny_mask_rcnn"
            yield pytest.param(name, edit, marks=[] if is_quick else pytest.mark.long, id=f"{name}-{edit.__name__}")


@pytest.mark.parametrize(("name", "generation"), list(every_generation()))
def test_a_generation(graphs: Path, tmp_path: Path, name: str, generation: Edit) -> None:
    message = read(graphs / name / "frozen_inference_graph.pb")
    generation(message)
    parity(message, name, tmp_path)


@pytest.mark.parametrize("edit", [with_slims_unfused_batch_norm, with_everything], ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("name", sampled(["tiny_faster_rcnn", "tiny_mask_rcnn", "tiny_resnet50", "tiny_resnet152"], 4))
def test_a_change_of_tools(graphs: Path, tmp_path: Path, name: str, edit: Edit) -> None:
    message = read(graphs / name / "frozen_inference_graph.pb")
    edit(message)
    parity(message, name, tmp_path)


def test_half_precision_in_an_old_and_optimised_graph(tiny_graph: Path, tmp_path: Path, photo: Image) -> None:
    """The answer is that of the same weights, rounded beforehand, in the graph as it was."""
    rounded, halves = read(tiny_graph), read(tiny_graph)
    for node in rounded.node:
        if node.op == "Const" and node.name.endswith("/weights"):
            set_value(node, tensor_value(node).astype(np.float16).astype(np.float32))
    for edit in (with_half_weights, old_op_names, with_leftovers, with_reciprocals, under_import, reverse):
        edit(halves)
    answers = []
    for name, message in (("rounded.pb", rounded), ("halves.pb", halves)):
        (tmp_path / name).write_bytes(message.SerializeToString())
        answers.append(predict(tmp_path / name, photo))
    check(answers[1], answers[0], 1e-4)
