"""What every family of models promises: one suite over all rows of the registry."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile, Family
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.importers.registry import FAMILIES
from mrcnn_cv.jobs.export import export
from mrcnn_cv.model.validate import check_model
from tests.support.checkpoints import write_torch_zip
from tests.support.state_dicts import detectron2_weights, read_packed, state_dict

DATA = Path(__file__).parents[1] / "data"

PACKED = {
    "detectron2": "detectron2/r50.onnx.xz",
    "torchvision": "torchvision/mask_rcnn.onnx.xz",
    "matterport": "matterport/plain.pb.xz",
    "object-detection-api": "tiny_mask_rcnn/frozen_inference_graph.pb.xz",
}

NOT_MODELS = {
    "empty": b"",
    "noise": bytes(range(128, 256)) * 9,
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "text": b"node { op: 'CropAndResize' }",
    "json": b'{"format": "another", "nets": [[[[',
    "nested json": b"[" * 100_000,
    "photo": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "packed": b"\x1f\x8b\x08\x00",
    "nested messages": b"\x0a\xff\xff\xff\x0f" * 2000,
    "onnx of nothing": b"\x08\x07\x12\x07pytorch",
}

SUFFIXES = (".pb", ".onnx", ".json", "")


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each family."""
    folder = tmp_path_factory.mktemp("families")
    paths = {name: folder / Path(packed).stem for name, packed in PACKED.items()}
    for name, path in paths.items():
        path.write_bytes(lzma.decompress((DATA / PACKED[name]).read_bytes()))
    export(paths["torchvision"], folder / "exported")
    weights = state_dict(read_packed(DATA / PACKED["torchvision"]), 1e-5)
    return {
        **paths,
        "exported": folder / "exported" / "model.json",
        "torchvision-weights": write_torch_zip(folder / "weights.pth", weights),
        "detectron2-weights": write_torch_zip(folder / "model_final.pth", detectron2_weights("r50")),
    }


def family(name: str) -> Family:
    made: Family = FAMILIES.create(name)
    return made


def test_every_family_has_a_sample_here(samples: dict[str, Path]) -> None:
    assert set(samples) == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_the_first_to_detect_its_models_and_loads_them(name: str, samples: dict[str, Path]) -> None:
    file = CandidateFile(samples[name])
    first = next(each for each in FAMILIES if family(each).detect(file))
    assert first == name
    spec = family(name).load(file, None)
    check_model(spec)
    assert spec.trunk.source is not None
    found = open_model(samples[name])
    assert found.path == samples[name]
    assert found.definition.family == spec.family
    assert found.definition.class_count == spec.class_count


@pytest.mark.parametrize("name", FAMILIES)
def test_what_it_detects_has_nothing_to_do_with_the_files_name(
    name: str, samples: dict[str, Path], tmp_path: Path
) -> None:
    if name == "exported":
        pytest.skip("its nets lie beside it")
    path = tmp_path / "no suffix"
    path.write_bytes(samples[name].read_bytes())
    assert family(name).detect(CandidateFile(path))


@pytest.mark.parametrize("content", NOT_MODELS.values(), ids=NOT_MODELS)
@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_no_model_is_not_its_own(name: str, content: bytes, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"model{suffix}"
        path.write_bytes(content)
        assert family(name).detect(CandidateFile(path)) is False


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_cut_short_is_refused_in_a_sentence_or_whole_enough(
    name: str, samples: dict[str, Path], tmp_path: Path
) -> None:
    data = samples[name].read_bytes()
    told: list[str] = []
    for part in (0.02, 0.3, 0.7, 0.999):
        path = tmp_path / samples[name].name
        path.write_bytes(data[: int(part * len(data))])
        file = CandidateFile(path)
        detected = family(name).detect(file)
        assert isinstance(detected, bool)
        try:
            open_model(path)
        except ModelFileError as error:
            told.append(str(error))
    assert told
    assert all(str(path) in text and "\n" not in text for text in told)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_of_any_size_is_looked_at_in_no_time(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"large{suffix}"
    with path.open("wb") as file:
        file.write(b"\x08\x07\x12\x07pytorch" if suffix == ".onnx" else b"\x0a")
        os.truncate(path, 1 << 36)
    start = time.process_time()
    assert family(name).detect(CandidateFile(path)) is False
    assert time.process_time() - start < 2


def test_none_imports_its_reader_before_it_is_needed(tmp_path: Path) -> None:
    """A family that a file cannot be of costs next to nothing."""
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff" + bytes(600))
    (tmp_path / "text.pb").write_bytes(b"hello")
    code = (
        "import sys; from pathlib import Path\n"
        "from mrcnn_cv.importers.base import CandidateFile\nfrom mrcnn_cv.importers.registry import FAMILIES\n"
        f"file = CandidateFile(Path({str(tmp_path / 'text.pb')!r}))\n"
        "print([FAMILIES.create(name).detect(file) for name in FAMILIES])\n"
        "print(sorted({'google.protobuf', 'yaml', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{[False] * len(FAMILIES)}\n[]\n"
