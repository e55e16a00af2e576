"""One model that several threads use at the same time: all get what one alone gets, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

from mrcnn_cv import Instances, MaskRCNN
from mrcnn_cv.hub import demo_model
from mrcnn_cv.util.opencv import cv2
from tests.conftest import ROOT

BACKENDS = [
    "cpu",
    *(
        pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed"))
        for name in ("openvino", "onnxruntime")
    ),
]


@pytest.fixture(params=BACKENDS)
def model(request: pytest.FixtureRequest) -> MaskRCNN:
    return MaskRCNN.load(demo_model(), backend=request.param)


@pytest.mark.parametrize("threads", [2, pytest.param(8, marks=pytest.mark.long)])
def test_answers_are_those_of_one_thread(model: MaskRCNN, threads: int) -> None:
    photo = np.asarray(cv2.imread(str(ROOT / "examples" / "shapes.jpg")))
    # Of several sizes, and each with instances of its own.
    images = [np.ascontiguousarray(each) for each in (photo, photo[:, ::-1], photo[::-1], photo[:200], photo[:, :300])]
    expected = [model.predict(image) for image in images]
    assert len(expected[0]) > 3
    numbers = [number % len(images) for number in range(2 * threads)]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda number: model.predict(images[number]), numbers))
    assert all(_same(one, expected[number]) for one, number in zip(found, numbers, strict=True))


def test_the_first_predictions_may_come_at_once(model: MaskRCNN) -> None:
    """When nothing is set up yet."""
    photo = np.asarray(cv2.imread(str(ROOT / "examples" / "shapes.jpg")))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.predict(photo), range(4)))
    assert len(found[0]) > 3
    assert all(_same(one, found[0]) for one in found)
    assert all(one.backend == found[0].backend for one in found)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_is_forked_meanwhile_goes_on() -> None:
    """Whose turn it was stays behind."""
    code = """
import os, signal, threading, time
import numpy as np
from mrcnn_cv import MaskRCNN
from mrcnn_cv.hub import demo_model

model = MaskRCNN.load(demo_model(), backend="cpu", threads=1)
image = np.zeros((100, 120, 3), np.uint8)
model.predict(image)
done = threading.Event()

def work():
    while not done.is_set():
        model.predict(image)

thread = threading.Thread(target=work)
thread.start()
codes = []
for _ in range(6):
    time.sleep(0.01)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        model.predict(image)
        os._exit(0)
    codes.append(os.waitpid(child, 0)[1])
done.set()
thread.join()
assert codes == [0] * 6, codes
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr


def _same(one: Instances, other: Instances) -> bool:
    assert one.mask_probabilities is not None
    assert other.mask_probabilities is not None
    return (
        np.array_equal(one.boxes, other.boxes)
        and np.array_equal(one.scores, other.scores)
        and np.array_equal(one.class_ids, other.class_ids)
        and np.array_equal(one.mask_probabilities, other.mask_probabilities)
    )
