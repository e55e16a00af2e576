"""Models that no image could be given to are refused before an engine sees them, with the number that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.errors import InputError, ModelFileError
from mrcnn_cv.graph.builder import Writer
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.graph.shape_inference import Plan
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.importers.object_detection_api import family as object_detection_api
from mrcnn_cv.model import validate as soundness
from mrcnn_cv.model.definition import AnchorSpec, BoxCoder, ModelSpec, PixelStep, ResizeSpec, StageGraph
from mrcnn_cv.model.validate import check_model, usual_input
from tests.parity import Image

Spoil = Callable[[ModelSpec], ModelSpec]


@pytest.fixture(scope="module")
def spec(tiny_graph: Path) -> ModelSpec:
    return open_model(tiny_graph).spec


def resized(**changes: object) -> Spoil:
    return lambda spec: replace(spec, resize=replace(spec.resize, **changes))  # type: ignore[arg-type]


def proposals(**changes: object) -> Spoil:
    return lambda spec: replace(spec, proposal_nms=replace(spec.proposal_nms, **changes))  # type: ignore[arg-type]


def anchors(**changes: object) -> Spoil:
    return lambda spec: replace(spec, anchors=(replace(spec.anchors[0], **changes),))  # type: ignore[arg-type]


def of_stage(write: Callable[[Writer, str], str]) -> StageGraph:
    """A trunk of one layer, whose result is all that a trunk puts out."""
    writer = Writer()
    result = write(writer, writer.placeholder("image"))
    return StageGraph(writer.serialize(), ("image",), (result,) * 3)


def enlarged(writer: Writer, image: str) -> str:
    return writer.enlarge("second", writer.enlarge("first", image, (64, 64)), (64, 64))


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (resized(min_dimension=60_000, max_dimension=None), "60000 pixels on a side"),
        (resized(kind="fixed", height=0, width=64), "to nothing"),
        (resized(pad_to_max=True, max_dimension=-5), "-5 pixels on a side"),
        (resized(pad_value=(float("nan"),)), "nan for 'pad_value'"),
        (proposals(max_total=1 << 30), "up to 1073741824 proposals"),
        (proposals(max_total=0), "up to 0 proposals"),
        (proposals(iou_threshold=float("inf")), "inf for 'iou_threshold'"),
        (anchors(sizes=((float("nan"), 1.0),) * 12), "nan for 'sizes'"),
        (anchors(sizes=((16.0, -16.0),) * 12), "sizes or strides"),
        (anchors(stride=(0.0, 16.0)), "sizes or strides"),
        (anchors(offset=(1e9, 0.0)), "outside of every image"),
        (anchors(sizes=((16.0, 16.0),)), "48 and 24 numbers for each cell, where 1 anchors need 4 and 2"),
        (lambda spec: replace(spec, pixels=(PixelStep("div", (0.0,)),)), "divides pixels by zero"),
        (lambda spec: replace(spec, class_count=1 << 20), "1048576 classes"),
        (lambda spec: replace(spec, class_count=7), "box head that puts out"),
        (lambda spec: replace(spec, box_coder=BoxCoder((10, 10, 5, 0.0))), "divides its box encodings"),
        (lambda spec: replace(spec, crop=replace(spec.crop, size=(5000, 5000))), "5000x5000 samples"),
        (lambda spec: replace(spec, crop=replace(spec.crop, sampling_ratio=1 << 20)), "out of range"),
        (lambda spec: replace(spec, crop=replace(spec.crop, scales=(1e9,))), "scale that is out of range"),
        (
            lambda spec: replace(spec, mask=spec.mask and replace(spec.mask, size=(77, 77))),
            "mask head that puts out .* where 77x77 pixels for 3 classes are expected",
        ),
        (lambda spec: replace(spec, trunk=of_stage(enlarged)), "needs .* GiB for its feature maps"),
        (lambda spec: replace(spec, trunk=of_stage(lambda writer, image: image)), "3 and 3 numbers for each cell"),
    ],
)
def test_numbers_that_cannot_be_meant(spec: ModelSpec, spoil: Spoil, match: str) -> None:
    check_model(spec)
    with pytest.raises(ModelFileError, match=match):
        check_model(spoil(spec))


def convolution(name: str) -> pb.NodeDef:
    node = pb.NodeDef(name=name, op="Conv2D")
    node.attr["strides"].list.i.extend([1, 1, 1, 1])
    node.attr["padding"].s = b"VALID"
    return node


def weighted(shape: tuple[int, ...], op: str = "Conv2D") -> Callable[[Writer, str], str]:
    def write(writer: Writer, image: str) -> str:
        node = convolution("layer")
        node.op = op
        return writer.weighted(node, image, np.ones(shape, np.float32), np.zeros(shape[-1], np.float32), 1)

    return write


@pytest.mark.parametrize(
    ("write", "match"),
    [
        (weighted((3, 3, 5, 8)), "takes 5 channels but is given 3"),
        (weighted((3, 3, 1, 8)), "takes 1 channels but is given 3"),
        (weighted((9, 9, 3, 8)), "nothing left of its input"),
        (weighted((3, 8), "MatMul"), r"\(MatMul\) cannot take"),
        (lambda writer, image: writer.affine("layer", image, np.ones(4), np.zeros(4)), r"\(4,\) channels of 3"),
        (lambda writer, image: writer.add("sum", [image, weighted((1, 1, 3, 8))(writer, image)]), "different shapes"),
        (
            lambda writer, image: weighted((3, 3, 3, 8))(writer, writer.flatten("rows", image)),
            "takes maps but is given",
        ),
    ],
)
def test_layers_that_do_not_fit_together(write: Callable[[Writer, str], str], match: str) -> None:
    with pytest.raises(ModelFileError, match=match):
        Plan(of_stage(write)).layers({"image": (1, 8, 8, 3)})


def test_a_convolution_of_groups_fits() -> None:
    layers = Plan(of_stage(weighted((3, 3, 1, 9)))).layers({"image": (1, 8, 8, 3)})
    assert layers[-1].output == (1, 6, 6, 9)


def test_memory_is_what_is_there_at_the_same_time() -> None:
    def write(writer: Writer, image: str) -> str:
        first = writer.activation(pb.NodeDef(name="first", op="Relu"), image)
        second = writer.activation(pb.NodeDef(name="second", op="Relu"), first)
        return writer.add("sum", [writer.activation(pb.NodeDef(name="third", op="Relu"), second), second])

    plan, inputs = Plan(of_stage(write)), {"image": (1, 10, 10, 1)}
    # The second, the third, and their sum.
    assert plan.most_bytes(inputs, plan.layers(inputs)) == 3 * 400


@pytest.mark.parametrize(
    ("resize", "size"),
    [
        (ResizeSpec("fixed", height=300, width=200), (300, 200)),
        (ResizeSpec("identity"), (480, 640)),
        (ResizeSpec("identity", pad_multiple=100), (500, 700)),
        (ResizeSpec("keep_aspect", min_dimension=240, max_dimension=1000), (240, 320)),
        (ResizeSpec("keep_aspect", min_dimension=600, max_dimension=640), (480, 640)),
        (ResizeSpec("keep_aspect", min_dimension=600, max_dimension=1024, pad_to_max=True), (1024, 1024)),
        (ResizeSpec("at_least", min_dimension=240), (480, 640)),
        (ResizeSpec("at_most", max_dimension=320), (240, 320)),
    ],
)
def test_the_input_that_a_model_is_tried_with(resize: ResizeSpec, size: tuple[int, int]) -> None:
    assert usual_input(resize) == size


def test_the_file_is_named(tiny_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "MAX_FLOPS", 1000.0)
    with pytest.raises(ModelFileError, match=f"^{tiny_graph} has a trunk that takes .* operations"):
        open_model(tiny_graph)


def test_what_no_reader_knows_to_be_wrong_is_still_a_refusal(tiny_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        round(float("nan"))

    monkeypatch.setattr(object_detection_api, "read_model", fail)
    with pytest.raises(ModelFileError, match=f"^{tiny_graph} contradicts itself .*NaN"):
        open_model(tiny_graph)


def test_an_image_that_would_take_too_much_is_refused_alone(
    tiny_graph: Path, photo: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MaskRCNN.load(tiny_graph, backend="cpu")
    monkeypatch.setattr(soundness, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="cannot take an image of 240x160 pixels: has a trunk that needs"):
        model.predict(photo)
    monkeypatch.undo()
    assert len(model.predict(photo))


def test_masks_in_portions_are_the_masks(tiny_model: MaskRCNN, photo: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny_model.predict(photo, score_threshold=0.0).mask_probabilities
    monkeypatch.setattr(soundness, "MAX_PORTION", 1)
    single = tiny_model.predict(photo, score_threshold=0.0).mask_probabilities
    assert whole is not None
    assert single is not None
    assert len(whole) > 1
    np.testing.assert_allclose(single, whole, atol=1e-5)


def test_anchors_of_a_level_may_have_the_stride_of_their_map(spec: ModelSpec) -> None:
    level: AnchorSpec = replace(spec.anchors[0], stride=None)
    check_model(replace(spec, anchors=(level,)))


def dilated(writer: Writer, image: str) -> str:
    node = convolution("dilated")
    return writer.weighted(node, image, np.ones((3, 3, 3, 2), np.float32), np.ones(2, np.float32), 4)


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (3, 2), (1, 1)])
def test_a_dilated_convolution_keeps_any_size(size: tuple[int, int]) -> None:
    stage = of_stage(dilated)
    image = np.ones((1, 3, *size), np.float32)
    assert Plan(stage).layers({"image": (1, *size, 3)})[-1].output == (1, *size, 2)
    assert make_net(stage, BACKENDS["cpu"]).run({"image": image})[0].shape == (1, 2, *size)


def joined_images(writer: Writer, image: str) -> str:
    return writer.concat("joined", [image, image])


def test_maps_are_joined_by_channel_without_a_convolution_before() -> None:
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    (found, *_) = make_net(of_stage(joined_images), BACKENDS["cpu"]).run({"image": image})
    np.testing.assert_array_equal(found, np.concatenate([image, image], axis=1))


def padded_twice(writer: Writer, image: str) -> str:
    padded = writer.pad("padded", image, np.array([[0, 0], [1, 1], [1, 1], [0, 0]]))
    node = convolution("layer")
    node.attr["padding"].s = b"SAME"
    return writer.weighted(node, padded, np.ones((3, 3, 3, 2), np.float32), np.zeros(2, np.float32), 1)


def pooled(writer: Writer, image: str) -> str:
    node = pb.NodeDef(name="pool", op="AvgPool")
    for attribute, values in (("ksize", [1, 3, 3, 1]), ("strides", [1, 1, 1, 1])):
        node.attr[attribute].list.i.extend(values)
    node.attr["padding"].s = b"EXPLICIT"
    node.attr["explicit_paddings"].list.i.extend([0, 0, 1, 1, 1, 1, 0, 0])
    return writer.pool(node, image)


def dilated_with_strides(writer: Writer, image: str) -> str:
    node = convolution("layer")
    node.attr["strides"].list.i[1:3] = [2, 2]
    return writer.weighted(node, image, np.ones((3, 3, 3, 2), np.float32), np.zeros(2, np.float32), 2)


def enlarged_much(writer: Writer, image: str) -> str:
    node = pb.NodeDef(name="layer", op="Conv2DBackpropInput")
    node.attr["strides"].list.i.extend([1, 64, 64, 1])
    node.attr["padding"].s = b"VALID"
    return writer.transposed(node, image, np.ones((64, 64, 3, 2), np.float32), np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("write", "match"),
    [
        (enlarged_much, "enlarges more than 8 times"),
        (padded_twice, "padded twice"),
        (pooled, "paddings of its own"),
        (dilated_with_strides, "has strides"),
    ],
)
def test_layers_that_opencv_would_take_for_others_or_takes_very_long_for(
    write: Callable[[Writer, str], str], match: str
) -> None:
    with pytest.raises(ModelFileError, match=match):
        of_stage(write)
