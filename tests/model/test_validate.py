"""Models that no image could be given to are refused before an engine sees them, with the number that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import InputError, ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.model import validate
from mrcnn_cv.model.definition import AnchorSpec, BoxCoder, ModelDefinition, NormalizationStep, ResizeSpec
from mrcnn_cv.model.validate import check_model, usual_input
from tests.support.parity import Image

Spoil = Callable[[ModelDefinition], ModelDefinition]


@pytest.fixture(scope="module")
def spec(tiny_graph: Path) -> ModelDefinition:
    return open_model(tiny_graph).definition


def resized(**changes: object) -> Spoil:
    return lambda spec: replace(spec, resize=replace(spec.resize, **changes))  # type: ignore[arg-type]


def proposals(**changes: object) -> Spoil:
    return lambda spec: replace(spec, proposal_nms=replace(spec.proposal_nms, **changes))  # type: ignore[arg-type]


def anchors(**changes: object) -> Spoil:
    return lambda spec: replace(spec, anchors=(replace(spec.anchors[0], **changes),))  # type: ignore[arg-type]


def enlarged() -> ir.NetGraph:
    """A trunk whose result is all that it puts out."""
    build = NetBuilder((ir.IMAGE,))
    first = build.add(ir.Upsample, "first", [ir.IMAGE], factors=(64, 64))
    return build.finish([build.add(ir.Upsample, "second", [first], factors=(64, 64))] * 3)


NOTHING = ir.NetGraph((ir.IMAGE,), (ir.IMAGE,) * 3, ())


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
        (lambda spec: replace(spec, pixels=(NormalizationStep("div", (0.0,)),)), "divides pixels by zero"),
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
        (lambda spec: replace(spec, trunk=enlarged()), "needs .* GiB for its feature maps"),
        (lambda spec: replace(spec, trunk=NOTHING), "3 and 3 numbers for each cell"),
    ],
)
def test_numbers_that_cannot_be_meant(spec: ModelDefinition, spoil: Spoil, match: str) -> None:
    check_model(spec)
    with pytest.raises(ModelFileError, match=match):
        check_model(spoil(spec))


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
    monkeypatch.setattr(validate, "MAX_FLOPS", 1000.0)
    with pytest.raises(ModelFileError, match=f"^{tiny_graph} has a backbone that takes .* operations"):
        open_model(tiny_graph)


def test_an_image_that_would_take_too_much_is_refused_alone(
    tiny_graph: Path, photo: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MaskRCNN.load(tiny_graph, backend="cpu")
    monkeypatch.setattr(validate, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="cannot take an image of 240x160 pixels: has a backbone that needs"):
        model.predict(photo)
    monkeypatch.undo()
    assert len(model.predict(photo))


def test_masks_in_portions_are_the_masks(tiny_model: MaskRCNN, photo: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny_model.predict(photo, score_threshold=0.0).mask_probabilities
    monkeypatch.setattr(validate, "MAX_PORTION", 1)
    single = tiny_model.predict(photo, score_threshold=0.0).mask_probabilities
    assert whole is not None
    assert single is not None
    assert len(whole) > 1
    np.testing.assert_allclose(single, whole, atol=1e-5)


def test_anchors_of_a_level_may_have_the_stride_of_their_map(spec: ModelDefinition) -> None:
    level: AnchorSpec = replace(spec.anchors[0], stride=None)
    check_model(replace(spec, anchors=(level,)))
