"""An image and what was found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import BackendUse, Instances

MakeFrame = Callable[..., Frame]
LittleRoom = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def make_frame() -> MakeFrame:
    """A frame of a file, given its path."""

    def make(path: str | Path, index: int = 0, height: int = 40, width: int = 60) -> Frame:
        image = np.full((height, width, 3), 90, dtype=np.uint8)
        return Frame(image, str(path), index, path=Path(path))

    return make


@pytest.fixture
def found() -> Instances:
    """Two instances in an image of 60 x 40, one of them with a name outside of ASCII."""
    rng = np.random.default_rng(1)
    return Instances(
        boxes=np.array([[3.5, 2.25, 30.0, 35.5], [20.0, 10.0, 59.9, 39.0]], dtype=np.float32),
        scores=np.array([0.9, 0.6], dtype=np.float32),
        class_ids=np.array([1, 18], dtype=np.int32),
        labels=["person", "犬"],
        mask_probabilities=rng.random((2, 15, 15), dtype=np.float32),
        image_size=(40, 60),
        source="photo.jpg",
        model="frozen_inference_graph.pb",
        backend=BackendUse("auto", "cpu", "a processor"),
        timings_ms={"read": 1.5, "trunk": 20.0},
    )


@pytest.fixture
def little_room() -> LittleRoom:
    """No file may grow beyond so many bytes inside of the block: writes are cut, then fail, as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
