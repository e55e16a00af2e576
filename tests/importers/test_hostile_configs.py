"""Configs that somebody made to fill a memory, to never end, or to get a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.config_schema import Config, parse_toml, quoted
from mrcnn_cv.importers.matterport import config as matterport_config
from mrcnn_cv.importers.object_detection_api.pipeline_config import read_pipeline_config
from mrcnn_cv.importers.pytorch import detectron2_config


def yaml(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return detectron2_config.read_config(path)


def doubled(line: str, last: str) -> str:
    """Sixty levels, each of which holds the one below it twice."""
    return "a0: &a0 {x: 1}\n" + "".join(line.format(n=n, m=n - 1) for n in range(1, 61)) + last


def test_lists_of_lists_by_reference_are_no_message_without_end(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="FORMAT must be BGR or RGB, not "):
        yaml(tmp_path, doubled("a{n}: &a{n} [*a{m}, *a{m}]\n", "INPUT: {FORMAT: *a60}\n"))


def test_merges_of_merges_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is not valid YAML"):
        yaml(tmp_path, doubled("a{n}: &a{n} {{<<: [*a{m}, *a{m}]}}\n", "MODEL: *a60\n"))


@pytest.mark.parametrize(
    "value",
    [
        *("!!timestamp x", "!!bool x", "!!int ''", "!!float ''", "!!binary x", "0b", ":".join(["1"] * 20_000)),
        *(
            ":".join(["1"] * 20_000) + ".5",
            "9" * 5000,
            "&a [*a]",
            "2001-99-99",
            '"\\x1b[31m"',
            "'(1'",
            "[" * 90 + "]" * 90,
        ),
    ],
)
def test_odd_values_are_one_sentence(tmp_path: Path, value: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        yaml(tmp_path, f"INPUT: {{MIN_SIZE_TEST: {value}}}")
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_tuples_in_quotes_are_numbers_and_nothing_else(tmp_path: Path) -> None:
    assert yaml(tmp_path, "MODEL: {PIXEL_MEAN: '(1, 2.5, 3e1)'}").values["MODEL.PIXEL_MEAN"] == (1.0, 2.5, 30.0)
    for text in ("'-' * 9", "__import__", "(" * 500, "-" * 900 + "1", "\\q"):
        with pytest.raises(ModelFileError, match="PIXEL_MEAN must be"):
            yaml(tmp_path, f'MODEL: {{PIXEL_MEAN: "{text}"}}'.replace("\\", "\\\\"))


def test_a_date_somewhere_in_a_config_is_no_harm(tmp_path: Path) -> None:
    assert yaml(tmp_path, "OUTPUT_DIR: 2021-01-01\nINPUT: {FORMAT: RGB}").values == {"INPUT.FORMAT": "RGB"}


def test_a_key_of_ten_thousand_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 16384 characters"):
        parse_toml(".".join(["a"] * 10_000) + " = 1")


def test_a_number_of_thousands_of_digits_can_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("IMAGE_MAX_DIM = 0x" + "f" * 6000)
    with pytest.raises(ModelFileError, match=r"IMAGE_MAX_DIM must be .*, not a huge number"):
        matterport_config.read_config(path)
    assert len(quoted("x" * 10_000)) <= 60


@pytest.mark.parametrize(
    ("grid", "problem"),
    [
        ("scales: nan", "no number"),
        ("scales: 1e38 height: 99999999", "no number"),
        ("scales: 1 " * 2000, "more than 1024 sizes"),
    ],
)
def test_anchors_that_cannot_be_meant(tmp_path: Path, grid: str, problem: str) -> None:
    path = tmp_path / "pipeline.config"
    path.write_text(
        f"model {{ faster_rcnn {{ first_stage_anchor_generator {{ grid_anchor_generator {{ {grid} }} }} }} }}"
    )
    with pytest.raises(ModelFileError, match=problem):
        read_pipeline_config(path)
