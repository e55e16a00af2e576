"""Exported models come from strangers as well: what is wrong with one is said in a sentence that names it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.hub.registry import demo_model
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.jobs.export import export
from mrcnn_cv.model import definition_json

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(demo_model(), tmp_path_factory.mktemp("demo") / "exported").folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(exported, tmp_path / "model"))


def change(folder: Path, edit: Edit) -> None:
    """Edit what model.json says."""
    path = folder / "model.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def change_net(folder: Path, name: str, edit: Callable[[pb.ModelProto], object]) -> None:
    """Edit a net, and what model.json says of its file."""
    model = pb.ModelProto.FromString((folder / name).read_bytes())
    edit(model)
    data = model.SerializeToString()
    (folder / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    change(folder, lambda value: value["nets"][name].update(bytes=len(data), sha256=digest))


def put(path: str, value: Any) -> Edit:
    """Set a field: "resize.kind", "anchors.0.sizes"."""

    def edit(document: dict[str, Any]) -> None:
        *before, last = path.split(".")
        place: Any = document["definition"]
        for part in before:
            place = place[int(part) if part.isdigit() else part]
        place[int(last) if last.isdigit() else last] = value

    return edit


HUGE = 10**400


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (put("class_count", "6"), "says \"6\" for 'definition.class_count', which must be a whole number"),
        (put("class_count", 6.0), "says 6.0 for 'definition.class_count', which must be a whole number"),
        (put("class_count", True), "says true for 'definition.class_count'"),
        (put("class_count", 1 << 60), "for 'definition.class_count', which must be a whole number"),
        (put("class_count", 5), "labels.*ids from 1 to 5"),
        (put("class_count", 7), "has a box head that puts out"),
        (put("logit_factor", HUGE), "'definition.logit_factor', which must be a finite number"),
        (put("whole_pixels", 0), "says 0 for 'definition.whole_pixels', which must be true or false"),
        (put("resize.kind", "stretch"), "'definition.resize.kind', which must be one of keep_aspect, at_least"),
        (put("resize.min_dimension", 60000), "resizes images to 60000 pixels on a side"),
        (put("resize.pad_to_max", True), None),
        (put("resize.pad_value", [1, 2]), "not one for each channel"),
        (put("resize.extra", 1), "has a field 'definition.resize.extra' that is not known"),
        (put("anchors", []), "has anchors on 0 levels"),
        (put("anchors.0.stride", [8]), "'definition.anchors\\[0\\].stride', which must be a list of 2"),
        (put("anchors.0.sizes.3.1", "big"), "'definition.anchors\\[0\\].sizes\\[3\\]\\[1\\]', which must be a number"),
        (put("anchors.0.sizes", [[1.0, 1.0]] * 5000), "a list of 5000 in 'definition.anchors\\[0\\].sizes'"),
        (put("anchors.0", 5), "says 5 for 'definition.anchors\\[0\\]', which must be an object"),
        (put("pixels.0.operand", []), "has 0 numbers for the channels of a pixel"),
        (put("pixels", [{"op": "mul", "operand": [1]}] * 17), "has 17 steps for its pixels"),
        (put("proposal_nms.iou_threshold", None), "says null for 'definition.proposal_nms.iou_threshold'"),
        (put("detection_nms.max_total", 0), "keeps up to 0 detections"),
        (put("crop.pooled", 0), "pools crops of .* samples by 0"),
        (put("crop.pooled", 3), "pools crops of .* samples by 3"),
        (put("crop.method", "roi_align"), "crops regions from 1 maps but has the scales of 0"),
        (put("crop.size", [5000, 14]), "crops regions of 5000x14 samples"),
        (
            put("mask.crop.pyramid", {"levels": 9, "canonical_level": 2, "canonical_size": 224, "rounding": "floor"}),
            "lacks the field 'definition.mask.crop.pyramid.nudge'",
        ),
        (
            put(
                "mask.crop.pyramid",
                {"levels": 9, "canonical_level": 2, "canonical_size": 224, "rounding": "floor", "nudge": 0},
            ),
            "has a backbone whose feature maps do not fit together",
        ),
        (put("mask.interleaved", 0), "in 0x0 blocks"),
        (put("mask.size", [56, 56]), "has a mask head that puts out"),
        (put("mask", None), "has a 'definition.mask' without mask_head.onnx among its 'nets', or the reverse"),
        (put("family", "x" * 3000), "'definition.family', which must be a text of at most 2000 characters"),
        (lambda value: value.update(definition=[]), "says a list of 0 for 'definition', which must be an object"),
        (lambda value: value["definition"].pop("resize"), "lacks the field 'definition.resize'"),
        (lambda value: value.update(schema_version=2), "has the schema_version 2, and 1 is known here: update"),
        (lambda value: value.update(labels={"0": "background"}), "says \"0\" for 'labels'"),
        (lambda value: value.update(labels={"1": 5}), "says 5 for 'labels.1'"),
        (lambda value: value["nets"].update({"../../etc/passwd": {}}), "has a field 'nets.../../etc/passwd'"),
        (lambda value: value["nets"]["backbone.onnx"].update(path="/etc/passwd"), "'nets.backbone.onnx.path'"),
        (lambda value: value["nets"]["backbone.onnx"].update(sha256="?"), "64 hexadecimal digits"),
        (lambda value: value["nets"]["backbone.onnx"].update(bytes=5), "backbone.onnx is not the file that"),
        (lambda value: value["nets"].pop("box_head.onnx"), "lacks the field 'nets.box_head.onnx'"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, edit: Edit, match: str | None) -> None:
    change(folder, edit)
    if match is None:
        open_model(folder)
        return
    with pytest.raises(ModelFileError, match=match) as refusal:
        open_model(folder)
    assert str(folder) in str(refusal.value)


def test_padding_that_no_image_fits_into_is_refused(folder: Path) -> None:
    change(folder, put("resize", {**json.loads((folder / "model.json").read_text())["definition"]["resize"]}))
    change(folder, put("resize.pad_to_max", True))
    change(folder, put("resize.kind", "at_least"))
    with pytest.raises(ModelFileError, match="pads images to a square that they may not fit into"):
        open_model(folder)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"format": "mrcnn-cv model", "schema_version": 1', "is not valid JSON"),
        ('{"format": "mrcnn-cv model", "schema_version": NaN}', "NaN is no number of JSON"),
        ('{"format": "mrcnn-cv model", "a": 1, "a": 1}', "a name is there twice in one object"),
        ('{"format": "mrcnn-cv model", "a": ' + "[" * 100_000, "is not valid JSON"),
        ('{"format": "mrcnn-cv model", "schema_version": ' + "9" * 6000 + "}", "is not valid JSON|a huge number"),
        ('[{"format": "mrcnn-cv model"}]', "its 'format' is not"),
        ('{"format": "mrcnn-cv model", "schema_version": 1, "a": "\ud800"}', "is not valid JSON"),
    ],
)
def test_what_is_no_document(folder: Path, text: str, match: str) -> None:
    (folder / "model.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ModelFileError, match=match):
        open_model(folder / "model.json")


def test_a_document_is_no_larger_than_it_may_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition_json, "MAX_BYTES", 100)
    with pytest.raises(ModelFileError):
        open_model(folder / "model.json")
    with pytest.raises(ModelFileError, match="where at most 100 are possible"):
        definition_json.parse_document((folder / "model.json").read_bytes())


def test_json_of_others_is_not_taken_for_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"layers": []}', encoding="utf-8")
    with pytest.raises(ModelFileError, match="holds no frozen_inference_graph"):
        open_model(tmp_path)
    with pytest.raises(ModelFileError, match="is a text file"):
        open_model(tmp_path / "model.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.json")
    with pytest.raises(ModelFileError, match="holds no frozen_inference_graph"):
        open_model(tmp_path)


def test_a_net_that_is_gone_is_named(folder: Path) -> None:
    (folder / "box_head.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"there is no .*box_head\.onnx, which belongs to the model"):
        open_model(folder)


def test_a_net_alone_is_no_model(exported: Path) -> None:
    with pytest.raises(ModelFileError, match="is one net of a model that mrcnn-cv has exported: name the folder"):
        open_model(exported / "backbone.onnx")


def test_a_config_cannot_be_given_with_it(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelFileError, match="no config can be given with it"):
        open_model(exported, tmp_path / "config.json")


def of_input(shape: list[int]) -> Callable[[pb.ModelProto], None]:
    def edit(model: pb.ModelProto) -> None:
        dims = model.graph.input[0].type.tensor_type.shape.dim
        del dims[:]
        for side in shape:
            dims.add(dim_value=side)

    return edit


def outside(model: pb.ModelProto) -> None:
    """Weights in another file, of which a stranger names the path."""
    tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = pb.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


@pytest.mark.parametrize(
    ("name", "edit", "match"),
    [
        ("backbone.onnx", lambda model: setattr(model.graph.input[0], "name", "picture"), "missing|one input 'image'"),
        ("backbone.onnx", lambda model: model.graph.output.pop(), "region proposal network|outputs"),
        ("box_head.onnx", lambda model: model.graph.output.pop(), "has 1 outputs, which do not belong"),
        ("box_head.onnx", lambda model: model.graph.output.add(name="class_logits"), "has 3 outputs"),
        ("box_head.onnx", of_input([1, 1 << 40, 1, 1]), "of a shape that cannot be"),
        ("box_head.onnx", of_input([1, 2, 3]), "of a shape that cannot be"),
        ("box_head.onnx", of_input([1, 8, 7, 7]), "takes 64 channels but is given 8"),
        ("mask_head.onnx", of_input([]), "of a shape that cannot be"),
        ("mask_head.onnx", outside, "in another file, which is not supported"),
        ("mask_head.onnx", lambda model: model.graph.node.pop(), "mask_head.onnx "),
    ],
)
def test_nets_that_do_not_belong_to_the_numbers(
    folder: Path, name: str, edit: Callable[[pb.ModelProto], object], match: str
) -> None:
    change_net(folder, name, edit)
    with pytest.raises(ModelFileError, match=match):
        open_model(folder)


def test_names_of_classes_are_cleaned(folder: Path) -> None:
    change(folder, lambda value: value.update(labels={"1": "a\x1b[31mb\n c", "2": "\u202e"}))
    assert definition_json.read_document(folder / "model.json").labels == {1: "ab c"}
