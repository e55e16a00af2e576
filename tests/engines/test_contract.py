"""What every backend promises, whichever engine it is of: one suite over all that work here."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mrcnn_cv.engines import select
from mrcnn_cv.engines.base import Backend, Net
from mrcnn_cv.engines.registry import BACKENDS, ENGINES, engine_of
from mrcnn_cv.errors import BackendError, ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.util.opencv import cv2
from tests.graph import reference
from tests.graph.nets import Case, cases, settled

CASES = {case.name: settled(case) for case in cases()}
WORKING = [name for name in BACKENDS if select.probe(name).problem is None]
FULL_PRECISION = [name for name in WORKING if not name.endswith(("bf16", "fp16"))]

HAS_IMPORTER = hasattr(cv2.dnn, "readNetFromTensorflow")
"""OpenCV 4.10 to 5.0 has one that knows only what TensorFlow's models of its time had."""

UNREAD = {"conv_dilated", "flatten"}

image = np.random.default_rng(3).normal(size=(1, 3, 8, 8)).astype(np.float32)


@pytest.fixture(params=WORKING)
def net(request: pytest.FixtureRequest) -> Net:
    """A tiny net on each backend."""
    return select.probe(request.param).build(select.tiny_net())


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_has_a_backend_and_a_title(name: str) -> None:
    mine = [backend for backend in BACKENDS.values() if backend.engine == name]
    assert mine
    assert engine_of(mine[0]).title


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=lambda backend: backend.name)
def test_a_backend_that_does_not_work_says_why_and_what_to_do(backend: Backend) -> None:
    found = select.probe(backend.name)
    if found.problem is None:
        assert found.device
    else:
        assert backend.remedy
        with pytest.raises(BackendError, match=f"the backend {backend.name} cannot run here: .+; what works here: "):
            select.choose(backend.name)


@pytest.mark.parametrize("case", CASES.values(), ids=str)
@pytest.mark.parametrize("name", FULL_PRECISION)
def test_numbers_are_those_of_the_layers_for_one_size_after_the_other(name: str, case: Case) -> None:
    if BACKENDS[name].engine == "opencv" and HAS_IMPORTER and case.name in UNREAD:
        with pytest.raises(ModelFileError, match="which OpenCV's importer cannot read"):
            select.make_net(case.net, BACKENDS[name])
        return
    net = select.make_net(case.net, BACKENDS[name])
    for inputs in case.inputs():
        for found, expected in zip(net.run(inputs), reference.run(case.net, inputs), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, atol=2e-4, rtol=2e-4)


def test_it_claims_nothing_before_it_has_run(net: Net) -> None:
    assert net.devices() == set()
    net.run({ir.IMAGE: image})
    assert net.devices() <= set(WORKING)
    assert net.devices()


def test_results_are_the_callers(net: Net) -> None:
    (first,) = net.run({ir.IMAGE: image})
    before = first.copy()
    net.run({ir.IMAGE: 2 * image})
    np.testing.assert_array_equal(first, before)
    first[:] = 0
    np.testing.assert_array_equal(net.run({ir.IMAGE: image})[0], before)


def test_inputs_stay_as_they_are(net: Net) -> None:
    given = image.copy()
    net.run({ir.IMAGE: given})
    np.testing.assert_array_equal(given, image)


def test_maps_of_other_channels_are_an_error(net: Net) -> None:
    with pytest.raises(BackendError):
        net.run({ir.IMAGE: np.ones((1, 2, 8, 8), np.float32)})


@pytest.mark.parametrize("name", FULL_PRECISION)
def test_a_pickled_net_gives_the_same(name: str) -> None:
    case = CASES["backbone"]
    again = pickle.loads(pickle.dumps(case.net))
    inputs = next(iter(case.inputs()))
    first, second = (select.make_net(each, BACKENDS[name]).run(inputs) for each in (case.net, again))
    for found, expected in zip(second, first, strict=True):
        np.testing.assert_array_equal(found, expected)
