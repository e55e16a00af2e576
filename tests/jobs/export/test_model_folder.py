"""A model as ONNX nets and JSON: it is the same model when it is read again, and what its page says of it is so."""

from __future__ import annotations

import json
import lzma
import re
import shutil
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import ModelFileError, OutputError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.export.names import with_output_names
from mrcnn_cv.graph.export.onnx import write_onnx
from mrcnn_cv.hub.registry import demo_model
from mrcnn_cv.importers import load
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.jobs import inspect
from mrcnn_cv.jobs.export import export
from mrcnn_cv.jobs.export import model_folder as module
from mrcnn_cv.model import definition as definitions
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.definition_json import NET_FILES, json_key
from tests.conftest import DATA, ROOT, read_image
from tests.support.parity import Image
from tests.support.rows import sampled

SCHEMA = json.loads((resources.files("mrcnn_cv") / "schemas" / "model.schema.json").read_text(encoding="utf-8"))
ALL_FILES = {"backbone.onnx", "box_head.onnx", "mask_head.onnx", "model.json", "README.md"}
MODELS = {
    **{path.parent.name: (path, None) for path in sorted(DATA.glob("*/frozen_inference_graph.pb.xz"))},
    **{path.stem: (path, None) for path in sorted((DATA / "torchvision").glob("*.xz")) if "fixed_s" not in path.stem},
    **{
        path.stem: (path.parent / f"{path.stem.split('_')[0]}.pb.xz", path)
        for path in sorted((DATA / "matterport").glob("*.json"))
    },
    **{
        path.stem: (path.parent / f"{path.stem.rpartition('-')[0]}.onnx.xz", path)
        for path in sorted((DATA / "detectron2").glob("*-coffee.yaml"))
    },
}
"""Of every family the small models, each with its config."""
QUICK = {
    "tiny_faster_rcnn",
    "tiny_mask_rcnn",
    "tiny_options",
    "mask_rcnn.onnx",
    "faster_rcnn_mobilenet.onnx",
    "plain_pad64",
    "r50-coffee",
}


def unpacked(name: str, folder: Path) -> tuple[Path, Path | None]:
    """(the model, its config)."""
    packed, config = MODELS[name]
    path = folder / packed.stem
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    if (packed.parent / "pipeline.config").exists():
        shutil.copy(packed.parent / "pipeline.config", folder)
    return path, config


def numbers(definition: ModelDefinition) -> dict[str, Any]:
    """All of a definition but its nets."""
    return {field.name: getattr(definition, field.name) for field in fields(definition) if field.name not in NET_FILES}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, exported."""
    return export(demo_model(), tmp_path_factory.mktemp("demo") / "exported").folder


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in MODELS]
)
def test_every_number_comes_back(name: str, tmp_path: Path) -> None:
    model, config = unpacked(name, tmp_path)
    folder = export(model, tmp_path / "out", config).folder
    first, again = open_model(model, config).definition, open_model(folder).definition
    assert numbers(again) == numbers(first)
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    expect_fields((folder / "README.md").read_text(encoding="utf-8"), document)


def expect_fields(page: str, document: dict[str, Any]) -> None:
    """What the page calls a field is one."""
    known = {"scales", "clip_to_image", "max_growth", "image", "crops", "model.json", "MaskRCNN.load"}
    known.add("mrcnn_cv/schemas/model.schema.json")
    named = set(re.findall("`([^`]+)`", page))
    assert len(named - known) >= 7
    for path in named - known:
        place = document if path == "labels" else document["definition"]
        for part in path.split("."):
            place = place[part]


@pytest.mark.parametrize(
    "name", sampled(["tiny_mask_rcnn_agnostic", "tiny_options", "plain_pad64", "mask_rcnn.onnx", "r50-coffee"], 3)
)
def test_the_answer_is_the_same(name: str, tmp_path: Path, photo: Image) -> None:
    model, config = unpacked(name, tmp_path)
    folder = export(model, tmp_path / "out", config).folder
    first = MaskRCNN.load(model, "cpu", pipeline_config=config).predict(photo, score_threshold=None)
    again = MaskRCNN.load(folder, "cpu").predict(photo, score_threshold=None)
    assert len(first) > 3
    assert again.labels == first.labels
    np.testing.assert_allclose(again.boxes, first.boxes, atol=1e-4)
    np.testing.assert_allclose(again.scores, first.scores, atol=1e-6)
    assert first.mask_probabilities is not None
    assert again.mask_probabilities is not None
    np.testing.assert_allclose(again.mask_probabilities, first.mask_probabilities, atol=1e-6)


def test_the_demo_model_has_its_labels(demo: Path) -> None:
    picture = read_image(ROOT / "examples" / "shapes.jpg")
    first, again = MaskRCNN.load(demo_model(), "cpu"), MaskRCNN.load(demo, "cpu")
    assert again.labels == first.labels
    assert again.warnings == first.warnings
    found = again.predict(picture)
    assert found.labels == first.predict(picture).labels
    assert len(set(found.labels)) > 3


def test_what_is_exported_again_is_the_same_byte_for_byte(demo: Path, tmp_path: Path) -> None:
    export(demo, tmp_path / "again")
    for name in ALL_FILES:
        assert (tmp_path / "again" / name).read_bytes() == (demo / name).read_bytes()


def test_a_model_without_masks_has_no_mask_head(graphs: Path, tmp_path: Path) -> None:
    done = export(graphs / "tiny_faster_rcnn", tmp_path / "out")
    assert {path.name for path, _ in done.files} == ALL_FILES - {"mask_head.onnx"}
    assert all(path.stat().st_size == size for path, size in done.files)
    assert "There is no mask head" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_given_labels_are_those_of_the_export(tiny_graph: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cup\nspoon\nplate\n", encoding="utf-8")
    export(tiny_graph, tmp_path / "out", labels=tmp_path / "names.txt")
    assert MaskRCNN.load(tmp_path / "out", "cpu").labels == {1: "cup", 2: "spoon", 3: "plate"}


def test_a_look_inside_says_the_same(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which engines run it is not asked here.
    monkeypatch.setattr("mrcnn_cv.jobs.inspect_model.check_nets", lambda definition: ())
    first, again = inspect(demo_model()).to_dict(), inspect(demo).to_dict()
    assert again["file"]["bytes"] == sum((demo / name).stat().st_size for name in ALL_FILES - {"README.md"})
    for key in ("architecture", "backbone", "parameters", "classes", "resize", "anchors", "detections", "warnings"):
        assert again[key] == first[key]


def table(folder: Path) -> dict[tuple[str, str], str]:
    """(file, tensor) → its shape, as the page says."""
    rows = re.findall(r"^\| (\S+\.onnx) \| ([^|]+) \| ([^|]+) \|", (folder / "README.md").read_text("utf-8"), re.M)
    return {
        (file, name): shape
        for file, names, shapes in rows
        for name, shape in zip(names.split(", "), shapes.split(", "), strict=True)
    }


def size(shape: str, **sides: int) -> tuple[int, ...]:
    """The numbers of a shape on the page, for an input of H and W, or N regions."""
    found = []
    for part in shape.split(" x "):
        up = "ceil" in part
        letter, _, share = part.strip("ceil()").partition("/")
        side, divisor = sides.get(letter) or int(letter), int(share or 1)
        assert up or side % divisor == 0
        found.append(-(-side // divisor))
    return tuple(found)


@pytest.mark.parametrize("name", ["tiny_mask_rcnn", "plain_square", "mask_rcnn_v2.onnx", "r50-coffee"])
def test_onnx_runtime_gives_what_the_page_says(name: str, tmp_path: Path) -> None:
    """No net has an input or output that the page does not name, of no other shape, and they run."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model, config = unpacked(name, tmp_path)
    folder = export(model, tmp_path / "out", config).folder
    shapes = table(folder)
    seen = set()
    for file in sorted(folder.glob("*.onnx")):
        onnx.checker.check_model(str(file), full_check=True)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        (taken,) = session.get_inputs()
        outputs = [output.name for output in session.get_outputs()]
        seen |= {(file.name, each) for each in (taken.name, *outputs)}
        # (other sides than those of any image so far)
        sides = {"H": 160, "W": 224, "N": 3}
        given = np.random.default_rng(0).normal(size=size(shapes[file.name, taken.name], **sides)).astype(np.float32)
        for output, value in zip(outputs, session.run(None, {taken.name: given}), strict=True):
            assert value.shape == size(shapes[file.name, output], **sides)
            assert np.isfinite(value).all()
    assert seen == set(shapes)


def test_the_page_names_the_numbers_of_the_model(demo: Path) -> None:
    text = (demo / "README.md").read_text(encoding="utf-8")
    assert "360 / shorter side, or by 600 / longer side where that is less (in float32, rounded to the nearest" in text
    assert "pixel i of n lies at i * old / n of the image" in text
    assert "red, green, blue, then * (0.00784313772), then - (1)" in text
    assert "values from -1 to 1" in text
    assert "1 circle, 2 triangle" in text
    assert "6 classes" in text
    assert len(text.splitlines()) < 30


def test_the_schema_describes_every_field() -> None:
    kinds = ("ModelDefinition", "ResizeSpec", "NormalizationStep", "AnchorSpec", "BoxCoder", "NmsSpec", "CropSpec")
    for name in (*kinds, "PyramidSpec", "MaskSpec"):
        kind = getattr(definitions, name)
        described = SCHEMA["$defs"][{"NormalizationStep": "PixelStep"}.get(name, name)]
        wanted = {json_key(field) for field in get_type_hints(kind) if field not in NET_FILES}
        assert set(described["properties"]) == set(described["required"]) == wanted
        assert all(each["description"].endswith(".") for each in described["properties"].values())
        assert described["additionalProperties"] is False


# Folders.


def test_only_an_export_is_replaced_and_only_where_that_is_wanted(demo: Path, graphs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(demo, folder)
    before = (folder / "model.json").read_bytes()
    with pytest.raises(OutputError, match="choose another output folder, or allow overwriting"):
        export(graphs / "tiny_faster_rcnn", folder)
    assert (folder / "model.json").read_bytes() == before
    export(graphs / "tiny_faster_rcnn", folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == ALL_FILES - {"mask_head.onnx"}
    assert open_model(folder).definition.mask is None


@pytest.mark.parametrize("name", ["notes.txt", "README.md", "model.json", "backbone.onnx"])
def test_what_is_no_export_is_left_alone(demo: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=f"is not empty and no exported model \\(it holds {name}\\)"):
        export(demo, tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_export_with_a_file_of_the_user_in_it_is_left_alone(demo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(demo, folder)
    (folder / "my_app.cpp").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"it holds my_app\.cpp"):
        export(demo, folder, overwrite=True)


def test_an_empty_folder_will_do_and_leftovers_go(demo: Path, tmp_path: Path) -> None:
    (tmp_path / ".mrcnn-cv-0123456789ab.tmp").write_bytes(b"of an export that was killed")
    export(demo, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == ALL_FILES


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
        (OSError(28, "No space left on device"), OutputError, "the disk is full"),
    ],
)
@pytest.mark.parametrize("after", [1, 2])
def test_an_export_that_ends_early_leaves_nothing(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
    says: str,
    after: int,
) -> None:
    count = 0

    def fail(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise error
        write_onnx(*arguments)

    monkeypatch.setattr(module, "write_onnx", fail)
    with pytest.raises(raised, match=says):
        export(demo, tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []
    shutil.copytree(demo, tmp_path / "old")
    with pytest.raises(raised, match=says):
        export(demo, tmp_path / "old", overwrite=True)
    assert {path.name for path in (tmp_path / "old").iterdir()} == ALL_FILES
    count = -10
    open_model(tmp_path / "old")


def test_nets_of_two_exports_are_no_model(demo: Path, tmp_path: Path) -> None:
    """As an export leaves them that is killed while it replaces an earlier one."""
    folder = tmp_path / "out"
    shutil.copytree(demo, folder)
    data = bytearray((folder / "backbone.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "backbone.onnx").write_bytes(data)
    with pytest.raises(ModelFileError, match=r"backbone\.onnx is not the file that model\.json was written with"):
        open_model(folder)


def test_a_model_that_json_cannot_hold_is_refused(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_model(demo)
    spec = replace(opened.definition, exporter="x" * 5000)
    monkeypatch.setattr(module, "open_model", lambda *_: load.ModelFile(opened.path, spec))
    with pytest.raises(ModelFileError, match=r"cannot be exported, since its model\.json says .* for 'definition"):
        export(demo, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_outputs_get_their_names_and_nothing_else_has_them() -> None:
    layers = (ir.Relu("scores", ("image",)), ir.Relu("scores_", ("scores",)), ir.Sigmoid("end", ("scores_",)))
    net = with_output_names(ir.NetGraph(("image",), ("end", "scores_"), layers), ["scores", "boxes"])
    assert [(layer.name, layer.inputs) for layer in net] == [
        ("scores__", ("image",)),
        ("boxes", ("scores__",)),
        ("scores", ("boxes",)),
    ]
    for outputs in (("end", "end"), ("end", "image")):
        with pytest.raises(ModelFileError, match="puts out a map twice, or what it is given"):
            with_output_names(ir.NetGraph(("image",), outputs, layers), ["scores", "boxes"])
