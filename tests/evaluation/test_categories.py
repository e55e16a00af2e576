"""Label maps of a model against the categories of a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrcnn_cv.errors import LabelFileError, Remedy
from mrcnn_cv.evaluation.categories import CategoryMapping, match_categories
from mrcnn_cv.model.coco_classes import COCO_LABELS

NAMES = {1: "circle", 2: "star", 3: "ring"}
PATH = Path("annotations.json")


def match(labels: dict[int, str], categories: dict[int, str], count: int = 3) -> CategoryMapping:
    return match_categories(labels, count, categories, set(categories), PATH)


def test_equal_names_and_ids_need_no_words() -> None:
    assert match(NAMES, NAMES) == CategoryMapping({1: 1, 2: 2, 3: 3}, ())


@pytest.mark.parametrize(
    ("categories", "expected", "says"),
    [
        ({0: "circle", 1: "star", 2: "ring"}, {1: 0, 2: 1, 3: 2}, "each by 1 lower"),
        ({11: "circle", 12: "star", 13: "ring"}, {1: 11, 2: 12, 3: 13}, "each by 10 higher"),
        ({1: "ring", 2: "circle", 3: "star"}, {1: 2, 2: 3, 3: 1}, "in another order"),
        ({1: "Circle", 5: "STAR", 9: " ring"}, {1: 1, 2: 5, 3: 9}, "with other gaps"),
    ],
)
def test_other_ids_are_matched_by_name_and_told(
    categories: dict[int, str], expected: dict[int, int], says: str
) -> None:
    found = match(NAMES, categories)
    assert found.categories == expected
    assert len(found.notes) == 1
    assert says in found.notes[0]
    assert "matched by name" in found.notes[0]


def test_the_80_ids_of_coco_against_its_90() -> None:
    in_a_row = dict(enumerate(COCO_LABELS.values(), start=1))
    found = match(dict(COCO_LABELS), in_a_row, 90)
    assert {COCO_LABELS[number]: in_a_row[category] for number, category in found.categories.items()} == {
        name: name for name in COCO_LABELS.values()
    }
    assert "COCO's 80 in a row on one side, its 90 ids with gaps on the other" in found.notes[0]
    back = match(in_a_row, dict(COCO_LABELS), 80)
    assert back.categories[80] == 90
    assert "COCO's 80" in back.notes[0]


def test_spelling_does_not_matter() -> None:
    assert match({1: "traffic light"}, {1: "Traffic_Light"}, 1).categories == {1: 1}


def test_what_one_side_lacks_is_told() -> None:
    found = match({**NAMES, 4: "cross"}, {**NAMES, 9: "person"}, 4)
    assert found.categories == {1: 1, 2: 2, 3: 3}
    assert any(
        "no class for 1 of the categories in annotations.json, which are left out (person)" in each
        for each in found.notes
    )
    assert any("no category for 1 of the model's classes" in each and "cross" in each for each in found.notes)


def test_categories_without_annotations_do_not_matter() -> None:
    found = match_categories(NAMES, 3, {0: "shapes", **NAMES}, {1, 2, 3}, PATH)
    assert found == CategoryMapping({1: 1, 2: 2, 3: 3}, ())
    # As Roboflow writes it: the first category has the project's name and no annotations.
    found = match_categories(NAMES, 3, {0: "ring", **NAMES}, {1, 2, 3}, PATH)
    assert found.categories == {1: 1, 2: 2, 3: 3}


def test_two_categories_of_one_name_are_refused() -> None:
    with pytest.raises(LabelFileError, match="two categories called Ring, 3 and 4"):
        match(NAMES, {**NAMES, 4: "Ring"})


def test_names_that_have_nothing_in_common_are_refused() -> None:
    with pytest.raises(LabelFileError, match=r"none of the categories in annotations.json ") as error:
        match(NAMES, {1: "Kreis", 2: "Stern", 3: "Ring aus Gold"})
    assert error.value.remedies == (Remedy.LABELS,)


@pytest.mark.parametrize(
    ("categories", "expected", "says"),
    [
        ({1: "circle", 2: "star", 3: "ring"}, {1: 1, 2: 2, 3: 3}, "ids were"),
        ({0: "circle", 1: "star", 2: "ring"}, {1: 0, 2: 1, 3: 2}, "where 0 there is 1 in the model"),
        ({5: "circle", 7: "star", 9: "ring"}, {1: 5, 2: 7, 3: 9}, "in the order of the ids"),
        ({2: "star", 9: "person"}, {2: 2}, "no class for the categories 9"),
    ],
)
@pytest.mark.parametrize("labels", [{}, {1: "1", 2: "2", 3: "3"}])
def test_without_names_ids_have_to_do(
    labels: dict[int, str], categories: dict[int, str], expected: dict[int, int], says: str
) -> None:
    found = match(labels, categories)
    assert found.categories == expected
    assert any(says in note for note in found.notes)


def test_pictures_without_annotations_have_categories_all_the_same() -> None:
    assert match_categories({}, 3, {1: "circle", 9: "person"}, set(), PATH).categories == {1: 1}


def test_neither_names_nor_ids_fit() -> None:
    with pytest.raises(LabelFileError, match="have the ids 70, 80, and the model's classes 1 to 3"):
        match({}, {70: "circle", 80: "star"})
