"""The wheel and the source archive: what is in them, that nothing else is, and that a second build gives the same."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.conftest import ROOT

WHEEL = (
    r"mrcnn_cv/([a-z0-9_]+/)*[a-z0-9_]+\.py",
    r"mrcnn_cv/py\.typed",
    r"mrcnn_cv/graph/protos/[a-z_0-9]+\.(proto|pyi)",
    r"mrcnn_cv/fonts/(LICENSES|sans\.npz|unifont\.npz)",
    r"mrcnn_cv/schemas/(record|model)\.schema\.json",
    r"mrcnn_cv/outputs/viewers/page/page\.(html|css|js)",
    r"mrcnn_cv/models/zoo\.toml",
    r"mrcnn_cv/models/demo/(MODEL_CARD\.md|frozen_inference_graph\.pb|label_map\.pbtxt|pipeline\.config)",
    r"mrcnn_cv-[0-9.]+\.dist-info/(METADATA|RECORD|WHEEL|entry_points\.txt)",
    r"mrcnn_cv-[0-9.]+\.dist-info/licenses/(LICENSE|mrcnn_cv/fonts/LICENSES)",
)
"""Patterns of names. Each must be there, and nothing else may be."""

SOURCES = (
    r"(mrcnn_cv|models|examples|scripts|tests|docs)/.+",
    r"README\.md",
    r"CHANGELOG\.md",
    r"CONTRIBUTING\.md",
    r"LICENSE",
    r"PKG-INFO",
    r"pyproject\.toml",
    r"\.gitignore",
)
MOST_BYTES = {".whl": 6_000_000, ".gz": 14_000_000}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(wheel, source archive) of this tree."""
    folder = tmp_path_factory.mktemp("built")
    build(ROOT, folder)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def build(source: Path, folder: Path, *targets: str) -> None:
    """Without a network and without an environment of its own, so hatchling must be installed here."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *targets]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def names(archive: Path) -> list[str]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            return file.namelist()
    with tarfile.open(archive) as file:
        assert all(member.isfile() for member in file)
        return [member.name.partition("/")[2] for member in file]


def test_nothing_is_missing_and_nothing_is_there_that_nobody_expects(built: tuple[Path, Path]) -> None:
    for archive, patterns in zip(built, (WHEEL, SOURCES), strict=True):
        found = names(archive)
        assert [name for name in found if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
        assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in found)] == []
        assert len(found) == len(set(found))
        assert archive.stat().st_size < MOST_BYTES[archive.suffix]


def test_all_code_is_in_the_wheel(built: tuple[Path, Path]) -> None:
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mrcnn_cv").rglob("*.py*") if path.suffix != ".pyc"}
    assert code <= set(names(built[0]))


def test_a_build_of_the_source_archive_gives_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Byte for byte, so anybody can check that a wheel was made of these sources."""
    wheel, sources = built
    subprocess.run(["tar", "xzf", str(sources), "-C", str(tmp_path)], check=True)
    build(next(tmp_path.iterdir()), tmp_path / "again", "-t", "wheel")
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


def test_what_the_metadata_say(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as file:
        name = next(name for name in file.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(file.read(name).decode("utf-8"))
    assert metadata["License-Expression"] == "Apache-2.0 AND OFL-1.1"
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    # Each one more is one more that has to be trusted.
    assert {re.split(r"[<>=;! ]", line)[0] for line in needed} == {
        *("click", "numpy", "opencv-python", "platformdirs", "protobuf", "pyyaml", "threadpoolctl", "tomli", "tqdm")
    }
    assert all(">=" in line for line in needed)
