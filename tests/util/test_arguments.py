"""Values of a wrong type, given to the public API: a UsageError that names the argument, before anything is done."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrcnn_cv
from mrcnn_cv import Instances, MaskRCNN, Style, UsageError, jobs
from mrcnn_cv.jobs import DetectionOptions, ModelOptions, OutputOptions, RunOptions, StreamOptions, VideoOptions
from mrcnn_cv.util import arguments
from tests.support.parity import Image

PUBLIC: list[Any] = [getattr(module, name) for module in (mrcnn_cv, jobs) for name in module.__all__]

OPTIONS = sorted(
    {
        each
        for each in PUBLIC
        if inspect.isclass(each) and (each is Style or each.__name__.endswith(("Options", "Selection")))
    },
    key=lambda each: str(each.__name__),
)

FUNCTIONS = [
    *(each for each in PUBLIC if inspect.isfunction(each)),
    MaskRCNN.load,
    MaskRCNN.predict,
    MaskRCNN.class_ids,
]

LEFT_TO_THE_FUNCTION = {"image_bgr", "self"}
"""Arrays, and the model itself."""


class Stranger:
    """Of a type that nothing takes."""


def refused(name: str, make: Callable[[], object]) -> None:
    """One sentence that begins with the argument."""
    with pytest.raises(UsageError, match=rf"^{name} must be .* not ") as caught:
        make()
    assert "\n" not in str(caught.value)


def test_there_are_some() -> None:
    assert len(OPTIONS) >= 10
    assert len(FUNCTIONS) >= 10


@pytest.mark.parametrize("options", OPTIONS)
def test_every_field_of_options(options: Any) -> None:
    required: dict[str, Any] = {"path": "model.pb"} if options is ModelOptions else {}
    for field in dataclasses.fields(options):
        refused(field.name, lambda name=field.name: options(**{**required, name: Stranger()}))  # type: ignore[misc]


@pytest.mark.parametrize("options", OPTIONS)
def test_true_is_no_number(options: Any) -> None:
    hints = arguments._hints_of(options)
    required: dict[str, Any] = {"path": "model.pb"} if options is ModelOptions else {}
    for field in dataclasses.fields(options):
        if bool not in arguments._choices(hints[field.name]):
            refused(field.name, lambda name=field.name: options(**{**required, name: True}))  # type: ignore[misc]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: str(function.__qualname__))
def test_every_argument_of_functions(function: Callable[..., object]) -> None:
    parameters = inspect.signature(function).parameters.values()
    required = {each.name: "x" for each in parameters if each.default is each.empty}
    for each in parameters:
        if each.name not in LEFT_TO_THE_FUNCTION:
            refused(each.name, lambda name=each.name: function(**{**required, name: Stranger()}))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("score", lambda: DetectionOptions(score="0.5")),  # type: ignore[arg-type]
        ("score", lambda: DetectionOptions(score=float("nan"))),
        ("score", lambda: DetectionOptions(score=1.5)),
        ("score", lambda: DetectionOptions(score=np.array(0.5))),  # type: ignore[arg-type]
        ("max_instances", lambda: DetectionOptions(max_instances=np.array(3))),  # type: ignore[arg-type]
        ("max_instances", lambda: DetectionOptions(max_instances=np.bool_(True))),  # type: ignore[arg-type]
        ("max_instances", lambda: DetectionOptions(max_instances=2.5)),  # type: ignore[arg-type]
        ("max_instances", lambda: DetectionOptions(max_instances=0)),
        ("classes", lambda: DetectionOptions(classes="cup")),  # type: ignore[arg-type]
        ("classes", lambda: DetectionOptions(classes=(True,))),
        ("classes", lambda: DetectionOptions(classes=(1.0,))),  # type: ignore[arg-type]
        ("threads", lambda: ModelOptions("x", threads=0)),
        ("roi", lambda: ModelOptions("x", roi="both")),  # type: ignore[arg-type]
        ("formats", lambda: OutputOptions(formats="overlay")),  # type: ignore[arg-type]
        ("workers", lambda: RunOptions(workers=-1)),
        ("stride", lambda: VideoOptions(stride=0)),
        ("serve", lambda: StreamOptions(serve="localhost:80")),  # type: ignore[arg-type]
        ("camera_size", lambda: StreamOptions(camera_size=(640, 480, 3))),  # type: ignore[arg-type]
    ],
)
def test_values_that_are_nearly_right(name: str, make: Callable[[], object]) -> None:
    refused(name, make)


def test_what_is_right_in_another_type_is_taken() -> None:
    chosen = DetectionOptions(score=np.float32(0.5), max_instances=np.int64(3), classes=["cup", 2])  # type: ignore[arg-type]
    assert chosen.classes == ("cup", 2)
    # The manifest of a run is JSON.
    assert [type(each) for each in (chosen.score, chosen.max_instances, chosen.classes[1])] == [float, int, int]
    assert type(Style(line_width=np.int64(2)).line_width) is int  # type: ignore[arg-type]
    assert type(DetectionOptions(classes=(np.int64(1),)).classes[0]) is int  # type: ignore[arg-type]
    assert DetectionOptions(score=0).score == 0
    assert OutputOptions(Path("out"), formats=["coco"]).formats == ("coco",)  # type: ignore[arg-type]
    assert Style(hide={"boxes"}).hide == {"boxes"}  # type: ignore[arg-type]


def test_predict(tiny_graph: Path, photo: Image) -> None:
    model = MaskRCNN.load(tiny_graph, backend="cpu")
    wrong: list[Any] = [True, [True], 1.5, [None]]
    for each in wrong:
        refused("classes", lambda value=each: model.predict(photo, classes=value))  # type: ignore[misc]
    for name in ("score_threshold", "mask_threshold", "nms_threshold"):
        for value in ("0.5", float("nan"), -0.1, 1.1, True):
            refused(name, lambda name=name, value=value: model.predict(photo, **{name: value}))  # type: ignore[misc]
    refused("max_instances", lambda: model.predict(photo, max_instances=0))
    with pytest.raises(TypeError, match=r"predict\(\) got an unexpected keyword argument"):
        model.predict(photo, threshold=0.5)  # type: ignore[call-arg]
    for image in (photo.astype(np.float32), photo[..., 0], photo.tolist(), None):
        with pytest.raises(UsageError, match="takes a BGR image"):
            model.predict(image)  # type: ignore[arg-type]


BOXES, SCORES, IDS = np.zeros((2, 4), np.float32), np.array([0.9, 0.8], np.float32), np.array([1, 2], np.int32)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("boxes", {"boxes": BOXES.tolist()}),
        ("boxes", {"boxes": BOXES[:1]}),
        ("boxes", {"boxes": BOXES.ravel()}),
        ("scores", {"scores": [0.9, 0.8]}),
        ("scores", {"scores": np.array(["a", "b"])}),
        ("class_ids", {"class_ids": IDS[:1]}),
        ("labels", {"labels": ["a"]}),
        ("labels", {"labels": "ab"}),
        ("mask_probabilities", {"mask_probabilities": np.zeros((1, 7, 7), np.float32)}),
        ("track_ids", {"track_ids": np.array([1])}),
        ("trails", {"trails": []}),
        ("image_size", {"image_size": (480.0, 640)}),
        ("image_size", {"image_size": 640}),
    ],
)
def test_instances(name: str, changed: dict[str, Any]) -> None:
    right: dict[str, Any] = {
        "boxes": BOXES,
        "scores": SCORES,
        "class_ids": IDS,
        "labels": ["a", "b"],
        "mask_probabilities": None,
        "image_size": (480, 640),
    }
    assert len(Instances(**right)) == 2
    with pytest.raises(UsageError, match=rf"^{name} must be "):
        Instances(**{**right, **changed})
