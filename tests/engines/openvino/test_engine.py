"""The engine `openvino`: skipped where the package is not installed (extra: openvino).

Its numbers are tested by the suites of the families and layers, with MRCNN_CV_TEST_BACKEND=openvino.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.engines import select as backend
from mrcnn_cv.errors import BackendError, UsageError
from mrcnn_cv.structures.instances import BackendUse
from mrcnn_cv.util import memory
from mrcnn_cv.util.opencv import cv2
from tests.support.parity import Image

pytest.importorskip("openvino")

from mrcnn_cv.engines.openvino.net import NEW_SIZES

HAS_BF16 = backend.probe("openvino-bf16").problem is None


def test_it_runs_and_says_so(tiny_graph: Path, photo: Image) -> None:
    found = MaskRCNN.load(tiny_graph, backend="openvino").predict(photo)
    assert found.backend == BackendUse("openvino", "openvino", backend.probe("openvino").device)


def test_auto_prefers_it_to_opencvs_own(tiny_graph: Path) -> None:
    if backend.probe("cuda").problem is not None:
        assert MaskRCNN.load(tiny_graph).chosen_backend == "openvino"


def test_images_of_any_size_one_after_the_other(tiny_graph: Path, photo: Image) -> None:
    ours, reference = (MaskRCNN.load(tiny_graph, backend=name) for name in ("openvino", "cpu"))
    for image in (photo, photo[:100], photo[:, :50], photo):
        found, expected = (model.predict(image, score_threshold=0.05) for model in (ours, reference))
        np.testing.assert_allclose(found.scores, expected.scores, atol=2e-3)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)


def test_another_number_of_threads_is_taken_up(tiny_graph: Path, photo: Image) -> None:
    model, before = MaskRCNN.load(tiny_graph, backend="openvino"), cv2.getNumThreads()
    try:
        found = []
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            found.append(model.predict(photo, score_threshold=None))
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_allclose(found[0].scores, found[1].scores, atol=1e-4)


@pytest.mark.skipif(not HAS_BF16, reason="this processor does not compute with bf16 numbers")
def test_full_precision_unless_asked_otherwise(tiny_graph: Path, photo: Image) -> None:
    """Left to itself, OpenVINO takes bf16 where it can."""
    full, half, reference = (
        MaskRCNN.load(tiny_graph, backend=name).predict(photo, score_threshold=None).scores
        for name in ("openvino", "openvino-bf16", "cpu")
    )
    count = min(len(full), len(half), len(reference))
    differences = [np.abs(scores[:count] - reference[:count]).max() for scores in (full, half)]
    assert differences[0] < 1e-3 < differences[1]


@pytest.mark.parametrize("name", ["GPU", "npu", "TPU"])
def test_a_device_that_is_not_here_is_an_error_with_those_that_are(name: str) -> None:
    if name in str(backend.probe("openvino", name.upper()).device):
        pytest.skip(f"there is a {name} here")
    with pytest.raises(BackendError, match=rf"no device {name.upper()} here, but CPU"):
        backend.choose("openvino", name)


def test_a_device_asks_for_openvino() -> None:
    assert backend.choose("auto", "cpu").backend.name == "openvino"
    with pytest.raises(UsageError, match="a device goes with the backend openvino"):
        backend.choose("cpu", "CPU")


@pytest.mark.parametrize("name", ["AUTO", "auto:CPU", "HETERO:CPU", "MULTI"])
def test_a_device_that_stands_for_others_is_refused(name: str) -> None:
    with pytest.raises(BackendError, match="lets OpenVINO choose devices, so that nobody could say what ran: name one"):
        backend.choose("openvino", name)
    with pytest.raises(BackendError, match=rf"^the device {name} cannot be used here: "):
        backend.choose("auto", name)


def test_memory_goes_back_while_sizes_change(tiny_graph: Path, photo: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[None] = []
    monkeypatch.setattr(memory, "give_back", lambda: given.append(None))
    model = MaskRCNN.load(tiny_graph, backend="openvino")
    for width in range(60, 60 + 3 * NEW_SIZES):
        model.predict(photo[:, :width], score_threshold=None, max_instances=1)
    assert given


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="where it is looked up what a process takes")
def test_memory_does_not_grow_with_the_sizes_of_images() -> None:
    """A process that has seen 600 takes at most 1.3 times what it took after 50; OpenVINO's default makes it 1.6."""
    program = """
import random, sys
import numpy as np
from mrcnn_cv import MaskRCNN

model = MaskRCNN.load(sys.argv[1], backend="openvino")
chance = random.Random(0)
image = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
for count in range(1, 601):
    model.predict(image[: chance.randint(200, 640), : chance.randint(200, 640)])
    if count in (50, 600):
        with open("/proc/self/statm") as file:
            print(file.read().split()[1])
"""
    demo = Path(__file__).parents[3] / "models" / "demo" / "frozen_inference_graph.pb"
    done = subprocess.run([sys.executable, "-c", program, demo], check=True, capture_output=True, text=True)
    after_50, after_600 = map(int, done.stdout.split())
    assert after_600 < 1.3 * after_50
