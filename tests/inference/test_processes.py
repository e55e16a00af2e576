"""A model in other processes, forked or given to them: they get what this one gets, bit for bit."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import Instances, MaskRCNN
from mrcnn_cv.engines.select import probe, tiny_net
from mrcnn_cv.errors import BackendError, ModelFileError, UsageError
from mrcnn_cv.inference.nets import OneAtATime
from tests.support.parity import Image

BACKENDS = [
    "cpu",
    *(
        pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed"))
        for name in ("openvino", "onnxruntime")
    ),
]

forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")


def numbers(found: Instances) -> bytes:
    masks = found.mask_probabilities
    assert masks is not None
    return b"".join(
        np.ascontiguousarray(each).tobytes() for each in (found.boxes, found.scores, found.class_ids, masks)
    )


def predict(model: MaskRCNN, image: Image) -> bytes:
    """In a process that was spawned."""
    return numbers(model.predict(image, score_threshold=None))


@forks
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("has_run", [False, True])
def test_processes_that_are_forked(tiny_graph: Path, photo: Image, backend: str, has_run: bool) -> None:
    model = MaskRCNN.load(tiny_graph, backend=backend)
    if has_run:
        predict(model, photo)
    answers = []
    for _ in range(2):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os.write(writing, numbers(model.predict(photo, score_threshold=None))[:4096])
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            answers.append(file.read())
        assert os.waitpid(child, 0)[1] == 0
    assert answers == [predict(model, photo)[:4096]] * 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_processes_that_are_spawned(tiny_graph: Path, photo: Image, backend: str) -> None:
    model = MaskRCNN.load(tiny_graph, backend=backend)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(predict, (model, photo)) == predict(model, photo)


@forks
def test_a_fork_waits_for_a_net_that_runs() -> None:
    """So that none is half way through a run in the child."""
    begun, goes_on = threading.Event(), threading.Event()
    ended: list[str] = []

    class Slow:
        def run(self, inputs: object) -> list[object]:
            begun.set()
            goes_on.wait(60)
            ended.append("run")
            return []

    net = OneAtATime(Slow())  # type: ignore[arg-type]
    thread = threading.Thread(target=lambda: net.run({}))
    thread.start()
    begun.wait(60)
    threading.Timer(0.2, goes_on.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if ended == ["run"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    # And everybody may go on.
    net.run({})


@forks
def test_a_net_on_another_device_does_not_come_along() -> None:
    """Its driver knows nothing of the child: a sentence, instead of waiting for ever."""

    class OnDevice:
        survives_fork = False

        def run(self, inputs: object) -> list[object]:
            return []

    net = OneAtATime(OnDevice())  # type: ignore[arg-type]
    child = os.fork()
    if child == 0:
        try:
            net.run({})
        except BackendError as error:
            os._exit(0 if "load the model in this process" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert net.run({}) == []


def test_nets_know_whether_they_are_on_the_processor() -> None:
    for name, expected in (("openvino", True), ("onnxruntime", True), ("cpu", True)):
        found = probe(name)
        if found.problem is None:
            assert getattr(found.build(tiny_net()), "survives_fork", True) is expected


def test_a_model_pickles_with_what_it_was_loaded_with(
    tiny_graph: Path, photo: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the other process is in another folder."""
    (tmp_path / "names.txt").write_text("cup\nspoon\nplate\n")
    monkeypatch.chdir(tiny_graph.parent)
    labels = os.path.relpath(tmp_path / "names.txt")
    model = MaskRCNN.load(tiny_graph.name, backend="cpu", labels=labels, roi="pool", fast=True)
    data = pickle.dumps(model)
    assert len(data) < 2000
    monkeypatch.chdir(tmp_path)
    for other in (pickle.loads(data), copy.deepcopy(model)):
        assert other.labels == model.labels == {1: "cup", 2: "spoon", 3: "plate"}
        assert other.chosen_backend == "cpu"
        assert predict(other, photo) == predict(model, photo)
        assert other._nets is not model._nets


def test_a_model_whose_file_has_changed_is_not_taken_for_it(tiny_graph: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny_graph, tmp_path / "graph.pb"))
    data = pickle.dumps(MaskRCNN.load(path, backend="cpu"))
    os.utime(path, (1, 1))
    with pytest.raises(ModelFileError, match="is not the file any more that the model was loaded from"):
        pickle.loads(data)
    path.unlink()
    with pytest.raises(ModelFileError, match="cannot be opened"):
        pickle.loads(data)


def test_a_model_that_was_put_together_says_how_to_do_without(tiny_graph: Path) -> None:
    model = MaskRCNN.load(tiny_graph, backend="cpu")
    own = MaskRCNN(model.definition, model.path, model._plan, model._nets, "cpu", model._chosen, model.labels)
    with pytest.raises(UsageError, match="cannot be pickled or copied: make it in the other process"):
        pickle.dumps(own)
