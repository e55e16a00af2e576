"""What is read from a matterport graph and from the config beside it, on real graphs with some nodes changed."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.importers.matterport.anchors import anchor_specs, read_grid
from mrcnn_cv.importers.matterport.config import SETTINGS, find_config, read_config
from mrcnn_cv.model.definition import ModelDefinition
from tests.conftest import DATA
from tests.importers.graphs import Builder, by_name, rename, set_value
from tests.support.rows import sampled

FOLDER = DATA / "matterport"
Change = Callable[[pb.GraphDef], None]


def write(folder: Path, change: Change = lambda message: None, graph: str = "plain", config: object = None) -> Path:
    """A graph, changed, in a folder of its own; config: values beside it."""
    message = pb.GraphDef()
    message.ParseFromString(lzma.decompress((FOLDER / f"{graph}.pb.xz").read_bytes()))
    change(message)
    path = folder / "frozen.pb"
    path.write_bytes(message.SerializeToString())
    if config is not None:
        (folder / "frozen.json").write_text(json.dumps(config))
    return path


def config_of(case: str) -> dict[str, object]:
    return dict(json.loads((FOLDER / f"{case}.json").read_text()))


def spec_of(folder: Path, change: Change = lambda message: None) -> ModelDefinition:
    return open_model(write(folder, change, config=config_of("plain_square"))).definition


def const(message: pb.GraphDef, name: str, value: object, dtype: str) -> None:
    set_value(by_name(message)[name], np.array(value, dtype=dtype))


def test_numbers_come_from_the_graph(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    assert (spec.family, spec.architecture, spec.backbone) == (
        "matterport Mask R-CNN",
        "Mask R-CNN",
        "ResNet-50 with feature pyramid",
    )
    assert spec.class_count == 3
    assert spec.warnings == ()
    assert spec.proposal_coder.scales == pytest.approx((10, 10, 5, 5))
    nms = spec.proposal_nms
    assert (nms.pre_nms_top_n, nms.max_total, round(nms.iou_threshold, 6)) == (300, 60, 0.7)
    assert spec.detection_nms.max_total == 15
    assert spec.detection_nms.score_threshold == pytest.approx(0.4)
    assert spec.detection_nms.score_threshold < np.float32(0.4)
    assert spec.mask is not None
    assert (spec.crop.size, spec.mask.crop.size, spec.mask.size) == ((7, 7), (14, 14), (28, 28))
    assert spec.crop.pyramid is not None
    assert (spec.crop.pyramid.canonical_level, spec.crop.pyramid.canonical_size) == (2, 224)
    assert [level.stride for level in spec.anchors] == [(side, side) for side in (4, 8, 16, 32, 64)]
    assert spec.anchors[0].sizes[1] == pytest.approx((15, 15))


def test_numbers_of_a_port_to_tensorflow_2(tmp_path: Path) -> None:
    """Its loops are functions; it has other anchors, every second cell, and no least score."""
    spec = open_model(write(tmp_path, graph="loops", config=config_of("loops_square"))).definition
    assert spec.proposal_coder.scales == pytest.approx((1 / 0.15, 10, 4, 5))
    assert spec.box_coder.scales == pytest.approx((5, 10, 1 / 0.3, 5))
    assert spec.detection_nms.iou_threshold == pytest.approx(0.4)
    assert spec.detection_nms.score_threshold == float("-inf")
    assert [level.stride for level in spec.anchors] == [(side, side) for side in (8, 16, 32, 64, 128)]
    assert len(spec.anchors[0].sizes) == 2


def test_other_limits_are_read(tmp_path: Path) -> None:
    def change(message: pb.GraphDef) -> None:
        const(message, "ROI/Minimum/x", 77, "int32")
        const(message, "ROI/rpn_non_max_suppression/iou_threshold", 0.55, "float32")
        const(message, "ROI/rpn_non_max_suppression/NonMaxSuppressionV3/max_output_size", 41, "int32")
        const(message, "mrcnn_detection/GreaterEqual/y", 0.125, "float32")
        const(message, "mrcnn_detection/map/while/non_max_suppression/iou_threshold", 0.25, "float32")
        const(message, "mrcnn_detection/Minimum_4/y", 9, "int32")

    spec = spec_of(tmp_path, change)
    assert (spec.proposal_nms.pre_nms_top_n, spec.proposal_nms.max_total) == (77, 41)
    assert spec.proposal_nms.iou_threshold == pytest.approx(0.55)
    assert (spec.detection_nms.score_threshold, spec.detection_nms.iou_threshold) == pytest.approx((0.125, 0.25))
    assert spec.detection_nms.max_total == 9
    assert [warning.split(":")[0] for warning in spec.warnings] == [
        f"{tmp_path / 'frozen.json'} disagrees with the graph about {name}"
        for name in SETTINGS
        if name
        in {
            *("PRE_NMS_LIMIT", "RPN_NMS_THRESHOLD", "POST_NMS_ROIS_INFERENCE", "DETECTION_MIN_CONFIDENCE"),
            *("DETECTION_NMS_THRESHOLD", "DETECTION_MAX_INSTANCES"),
        }
    ]


def test_without_a_config_every_assumption_is_named(tmp_path: Path) -> None:
    spec = open_model(write(tmp_path)).definition
    assert len(spec.warnings) == 1
    assert "6 numbers" not in spec.warnings[0]
    for text in (
        "IMAGE_RESIZE_MODE = square",
        "IMAGE_MIN_DIM = 800",
        "IMAGE_MAX_DIM = 1024",
        "IMAGE_MIN_SCALE = 0",
        "MEAN_PIXEL = [123.7, 116.8, 103.9]",
        "RPN_ANCHOR_SCALES = [32, 64, 128, 256, 512]",
        "RPN_ANCHOR_RATIOS = [0.5, 1, 2]",
        "frozen.json",
    ):
        assert text in spec.warnings[0]
    assert "RPN_NMS_THRESHOLD" not in spec.warnings[0]
    assert (spec.resize.min_dimension, spec.resize.max_dimension) == (800, 1024)


@pytest.mark.parametrize("name", ["frozen.json", "frozen.toml", "config.json", "config.toml"])
def test_a_config_beside_the_graph_is_found(tmp_path: Path, name: str) -> None:
    graph = write(tmp_path)
    text = '{"IMAGE_MAX_DIM": 320}' if name.endswith("json") else "IMAGE_MAX_DIM = 320\nSTEPS_PER_EPOCH = 7\n"
    (tmp_path / name).write_text(text)
    assert find_config(graph) == tmp_path / name
    assert open_model(graph).definition.resize.max_dimension == 320


def test_a_bad_config_beside_the_graph_is_a_warning_and_a_given_one_an_error(tmp_path: Path) -> None:
    graph = write(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "something else"}')
    assert "holds no values of a matterport Config" in open_model(graph).definition.warnings[0]
    with pytest.raises(ModelFileError, match="holds no values of a matterport Config"):
        open_model(graph, tmp_path / "config.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"IMAGE_MAX_DIM": "big"}', "IMAGE_MAX_DIM must be a whole number from 64 to 8192, not 'big'"),
        ('{"IMAGE_MAX_DIM": 1e9}', "IMAGE_MAX_DIM must be a whole number"),
        ('{"IMAGE_MAX_DIM": true}', "IMAGE_MAX_DIM must be a whole number"),
        ('{"IMAGE_MAX_DIM": NaN}', "IMAGE_MAX_DIM must be a whole number"),
        ('{"IMAGE_RESIZE_MODE": "crop"}', "IMAGE_RESIZE_MODE must be square, pad64 or none"),
        ('{"MEAN_PIXEL": [1, 2]}', "MEAN_PIXEL must be a list of 3"),
        ('{"RPN_ANCHOR_SCALES": [NaN]}', "RPN_ANCHOR_SCALES must be a list of which each item is a number"),
        ('{"BBOX_STD_DEV": [0.1, 0.1, 0, 0.2]}', "BBOX_STD_DEV must be a list"),
        ("[1]", "holds no values of a matterport Config"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_values_that_cannot_be_meant(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "values.json"
    path.write_text(text)
    with pytest.raises(ModelFileError) as error:
        read_config(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"RPN_ANCHOR_SCALES": [8, 16, 32]}, "predicts from 5 RPN_ANCHOR_SCALES, not from 3"),
        ({"RPN_ANCHOR_RATIOS": [1]}, "predicts from 3 RPN_ANCHOR_RATIOS, not from 1"),
        ({"IMAGE_MAX_DIM": 500}, "matterport needs a multiple of 64"),
    ],
)
def test_values_that_do_not_fit_the_graph(tmp_path: Path, config: object, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        open_model(write(tmp_path, config=config))


def test_names_of_nodes_do_not_matter(tmp_path: Path) -> None:
    """As with a prefix (`import/`), or in a graph whose layers somebody else named."""
    plain = spec_of(tmp_path)
    numbers: dict[str, str] = {}

    def number(name: str) -> str:
        base, colon, port = name.partition(":")
        return numbers.setdefault(base, f"import/{len(numbers)}") + colon + port

    other = spec_of(tmp_path, lambda message: rename(message, number))
    assert other.backbone == "unknown with feature pyramid, 61 convolutions"
    for name in ("anchors", "proposal_nms", "detection_nms", "crop", "box_coder", "resize", "class_count"):
        assert getattr(other, name) == getattr(plain, name)
    prefixed = spec_of(tmp_path, lambda message: rename(message, lambda name: f"import/{name}"))
    assert prefixed.backbone == "ResNet-50 with feature pyramid"


def test_a_graph_without_masks_finds_boxes(tmp_path: Path) -> None:
    """What is left when only the detections are asked for."""

    def prune(message: pb.GraphDef) -> None:
        kept = [node for node in message.node if not node.name.startswith(("roi_align_mask", "mrcnn_mask"))]
        names = {node.name for node in kept}
        while True:
            whole = [node for node in kept if all(tensor.strip("^").split(":")[0] in names for tensor in node.input)]
            names = {node.name for node in whole}
            if len(whole) == len(kept):
                break
            kept = whole
        copies = [pb.NodeDef.FromString(node.SerializeToString()) for node in kept]
        del message.node[:]
        message.node.extend(copies)

    spec = spec_of(tmp_path, prune)
    assert (spec.architecture, spec.mask, spec.mask_head) == ("Faster R-CNN", None, None)


def test_anchors_inside_of_the_graph(tmp_path: Path) -> None:
    """Code of 2017: anchors are a constant in pixels, boxes are counted in pixels, and all of the input is known."""

    def change(message: pb.GraphDef) -> None:
        values = {"RPN_ANCHOR_SCALES": (20.0, 40.0, 80.0, 100.0, 160.0), "RPN_ANCHOR_RATIOS": (0.5, 1.0, 2.0)}
        grid = pixel_grid(values, [4, 8, 16, 32, 64], 256)
        nodes = by_name(message)
        builder = Builder(message)
        builder.const("anchors", grid)
        nodes["ROI/GatherV2_2"].input[0] = "anchors"
        builder.const("ROI/size", [256, 256, 256, 256])
        builder.node("ROI/normalized", "RealDiv", ["ROI/strided_slice_21", "ROI/size"])
        nodes["ROI/rpn_non_max_suppression/NonMaxSuppressionV3"].input[0] = "ROI/normalized"

    spec = open_model(write(tmp_path, change)).definition
    assert spec.box_edges == "pixels"
    assert spec.detection_nms.round_first
    assert (spec.resize.max_dimension, spec.resize.pad_to_max) == (256, True)
    assert spec.anchors[2].sizes[1] == (80, 80)
    assert spec.anchors[2].offset == (0, 0)
    assert "RPN_ANCHOR_SCALES" not in spec.warnings[0]
    assert "IMAGE_MAX_DIM" not in spec.warnings[0]
    assert "code of 2017" in spec.exporter


def test_code_of_2017_leaves_little_to_assume(tmp_path: Path) -> None:
    spec = open_model(write(tmp_path, graph="pixels")).definition
    assert (spec.box_edges, spec.resize.max_dimension, spec.proposal_nms.pre_nms_top_n) == ("pixels", 192, 300)
    assert [level.sizes[1][0] for level in spec.anchors] == [16, 32, 64, 96, 128]
    assert "IMAGE_MIN_DIM = 800, IMAGE_MIN_SCALE = 0, MEAN_PIXEL = [123.7, 116.8, 103.9];" in spec.warnings[0]


def pixel_grid(values: Mapping[str, tuple[float, ...]], strides: list[int], side: int) -> list[list[float]]:
    """All anchors as matterport's utils.generate_pyramid_anchors lists them."""
    rows = []
    for scale, stride in zip(values["RPN_ANCHOR_SCALES"], strides, strict=True):
        for y in range(0, side, stride):
            for x in range(0, side, stride):
                for ratio in values["RPN_ANCHOR_RATIOS"]:
                    height, width = scale / ratio**0.5, scale * ratio**0.5
                    rows.append([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    return rows


def test_a_grid_is_read_back_from_its_anchors() -> None:
    values = {"RPN_ANCHOR_SCALES": (8.0, 30.0), "RPN_ANCHOR_RATIOS": (0.4, 3.0)}
    grid = np.array(pixel_grid(values, [16, 32], 96), np.float64)
    found = read_grid(grid, [16, 32], 2, in_pixels=True)
    assert found == {**values, "IMAGE_RESIZE_MODE": "square", "IMAGE_MAX_DIM": 96}
    centers = read_grid((grid - [0, 0, 1, 1]) / 95, [16, 32], 2, in_pixels=False)
    assert centers["IMAGE_MAX_DIM"] == 96
    np.testing.assert_allclose(centers["RPN_ANCHOR_SCALES"], values["RPN_ANCHOR_SCALES"], atol=0.01)
    between = anchor_specs(values, [16, 32], 2, in_pixels=False)
    assert between[0].offset == (-0.5, -0.5)
    assert between[1].sizes[1] == pytest.approx((30 / 3**0.5 - 1, 30 * 3**0.5 - 1))
    grid[50] += 3
    with pytest.raises(ModelFileError, match="not a grid of matterport's"):
        read_grid(grid, [16, 32], 2, in_pixels=True)
    with pytest.raises(ModelFileError, match="not a grid of matterport's"):
        read_grid(grid[:-1], [16, 32], 2, in_pixels=True)


def test_a_graph_for_training_or_for_several_images_is_refused(tmp_path: Path) -> None:
    def two_images(message: pb.GraphDef) -> None:
        nodes = by_name(message)
        copy = message.node.add()
        copy.CopyFrom(nodes["ROI/rpn_non_max_suppression/NonMaxSuppressionV3"])
        copy.name = "second"
        gather = message.node.add()
        gather.CopyFrom(nodes["ROI/GatherV2_3"])
        gather.name = "second/gather"
        gather.input[1] = "second"
        nodes["ROI/packed_2"].input.append("second/gather")

    with pytest.raises(ModelFileError, match=r"2 suppressions before its first crops.*IMAGES_PER_GPU of 1"):
        open_model(write(tmp_path, two_images))

    def from_proposals(message: pb.GraphDef) -> None:
        for node in message.node:
            for index, tensor in enumerate(node.input):
                if tensor == "mrcnn_detection/Reshape_1":
                    node.input[index] = "ROI/packed_2"

    with pytest.raises(ModelFileError, match="graph for training"):
        open_model(write(tmp_path, from_proposals))


def test_a_loop_over_the_regions_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """TimeDistributed on TensorFlow 1.15 to 2.1 applies batch norm to one region after the other."""

    def change(message: pb.GraphDef) -> None:
        builder = Builder(message)
        builder.node("while", "StatelessWhile", ["mrcnn_class_conv1/Reshape_1"])
        by_name(message)["mrcnn_class_bn1/Reshape"].input[0] = "while"

    with pytest.raises(ModelFileError, match=r"loop over the regions, at the node 'while'.*freeze_matterport\.py"):
        open_model(write(tmp_path, change))


@pytest.mark.parametrize("seed", sampled(range(12), 4))
def test_damaged_graphs_end_in_one_sentence(tmp_path: Path, seed: int) -> None:
    """Inputs of some nodes exchanged, constants cut short."""
    rng = np.random.default_rng(seed)

    def change(message: pb.GraphDef) -> None:
        nodes = [node for node in message.node if node.input or node.op == "Const"]
        for node in rng.choice(np.array(nodes, dtype=object), 6, replace=False):
            if node.input:
                other = message.node[int(rng.integers(len(message.node)))]
                node.input[int(rng.integers(len(node.input)))] = other.name
            else:
                set_value(node, rng.normal(size=(3,)).astype(np.float32))

    with pytest.raises(ModelFileError) as refusal:
        open_model(write(tmp_path, change))
    assert "\n" not in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)
