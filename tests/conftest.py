"""Graphs for all tests: the tiny ones that lie here, unpacked once, and the full-size ones when they are at hand."""

from __future__ import annotations

import lzma
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

from mrcnn_cv import MaskRCNN
from tests.cli.conftest import program as program
from tests.cli.conftest import run as run
from tests.cli.conftest import start as start
from tests.cli.fork_server import IS_POSSIBLE, ForkServer
from tests.support.parity import Golden, Image

# The same examples at every run: a change is not refused for what an older one left broken.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")

SECONDS = {"browser": 600, "formats": 900, "golden": 1800, "fuzz": 3600, "long": 7200}
"""What a test of a marked suite may take; of the fast suite: pyproject.toml."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of marked suites their limits."""
    for item in items:
        limits = [seconds for name, seconds in SECONDS.items() if item.get_closest_marker(name)]
        if limits and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(max(limits)))


ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder per tiny model: frozen_inference_graph.pb and pipeline.config."""
    return _unpack(DATA, tmp_path_factory.mktemp("graphs"))


@pytest.fixture(scope="session")
def golden_graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for the full-size models in the folder that MRCNN_CV_GOLDEN names."""
    root = golden_root()
    assert root is not None, "set MRCNN_CV_GOLDEN to the folder with the full-size graphs"
    return _unpack(root, tmp_path_factory.mktemp("golden"))


def _unpack(source: Path, target: Path) -> Path:
    for packed in source.glob("*/frozen_inference_graph.pb.xz"):
        folder = target / packed.parent.name
        folder.mkdir()
        (folder / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
        shutil.copy(packed.parent / "pipeline.config", folder)
    return target


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer | None]:
    """Starts the program faster than a shell does; None where there is no such thing."""
    server = ForkServer() if IS_POSSIBLE else None
    yield server
    if server is not None:
        server.close()


@pytest.fixture(scope="session")
def tiny_graph(graphs: Path) -> Path:
    """The frozen graph of the tiny Mask R-CNN."""
    return graphs / "tiny_mask_rcnn" / "frozen_inference_graph.pb"


@pytest.fixture(scope="session")
def tiny_model(tiny_graph: Path) -> MaskRCNN:
    """The tiny Mask R-CNN, loaded on the CPU."""
    return MaskRCNN.load(tiny_graph, backend="cpu")


@pytest.fixture(scope="session")
def photo_path() -> Path:
    """A photo of 240 x 160 pixels on which the tiny models find something."""
    return DATA / "images" / "coffee.png"


@pytest.fixture(scope="session")
def photo(photo_path: Path) -> Image:
    """That photo, BGR."""
    return read_image(photo_path)


def read_image(path: Path) -> Image:
    """(H, W, 3) uint8 BGR."""
    image = cv2.imread(str(path))
    assert image is not None, path
    return np.asarray(image, dtype=np.uint8)


def tiny_cases() -> list[str]:
    """`model/photo` for every answer of TensorFlow that lies here beside its graph."""
    graphs = {path.parent for path in DATA.glob("*/frozen_inference_graph.pb.xz")}
    return sorted(f"{path.parent.name}/{path.stem}" for path in DATA.glob("*/*.npz") if path.parent in graphs)


def golden_root() -> Path | None:
    """The folder with the full-size graphs: MRCNN_CV_GOLDEN."""
    folder = os.environ.get("MRCNN_CV_GOLDEN")
    return Path(folder) if folder else None


def load_golden(root: Path, case: str) -> Golden:
    """TensorFlow's answer for `model/photo`."""
    model, photo = case.split("/")
    with np.load(root / model / f"{photo}.npz") as arrays:
        return Golden(image=read_image(root / "images" / f"{photo}.png"), arrays=dict(arrays))
