"""Detectron's YAML, and YAML that means harm."""

from __future__ import annotations

import time

import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.checkpoints.plain_yaml import read_plain_yaml

# As Python 2's yaml.dump wrote it (detectron/utils/train.py).
DETECTRON = """\
!!python/object/new:detectron.utils.collections.AttrDict
dictitems:
  BBOX_XFORM_CLIP: !!python/object/apply:numpy.core.multiarray.scalar
  - &id001 !!python/object/apply:numpy.dtype
    args:
    - f8
    - 0
    - 1
    state: !!python/tuple
    - 3
    - <
    - null
    - null
    - null
    - -1
    - -1
    - 0
  - !!binary |
    qeISGmmKEEA=
  FAST_RCNN: !!python/object/new:detectron.utils.collections.AttrDict
    dictitems:
      ROI_XFORM_METHOD: RoIAlign
      ROI_XFORM_RESOLUTION: 7
    state:
      !!python/unicode '__immutable__': false
  FPN:
    FPN_ON: true
    RPN_ASPECT_RATIOS: !!python/tuple
    - 0.5
    - 1
    - 2
  KEYPOINTS: !!python/unicode ''
  NONE: null
  PIXEL_MEANS: !!python/object/apply:numpy.core.multiarray._reconstruct
    args:
    - !!python/name:numpy.ndarray ''
    - !!python/tuple
      - 0
    - b
    state: !!python/tuple
    - 1
    - !!python/tuple
      - 1
      - 1
      - 3
    - *id001
    - false
    - !!binary |
      0LNZ9bm+WUB/arx0k/xcQK+UZYhjsV5A
  EPS: 1.0e-14
state:
  !!python/unicode '__immutable__': false
"""


def test_detectrons_config_is_what_it_was() -> None:
    assert read_plain_yaml(DETECTRON) == {
        "BBOX_XFORM_CLIP": pytest.approx(4.135166556742356, abs=0),
        "FAST_RCNN": {"ROI_XFORM_METHOD": "RoIAlign", "ROI_XFORM_RESOLUTION": 7},
        "FPN": {"FPN_ON": True, "RPN_ASPECT_RATIOS": [0.5, 1, 2]},
        "KEYPOINTS": "",
        "NONE": None,
        "PIXEL_MEANS": [[[102.9801, 115.9465, 122.7717]]],
        "EPS": 1e-14,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1", {"a": 1}),
        ("[0x1f, 1_000, -5, .inf, 1e3, 2.5]", [31, 1000, -5, float("inf"), "1e3", 2.5]),
        ("[yes, off, ~]", [True, False, None]),
        ("!!python/long '5'", 5),
        ("!!python/int '5'", 5),
        ("!!python/float '.5'", 0.5),
        ("!!python/bool 'True'", True),
        ("!!python/str 'x'", "x"),
        ("!!python/none ''", None),
        ("!!int x", "x"),
        ("!mine [1, {a: 2}]", [1, {"a": 2}]),
        # Ratios and dates stay what was written.
        ("[4:3, 2001-01-01]", ["4:3", "2001-01-01"]),
        ("a: " + "9" * 5000, {"a": "9" * 5000}),
        ("!!python/object:a.B {x: 1}", {"x": 1}),
        ("!!python/object/new:a.B {listitems: [1, 2], state: {y: 1}}", [1, 2]),
        ("!!python/object/apply:os.system ['exit 7']", ["exit 7"]),
        ("!!python/object/apply:builtins.exec {args: ['1 / 0'], kwds: {}}", ["1 / 0"]),
        ("!!python/name:os.system ''", "os.system"),
        ("!!python/module:os ''", ""),
        ("&a {x: 1}", {"x": 1}),
        ("[&a {x: 1}, {<<: *a, y: 2}]", [{"x": 1}, {"<<": {"x": 1}, "y": 2}]),
        # Python 2 wrote bytes that are letters as a text.
        (
            "!!python/object/apply:numpy.core.multiarray.scalar [!!python/object/apply:numpy.dtype [u1, 0, 1], b]",
            98,
        ),
    ],
)
def test_tags_are_plain_values(text: str, value: object) -> None:
    assert read_plain_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "not valid YAML"),
        ("a: *b", "undefined alias"),
        ("&a [*a]", "levels"),
        ("? [a]\n: b", "a key that is no word"),
        ("[" * 40 + "]" * 40 + "x", "not valid YAML"),
        ("[" * 70 + "]" * 70, "64 levels"),
        ("[" * 500, "not valid YAML"),
        ("x" * 300_000, "more than 65,536 characters"),
        ("\0", "not valid YAML"),
        ("!!python/object/apply:numpy.core.multiarray.scalar [!!python/object/apply:numpy.dtype [O8], b]", "'O8'"),
        ("!!python/object/apply:numpy.core.multiarray.scalar [!!python/object/apply:numpy.dtype [f8], b]", "damaged"),
        ("!!python/object/apply:numpy.core.multiarray.scalar [5, b]", "damaged"),
        (DETECTRON.replace("0LNZ9bm+", "0LNZ"), "damaged"),
        (DETECTRON.replace("0LNZ9bm+", "é"), "not valid YAML"),
        (DETECTRON.replace("      - 3\n", "      - 99999999999\n"), "1,536 MiB"),
    ],
)
def test_what_is_no_config_is_refused_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(ModelFileError) as refused:
        read_plain_yaml(text)
    assert told in str(refused.value)
    assert str(refused.value).endswith(": give the config as a file of its own")


@pytest.mark.parametrize(
    "line",
    [
        "a{0}: &a{0} [*a{1}, *a{1}, *a{1}]\n",
        "a{0}: &a{0} {{x: *a{1}, y: *a{1}}}\n",
        "a{0}: &a{0}\n  <<: [*a{1}, *a{1}]\n",
    ],
)
def test_aliases_of_aliases_are_bounded(line: str) -> None:
    bomb = "a0: &a0 [x]\n" + "".join(line.format(number, number - 1) for number in range(1, 40))
    start = time.process_time()
    with pytest.raises(ModelFileError, match="more than 65,536 values"):
        read_plain_yaml(bomb)
    assert time.process_time() - start < 3


def test_a_long_text_over_and_over_is_bounded() -> None:
    bomb = f"- &a {'x' * 50_000}\n" + "- *a\n" * 1000
    with pytest.raises(ModelFileError, match="repeats more than 4,194,304 characters"):
        read_plain_yaml(bomb)
