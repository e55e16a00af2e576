"""What is read from a Detectron2 model and from the YAML beside it, on real graphs with some nodes changed."""

from __future__ import annotations

import lzma
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import Array, Conv2d, NetGraph
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.importers.pytorch.detectron2_config import find_config, read_config
from mrcnn_cv.importers.pytorch.detectron2_rules import cell_sizes
from mrcnn_cv.model.definition import ModelDefinition
from tests.conftest import DATA
from tests.support.checkpoints import write_torch_zip
from tests.support.rows import sampled

FOLDER = DATA / "detectron2"
Change = Callable[[pb.ModelProto], None]


def write(folder: Path, graph: str = "r50", change: Change = lambda model: None, config: Any = None) -> Path:
    """A graph, changed, in a folder of its own. config: what the YAML beside it holds, or the case that has it."""
    model = pb.ModelProto()
    model.ParseFromString(lzma.decompress((FOLDER / f"{graph}.onnx.xz").read_bytes()))
    change(model)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    if config is not None:
        text = (FOLDER / f"{config}.yaml").read_text() if isinstance(config, str) else yaml.safe_dump(config)
        (folder / "model.yaml").write_text(text)
    return path


def spec_of(
    folder: Path, graph: str = "r50", change: Change = lambda model: None, config: Any = None
) -> ModelDefinition:
    return open_model(write(folder, graph, change, config)).definition


def refused(path: Path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def nodes(model: pb.ModelProto, op: str) -> list[pb.NodeProto]:
    return [node for node in model.graph.node if node.op_type == op]


# The graph's own numbers.


def test_numbers_come_from_the_graph(tmp_path: Path) -> None:
    """Those that make_test_graphs.py gave to its x101, and no graph of another model has."""
    spec = spec_of(tmp_path, "x101", config="x101-coffee")
    assert spec.warnings == ()
    assert spec.class_count == 4
    assert spec.proposal_coder.scales == (2.0, 1.5, 1.25, 1.0)
    assert spec.box_coder.scales == (8.0, 9.0, 6.0, 4.0)
    assert spec.box_coder.bbox_xform_clip == pytest.approx(math.log(1000 / 16))
    proposals, detections = spec.proposal_nms, spec.detection_nms
    assert (proposals.pre_nms_top_n, proposals.max_total) == (200, 60)
    assert proposals.iou_threshold == pytest.approx(0.6)
    assert proposals.min_box_size == pytest.approx(4)
    assert detections.score_threshold == pytest.approx(0.1)
    assert detections.iou_threshold == pytest.approx(0.4)
    assert detections.max_total == 20
    assert [level.offset for level in spec.anchors] == [(2, 2), (4, 4), (8, 8), (16, 16), (32, 32)]
    assert spec.pixels[0].operand == pytest.approx((123.675, 116.28, 103.53))
    assert spec.pixels[1].operand == pytest.approx((58.395, 57.12, 57.375))
    assert spec.mask is not None
    assert spec.mask.class_agnostic
    assert (spec.crop.size, spec.mask.crop.size, spec.mask.size) == ((7, 7), (14, 14), (28, 28))


def test_anchors_are_read_where_a_tool_has_folded_them(tmp_path: Path) -> None:
    """widths = size / sqrt(ratio): 12 and 20 pixels in shapes of 0.6 and 1.5 on the finest level."""
    spec = spec_of(tmp_path, "faster_rgb", config="faster_rgb-coffee")
    assert spec.warnings == ()
    expected = [(side * math.sqrt(ratio), side / math.sqrt(ratio)) for side in (12, 20) for ratio in (0.6, 1.5)]
    for size, wanted in zip(spec.anchors[0].sizes, expected, strict=True):
        assert size == pytest.approx(wanted)
    assert [level.stride for level in spec.anchors] == [(side, side) for side in (4, 8, 16, 32, 64)]
    # A division by one is no longer there.
    assert spec.proposal_coder.scales == (1, 1, 1, 1)
    assert spec.proposal_coder.bbox_xform_clip == pytest.approx(math.log(1000 / 16))


def test_anchors_come_from_the_config_where_the_graph_holds_none(tmp_path: Path) -> None:
    def hide(model: pb.ModelProto) -> None:
        for node in nodes(model, "Range"):
            node.op_type = "Hidden"

    found = spec_of(tmp_path, "x101", hide, "x101-coffee").anchors
    own = spec_of(tmp_path, "x101", config="x101-coffee").anchors
    for level, wanted in zip(found, own, strict=True):
        assert (level.stride, level.offset) == (wanted.stride, wanted.offset)
        for size, side in zip(level.sizes, wanted.sizes, strict=True):
            assert size == pytest.approx(side)
    assert "MODEL.ANCHOR_GENERATOR.SIZES" in spec_of(tmp_path, "x101", hide, {"INPUT": {}}).warnings[0]
    assert "SIZES" in refused(write(tmp_path, "x101", hide, {"MODEL": {"ANCHOR_GENERATOR": {"SIZES": [[8, 16]]}}}))


def test_cells_of_a_config() -> None:
    assert cell_sizes(((10.0,), (20.0,)), ((4.0, 0.25),), 2) == [((20, 5), (5, 20)), ((40, 10), (10, 40))]
    assert cell_sizes(((4.0, 6.0),), ((1.0,),), 2) == [((4, 4), (6, 6))] * 2


def test_a_model_of_bgr_takes_rgb(tmp_path: Path) -> None:
    """Mean and kernels are turned, both or none."""
    config = {"INPUT": {"FORMAT": "RGB", "MIN_SIZE_TEST": 128, "MAX_SIZE_TEST": 208}}
    bgr, rgb = (spec_of(tmp_path, config=each) for each in ("r50-coffee", config))
    assert bgr.pixels[0].operand == rgb.pixels[0].operand[::-1] == pytest.approx((123.675, 116.28, 103.53))
    (turned, *rest), (plain, *same) = (kernels(spec.trunk) for spec in (bgr, rgb))
    assert (turned != plain).any()
    np.testing.assert_array_equal(turned, plain[:, ::-1])
    assert all((one == other).all() for one, other in zip(rest, same, strict=True))


def kernels(net: NetGraph) -> list[Array]:
    return [layer.weight for layer in net if isinstance(layer, Conv2d)]


# The YAML beside it.


def test_without_a_config_every_assumption_is_named(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    (warning,) = spec.warnings
    for part in ("3 values", "INPUT.MIN_SIZE_TEST = 800", "INPUT.MAX_SIZE_TEST = 1333", "INPUT.FORMAT = BGR"):
        assert part in warning
    assert (spec.resize.min_dimension, spec.resize.max_dimension) == (800, 1333)


def test_before_opset_16_a_graph_does_not_say_how_regions_are_aligned(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "x101")
    assert "MODEL.ROI_BOX_HEAD.POOLER_TYPE = ROIAlignV2, MODEL.ROI_MASK_HEAD.POOLER_TYPE = ROI" in spec.warnings[0]
    assert spec.crop.aligned
    old = spec_of(tmp_path, "x101", config={"MODEL": {"ROI_BOX_HEAD": {"POOLER_TYPE": "ROIAlign"}}})
    assert not old.crop.aligned
    assert old.mask is not None
    assert old.mask.crop.aligned


def test_regions_that_are_moved_first_are_aligned(tmp_path: Path) -> None:
    """As torchvision 0.8 to 0.11 exported them: by half a cell, in pixels."""

    def moved(model: pb.ModelProto) -> None:
        for index, align in enumerate(nodes(model, "RoiAlign")):
            (scale,) = (each.f for each in align.attribute if each.name == "spatial_scale")
            half = pb.TensorProto(name=f"half_{index}", data_type=pb.TensorProto.FLOAT, float_data=[0.5 / scale])
            model.graph.initializer.append(half)
            model.graph.node.add(op_type="Sub", input=[align.input[1], half.name], output=[f"moved_{index}"])
            align.input[1] = f"moved_{index}"

    spec = spec_of(tmp_path, "x101", moved)
    assert "POOLER_TYPE" not in spec.warnings[0]
    assert spec.crop.aligned


def test_a_mean_in_rgb_order_tells_the_order(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "faster_rgb")
    assert any("INPUT.FORMAT = RGB is assumed" in warning for warning in spec.warnings)
    assert spec.pixels[0].operand == pytest.approx((123.675, 116.28, 103.53))


def test_the_graph_wins_over_the_config(tmp_path: Path) -> None:
    config = yaml.safe_load((FOLDER / "r50-coffee.yaml").read_text())
    config["MODEL"]["ROI_HEADS"]["NMS_THRESH_TEST"] = 0.3
    config["MODEL"]["RPN"]["BBOX_REG_WEIGHTS"] = [1, 1, 2, 1]
    spec = spec_of(tmp_path, config=config)
    assert spec.detection_nms.iou_threshold == 0.5
    assert len(spec.warnings) == 2
    assert any("NMS_THRESH_TEST: the model's 0.5 is used, not the config's 0.3" in text for text in spec.warnings)


@pytest.mark.parametrize("name", ["model.yaml", "model.yml", "config.yaml", "config.yml"])
def test_the_config_lies_beside_the_model(tmp_path: Path, name: str) -> None:
    path = write(tmp_path)
    (tmp_path / "other.yaml").write_text("INPUT: {MIN_SIZE_TEST: 1}")
    assert find_config(path) is None
    (tmp_path / name).write_text("INPUT: {MIN_SIZE_TEST: 640, MAX_SIZE_TEST: 1000, FORMAT: BGR}")
    spec = open_model(path).definition
    assert (spec.resize.min_dimension, spec.resize.max_dimension, spec.warnings) == (640, 1000, ())
    assert open_model(path, tmp_path / "other.yaml").definition.resize.min_dimension == 1


def test_a_size_of_zero_leaves_images_as_they_are(tmp_path: Path) -> None:
    assert spec_of(tmp_path, config={"INPUT": {"MIN_SIZE_TEST": 0}}).resize.kind == "identity"


def test_a_config_that_builds_on_another_is_not_whole(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, config={"_BASE_": "../Base-RCNN-FPN.yaml", "INPUT": {"MIN_SIZE_TEST": 640}})
    assert spec.resize.min_dimension == 640
    assert "_BASE_" in spec.warnings[0]


@pytest.mark.parametrize("text", ["(9, 8, 7.5, 6)", "!!python/tuple [9, 8, 7.5, 6]", "\n  - 9\n  - 8\n  - 7.5\n  - 6"])
def test_spellings_of_a_list(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"MODEL:\n RPN:\n  BBOX_REG_WEIGHTS: {text}\n")
    assert read_config(path).values == {"MODEL.RPN.BBOX_REG_WEIGHTS": (9, 8, 7.5, 6)}


@pytest.mark.parametrize(
    ("text", "complaint"),
    sampled(
        [
            ("INPUT: {MIN_SIZE_TEST: -1}", "MIN_SIZE_TEST must be a whole number from 0 to 8192, not -1"),
            ("INPUT: {MIN_SIZE_TEST: 99999999}", "MIN_SIZE_TEST"),
            ("INPUT: {MIN_SIZE_TEST: .nan}", "MIN_SIZE_TEST"),
            ("INPUT: {MIN_SIZE_TEST: .inf}", "MIN_SIZE_TEST"),
            ("INPUT: {MIN_SIZE_TEST: true}", "MIN_SIZE_TEST"),
            ("INPUT: {FORMAT: [L]}", "FORMAT must be BGR or RGB"),
            ("INPUT: {FORMAT: L}", "FORMAT must be BGR or RGB"),
            ("MODEL: {PIXEL_STD: [1, 0, 1]}", "PIXEL_STD"),
            ("MODEL: {PIXEL_MEAN: '__import__(1)'}", "PIXEL_MEAN must be a list of 3"),
            ("MODEL: {ANCHOR_GENERATOR: {SIZES: [32, 64]}}", "SIZES"),
            ("MODEL: !!python/object/apply:os.system [ls]", "not valid YAML"),
            ("MODEL: [", "not valid YAML"),
            ("[" * 1000, "not valid YAML"),
            ("just text", "no Detectron2 config"),
            ("names: [a, b]", "no Detectron2 config"),
            ("MODEL: 1\n" + "#" * (1 << 20), "too large"),
        ],
        4,
    ),
)
def test_a_config_that_cannot_be_meant(tmp_path: Path, text: str, complaint: str) -> None:
    """Named by the user it is an error; one that only lies there is not used."""
    path, config = write(tmp_path), tmp_path / "config.yaml"
    config.write_text(text)
    with pytest.raises(ModelFileError, match=r"config\.yaml") as caught:
        open_model(path, config)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    spec = open_model(path).definition
    assert spec.warnings[0].endswith("; it is not used")
    assert spec.resize.min_dimension == 800


# What is refused.


def test_a_c4_variant_is_refused(tmp_path: Path) -> None:
    """One whose heads take the crops of a single map."""

    def one_map(model: pb.ModelProto) -> None:
        aligns = nodes(model, "RoiAlign")
        for first in (aligns[0], aligns[4]):
            branch = first.output[0].split("/")[1]
            last = [node for node in nodes(model, "ScatterND") if node.output[0].startswith(f"/{branch}/")][-1]
            for node in model.graph.node:
                for index, name in enumerate(node.input):
                    if name == last.output[0]:
                        node.input[index] = first.output[0]
        wanted = {each.name for each in model.graph.output}
        for node in reversed(list(model.graph.node)):
            if wanted & set(node.output):
                branches = [inner for attribute in node.attribute for inner in attribute.g.node]
                wanted |= {name for each in (node, *branches) for name in each.input}
            else:
                model.graph.node.remove(node)

    assert "a C4 or DC5 variant" in refused(write(tmp_path, change=one_map))


def test_a_caffe2_export_is_refused(tmp_path: Path) -> None:
    def caffe2(model: pb.ModelProto) -> None:
        for node in nodes(model, "RoiAlign"):
            node.op_type, node.domain = "RoIAlign", "org.pytorch._caffe2"

    assert "Caffe2" in refused(write(tmp_path, change=caffe2))
    for name in ("model.pb", "model_init.pb"):
        (tmp_path / name).write_bytes(b"\n\tdetectron\x12\x04\n\x02im")
    assert "export it to ONNX by tracing" in refused(tmp_path / "model.pb")


@pytest.mark.parametrize("name", ["model.ts", "model.pt", "model_final.pth", "model_final_f10217.pkl", "other.zip"])
def test_files_of_pytorch_that_are_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04" + bytes(26) + b"model/data.pkl")
    says = "is a PyTorch file, and not one of weights" if name == "other.zip" else "copy or download it again"
    assert says in refused(path)


def test_weights_of_another_system_are_called_so(tmp_path: Path) -> None:
    path = write_torch_zip(
        tmp_path / "model_final.pth", {"backbone.bottom_up.stem.conv1.weight": np.ones((4, 3, 7, 7))}
    )
    assert "holds 1 weights, 'backbone.bottom_up.stem.conv1.weight' first, which are not those of" in refused(path)


def test_an_image_that_is_prepared_otherwise_is_refused(tmp_path: Path) -> None:
    """As by a wrapper that turns the channels itself."""

    def turned(model: pb.ModelProto) -> None:
        model.graph.node.add(op_type="Transpose", input=["image"], output=["turned"])
        for node in nodes(model, "Sub"):
            for index, name in enumerate(node.input):
                if name == "image":
                    node.input[index] = "turned"

    assert "(Transpose)" in refused(write(tmp_path, change=turned))


@pytest.mark.parametrize("part", ["/backbone/", "/box_head/", "/mask_head/"])
def test_no_layer_is_skipped(tmp_path: Path, part: str) -> None:
    """A net that begins behind a layer that is not known would answer without those before it."""

    def strange(model: pb.ModelProto) -> None:
        next(node for node in nodes(model, "Relu") if node.output[0].startswith(part)).op_type = "Celu"

    message = refused(write(tmp_path, change=strange))
    assert "Celu" in message
    assert "which is not a layer of" in message


def test_scores_are_converted_as_the_graph_does(tmp_path: Path) -> None:
    """ROI_BOX_HEAD.USE_SIGMOID_CE, as models for LVIS have it."""

    def converted(op: str) -> Change:
        return lambda model: setattr(nodes(model, "Softmax")[0], "op_type", op)

    assert spec_of(tmp_path).score_activation == "softmax"
    assert spec_of(tmp_path, change=converted("Sigmoid")).score_activation == "sigmoid"
    assert "neither softmax nor sigmoid" in refused(write(tmp_path, change=converted("Hardmax")))


def test_predictors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def wrong(model: pb.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == "mask_head.predictor.weight":
                tensor.dims[0], tensor.dims[1] = 2, tensor.dims[1] * 2
            if tensor.name == "mask_head.predictor.bias":
                del tensor.dims[:]
                tensor.dims.append(2)
                tensor.raw_data = tensor.raw_data[:8]

    assert "predicts 2 masks per region for 4 classes" in refused(write(tmp_path, change=wrong))
