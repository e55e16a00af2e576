"""The comparison with TensorFlow is sharp: a single number that is read wrongly, or one layer that is lost, is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.model.definition import AnchorSpec, BoxCoder, ModelDefinition
from tests.conftest import DATA, load_golden
from tests.importers.graphs import read
from tests.support.parity import check_parity
from tests.support.rows import sampled

MODELS = ("tiny_inception_resnet_v2", "tiny_resnet50_atrous", "tiny_resnet101", "tiny_resnet152")

Wrong = Callable[[ModelDefinition], ModelDefinition]


def pixels(spec: ModelDefinition) -> ModelDefinition:
    first, *others = spec.pixels
    return replace(spec, pixels=(replace(first, operand=tuple(value * 1.02 for value in first.operand)), *others))


def anchors(change: Callable[[AnchorSpec], AnchorSpec]) -> Wrong:
    return lambda spec: replace(spec, anchors=tuple(change(each) for each in spec.anchors))


def taller(anchors: AnchorSpec) -> AnchorSpec:
    return replace(anchors, sizes=tuple((height * 1.05, width) for height, width in anchors.sizes))


WRONG: dict[str, Wrong] = {
    "pixels": pixels,
    "pixel centres": lambda spec: replace(spec, resize=replace(spec.resize, half_pixel_centers=True)),
    "stride": anchors(lambda each: replace(each, stride=(12.0, 12.0))),
    "offset": anchors(lambda each: replace(each, offset=(each.offset[0], each.offset[1] + 1))),
    "sizes": anchors(taller),
    "anchors clipped": anchors(lambda each: replace(each, clip_to_image=not each.clip_to_image)),
    "proposal scale": lambda spec: replace(spec, proposal_coder=BoxCoder((10, 10, 5, 6))),
    "proposal overlap": lambda spec: replace(spec, proposal_nms=replace(spec.proposal_nms, iou_threshold=0.55)),
    "proposal limit": lambda spec: replace(spec, proposal_nms=replace(spec.proposal_nms, max_total=15)),
    "box scale": lambda spec: replace(spec, box_coder=BoxCoder((9, 10, 5, 5))),
    "overlap": lambda spec: replace(spec, detection_nms=replace(spec.detection_nms, iou_threshold=0.4)),
    "score": lambda spec: replace(spec, detection_nms=replace(spec.detection_nms, score_threshold=0.35)),
    "score conversion": lambda spec: replace(spec, score_activation="sigmoid"),
}


@cache
def _load(graph: Path) -> MaskRCNN:
    return MaskRCNN.load(graph, backend="cpu")


def compare(model: MaskRCNN, name: str) -> None:
    golden = load_golden(DATA, f"{name}/coffee")
    check_parity(model.predict(golden.image, score_threshold=None), golden, model.definition)


@pytest.mark.parametrize("number", WRONG)
@pytest.mark.parametrize("name", sampled(MODELS, 4))
def test_a_wrong_number_is_seen(graphs: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: str) -> None:
    model = _load(graphs / name)
    compare(model, name)
    monkeypatch.setattr(model, "definition", WRONG[number](model.definition))
    with pytest.raises(AssertionError):
        compare(model, name)


def test_one_of_fifty_residual_units_that_is_lost_is_seen(graphs: Path, tmp_path: Path) -> None:
    message = read(graphs / "tiny_resnet152" / "frozen_inference_graph.pb")
    units = [node for node in message.node if node.op == "AddV2" and node.name.endswith("bottleneck_v1/add")]
    # The trunk's 47, and the three of the last block once for the boxes and once for the masks.
    assert len(units) == 53
    lost: pb.NodeDef = next(node for node in units if "/block3/unit_20/" in node.name)
    lost.op = "Identity"
    del lost.input[1:]
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    with pytest.raises(AssertionError):
        compare(MaskRCNN.load(path, backend="cpu"), "tiny_resnet152")
