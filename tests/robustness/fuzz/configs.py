"""Files of settings: pipeline.config, matterport's and Detectron2's configs, mrcnn-cv.toml, registered models."""

from __future__ import annotations

import functools
import json
import os
import random
from pathlib import Path

import click

from mrcnn_cv.errors import UsageError
from tests.robustness.fuzz.file_edits import NAMES, WORDS, edited_bytes, edited_text, encoded, quoted
from tests.robustness.fuzz.worker import ROOT, make_again

EXIT_CODES = {2, 3}

KINDS = ("pipeline.config", "matterport.json", "matterport.toml", "detectron2.yaml", "mrcnn-cv.toml", "models.json")
"""They take turns."""

_TOML = """
model = "demo"
score = 0.5
save = ["overlay", "json"]
recursive = true
max-instances = 20
output = "out"
"""
_MODELS = {
    "version": 1,
    "models": {
        "cups": {"path": "/models/cups.pb", "labels": "/models/cups.txt", "defaults": {"score": "0.5"}, "classes": 3},
        "demo2": {"path": "/models/demo", "family": "Mask R-CNN"},
    },
}
_MATTERPORT = {
    "NAME": "cups",
    "IMAGE_RESIZE_MODE": "square",
    "IMAGE_MIN_DIM": 128,
    "IMAGE_MAX_DIM": 128,
    "NUM_CLASSES": 4,
    "MEAN_PIXEL": [123.7, 116.8, 103.9],
    "RPN_ANCHOR_SCALES": [8, 16, 32, 64, 128],
    "DETECTION_MIN_CONFIDENCE": 0,
    "RPN_BBOX_STD_DEV": [0.1, 0.1, 0.2, 0.2],
    "PRE_NMS_LIMIT": 6000,
    "IMAGE_MIN_SCALE": 0,
    "USE_MINI_MASK": True,
}


def case(number: int, seed: int, folder: Path) -> Path:
    """One file of settings."""
    kind = KINDS[number % len(KINDS)]
    chance = random.Random(f"{seed}/{number}")
    text = chance.choice(_seeds()[kind])
    what = chance.randrange(10)
    if what == 0:
        data = encoded(_structures(kind, chance))
    elif what <= 2:
        data = edited_bytes(text.encode(), chance)
    else:
        data = encoded(edited_text(text, chance))
    path = folder / kind
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """Read it, and use what it says as far as it goes without a net."""
    if path.name == "pipeline.config":
        return _pipeline(path)
    if path.name.startswith("matterport"):
        from mrcnn_cv.importers.matterport.config import read_config, resolve

        found = read_config(path)
        _, warnings = resolve({"NUM_CLASSES": 7, "IMAGE_MAX_DIM": 64, "MEAN_PIXEL": (1.0, 2.0, 3.0)}, found, "graph")
        return _checked(warnings)
    if path.name == "detectron2.yaml":
        from mrcnn_cv.importers.pytorch import detectron2_config

        config = detectron2_config.read_config(path)
        known = {"INPUT.FORMAT": "RGB", "MODEL.RPN.NMS_THRESH": 0.1, "MODEL.ANCHOR_GENERATOR.SIZES": ((1.0,),)}
        return _checked(detectron2_config.resolve(known, config, list(detectron2_config.SETTINGS), "model")[1])
    return _registered(path) if path.name == "models.json" else _options(path)


def _pipeline(path: Path) -> str:
    from mrcnn_cv.importers.object_detection_api.pipeline_config import disagreements, read_pipeline_config

    return _checked(disagreements(_demo(), read_pipeline_config(path)).warnings)


def _registered(path: Path) -> str:
    from mrcnn_cv.cli.console.tables import model_details, model_table
    from mrcnn_cv.hub import resolve_model
    from mrcnn_cv.hub.catalog import catalog

    os.environ["MRCNN_CV_HOME"] = str(path.parent)
    rows = catalog()
    shown = [*model_table(rows), *(line for row in rows for line in model_details(row))]
    assert all(map(str.isprintable, shown)), shown
    json.dumps([row.to_dict() for row in rows])
    resolve_model("cups")
    return "accepted"


def _options(path: Path) -> str:
    """As the command line does: the file's values go through the options' own types."""
    from mrcnn_cv.cli import COMMANDS
    from mrcnn_cv.cli.commands.predict import predict
    from mrcnn_cv.cli.console.messages import format_click_error

    assert COMMANDS
    try:
        predict.make_context("predict", ["--config", str(path), "a.jpg"])
    except click.ClickException as error:
        raise UsageError(format_click_error(error)) from error
    return "accepted"


def _checked(warnings: list[str] | tuple[str, ...]) -> str:
    from mrcnn_cv.cli.console.messages import sanitize

    # They are printed as lines of their own, and must be of a length that somebody reads.
    assert all(len(sanitize(each)) <= 2500 for each in warnings), [len(each) for each in warnings]
    return "accepted"


@functools.cache
def _demo():  # type: ignore[no-untyped-def]
    from mrcnn_cv.importers.load import open_model

    return open_model(ROOT / "models" / "demo").definition


@functools.cache
def _seeds() -> dict[str, list[str]]:
    data = ROOT / "tests" / "data"
    lines = (f"{key} = {json.dumps(value)}" for key, value in _MATTERPORT.items())
    return {
        "pipeline.config": [path.read_text() for path in sorted(data.glob("*/pipeline.config"))],
        "matterport.json": [json.dumps(_MATTERPORT, indent=1)],
        "matterport.toml": ["\n".join(lines)],
        "detectron2.yaml": [path.read_text() for path in sorted(data.glob("detectron2/*.yaml"))],
        "mrcnn-cv.toml": [_TOML],
        "models.json": [json.dumps(_MODELS, indent=1)],
    }


def _structures(kind: str, chance: random.Random) -> str:
    """What costs a careless reader its stack, its memory or its time."""
    deep = chance.choice((50, 400, 2000, 100_000))
    long = chance.choice((1000, 20_000, 200_000))
    if kind == "pipeline.config":
        scales = "scales: 1e30 " * long
        return chance.choice(
            (
                "model { faster_rcnn { " + "x { " * deep + "} " * deep + "} }",
                "model { faster_rcnn { first_stage_anchor_generator { grid_anchor_generator { "
                + scales
                + "aspect_ratios: 0.1 " * long
                + "} } } }",
                "model { faster_rcnn { first_stage_anchor_generator { grid_anchor_generator { scales: nan } } } }",
                "model { faster_rcnn { first_stage_nms_score_threshold: inf num_classes: 4 } }",
                f"# {'x' * long}\nmodel {{ {chance.choice(NAMES)} }}",
                f"model {{ faster_rcnn {{ name: {quoted('y' * long)} }} }}",
            )
        )
    if kind.endswith(".json"):
        return chance.choice(
            (
                "[" * deep + "]" * deep,
                '{"a":' * deep + "1" + "}" * deep,
                '{"IMAGE_MAX_DIM": ' + chance.choice(WORDS) + "}",
                '{"MEAN_PIXEL": [' + "1," * long + "1]}",
                '{"models": {' + ",".join(f'"m{index}": {{"path": "/x"}}' for index in range(long // 10)) + "}}",
                '{"models": {' + quoted(chance.choice(NAMES)) + ': {"path": ' + quoted(chance.choice(NAMES)) + "}}}",
            )
        )
    if kind.endswith(".toml"):
        return chance.choice(
            (
                "x = " + "[" * deep + "]" * deep,
                "x = " + "{a=" * deep + "1" + "}" * deep,
                ".".join(["a"] * long) + " = 1",
                "\n".join(f"[{'a.' * min(index, 200)}b]" for index in range(min(long, 2000))),
                "score = " + chance.choice(WORDS),
                quoted("k" * long) + " = 1",
                "[[" + ".".join(["a"] * deep) + "]]",
            )
        )
    return chance.choice(
        (
            "MODEL: " + "[" * deep + "]" * deep,
            "MODEL: &a0 [x, x]\n"
            + "".join(f"k{n}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(min(deep, 60)))
            + f"INPUT: {{FORMAT: *a{min(deep, 60)}}}\n",
            "b0: &a0 {x: 1}\n"
            + "".join(f"k{n}: &a{n + 1} {{<<: [*a{n}, *a{n}]}}\n" for n in range(min(deep, 40)))
            + f"MODEL: *a{min(deep, 40)}\n",
            "INPUT: {MIN_SIZE_TEST: " + ":".join(["1"] * long) + "}",
            "INPUT: {MIN_SIZE_TEST: " + ":".join(["1"] * long) + ".5}",
            "INPUT: {MIN_SIZE_TEST: " + chance.choice(WORDS) + "}",
            "INPUT: &a {FORMAT: *a}",
            "MODEL: {PIXEL_MEAN: '"
            + chance.choice(("(" * 400, "-" * 900 + "1", "(1," * 300, "\\\x9b", "1if x"))
            + "'}",
            "? " * deep + "x",
            "- " * deep + "x",
            "MODEL: " + "{a: " * min(deep, 1000) + "}" * min(deep, 1000),
            "--- a\n" * long,
            "'" * long,
        )
    )


if __name__ == "__main__":
    make_again(case, attempt)
