"""Labels render as themselves, in any language and at any size, without loading more than they need."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import mrcnn_cv
from mrcnn_cv.drawing.text import render_text, text_size
from mrcnn_cv.errors import UsageError

EMOJI = "\U0001f600"  # beyond the Basic Multilingual Plane: in neither file


@pytest.mark.parametrize("text", ["person 0.93", "狗", "крем", "é", EMOJI, "a\n\t\x00\ud800b", "שלום", "नमस्ते", " "])
@pytest.mark.parametrize("height", [1, 6, 10, 16, 17, 33, 80, 300])
def test_size_is_that_of_the_picture(text: str, height: int) -> None:
    picture = render_text(text, height)
    assert picture.dtype == np.uint8
    assert text_size(text, height) == (picture.shape[1], picture.shape[0])
    assert picture.shape[0] == height
    assert picture.shape[1] > 0


def test_empty_text_has_no_width() -> None:
    assert text_size("", 20) == (0, 20)


@pytest.mark.parametrize("height", [0, -3])
def test_height_must_be_positive(height: int) -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        render_text("a", height)


@pytest.mark.parametrize("character", "aéøßŁệΩжёЇ€→≤…狗龍自あネ한거กשبक☃")
def test_characters_have_pictures_of_their_own(character: str) -> None:
    picture = render_text(character, 32)
    assert picture.max() > 200
    assert not np.array_equal(picture, render_text(EMOJI, 32))


@pytest.mark.parametrize(
    ("one", "other"), [("é", "e"), ("è", "é"), ("狗", "猫"), ("O", "0"), ("한", "하"), ("й", "и"), ("ก", "กิ")]
)
def test_characters_that_differ_look_different(one: str, other: str) -> None:
    first, second = render_text(one, 32), render_text(other, 32)
    assert first.shape != second.shape or np.abs(first.astype(int) - second).max() > 100


def test_accents_written_apart_are_composed() -> None:
    assert np.array_equal(render_text("cafe\u0301", 20), render_text("café", 20))


def test_marks_without_a_composed_form_sit_on_their_letter() -> None:
    assert text_size("x\u0302", 32) == text_size("x\u0303", 32)
    assert text_size("กิ", 32) == text_size("ก", 32)
    assert not np.array_equal(render_text("กิ", 32), render_text("ก", 32))


def test_joiners_and_variation_selectors_take_no_room() -> None:
    assert text_size("a\u200d\u200eb\ufe0f", 20) == text_size("ab", 20)


@pytest.mark.parametrize("character", [EMOJI, "\n", "\x07", "\ud800", "\ue000", "\uffff"])
def test_what_no_font_has_is_a_hollow_box(character: str) -> None:
    picture = render_text(character, 64) > 127
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    box = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert box[0].all()
    assert box[-1].all()
    assert box[:, 0].all()
    assert box[:, -1].all()
    assert not box[8:-8, 8:-8].any()


def test_letters_stand_on_a_sharp_baseline() -> None:
    for height in range(12, 33):
        ink = render_text("HIEL", height).astype(int).sum(axis=1)
        last = np.flatnonzero(ink)[-1]
        spill = ink[last] / ink[last - 1]
        assert spill < 0.25 or spill > 0.75, height


def test_text_grows_with_its_height() -> None:
    widths = [text_size("person 0.93", height)[0] for height in range(8, 81)]
    assert all(narrow < wide for narrow, wide in pairwise(widths))
    assert widths[-1] == pytest.approx(10 * widths[0], rel=0.1)


def test_chinese_is_about_as_large_as_letters() -> None:
    for height in (14, 20, 32, 60):
        rows = np.flatnonzero(render_text("国", height).max(axis=1) > 100)
        assert 0.6 * height < rows[-1] - rows[0] + 1 <= height


def test_right_to_left_runs_are_reversed_and_the_score_is_not() -> None:
    alef = render_text("א", 20)[:, 2:-1]
    assert alef.any()
    assert np.array_equal(render_text("אלל", 20)[:, -alef.shape[1] - 1 : -1], alef)
    assert np.array_equal(render_text("ללא", 20)[:, 2 : alef.shape[1] + 2], alef)
    score = render_text(" 0.93", 16)
    assert np.array_equal(render_text("שלום 0.93", 16)[:, -score.shape[1] :], score)


def test_brackets_around_right_to_left_words_still_open_and_close() -> None:
    opening, closing = render_text("(", 32), render_text(")", 32)
    picture = render_text("שלום (כלב)", 32)
    assert np.array_equal(picture[:, : opening.shape[1]], opening)
    assert not np.array_equal(opening, closing)


def test_arabic_letters_join() -> None:
    apart, together = render_text("ب\u200cب", 16), render_text("بب", 16)
    assert apart.shape == together.shape
    assert not np.array_equal(apart, together)
    assert np.all(together[:, 3:-3].any(axis=0))  # one stroke from end to end
    assert text_size("لا", 16)[0] < text_size("لب", 16)[0]  # lam and alef are one


def test_cached_pictures_cannot_be_spoilt() -> None:
    with pytest.raises(ValueError, match="read-only"):
        render_text("a", 20)[0, 0] = 1


def test_unifont_is_read_for_other_scripts_only() -> None:
    code = (
        "from mrcnn_cv.drawing import text\n"
        "loaded = lambda: (text._sans.cache_info().currsize, text._unifont.cache_info().currsize)\n"
        "states = [loaded()]\n"
        "for sample in ('person 0.93', 'crème brûlée, Привет, Ωμέγα', '狗'):\n"
        "    text.render_text(sample, 20)\n"
        "    states.append(loaded())\n"
        "assert states == [(0, 0), (1, 0), (1, 0), (1, 1)], states\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_glyph_files_are_small_and_come_with_their_licences() -> None:
    folder = Path(mrcnn_cv.__file__).parent / "fonts"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_200_000
    licences = (folder / "LICENSES").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE" in licences
    assert "Inter" in licences
    assert "Unifont" in licences
