"""Which class of a model is which category of a data set: by name where names agree, and told where ids do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mrcnn_cv.errors import LabelFileError, Remedy
from mrcnn_cv.model.coco_classes import COCO_LABELS


@dataclass(frozen=True)
class CategoryMapping:
    """categories: the model's class id → the data set's category id. notes: sentences on what was not plain."""

    categories: dict[int, int]
    notes: tuple[str, ...]


def match_categories(
    labels: Mapping[int, str], class_count: int, categories: Mapping[int, str], used: set[int], path: Path
) -> CategoryMapping:
    """The categories (id → name) of the data set `path` for the classes 1 to `class_count`, named by `labels`.

    used: categories that have annotations. LabelFileError where nothing fits.
    """
    own = {number: name for number, name in labels.items() if 1 <= number <= class_count}
    known = {_plain(name) for name in own.values()}
    by_name = _by_name(categories, used, path)
    if known & set(by_name):
        return _named(own, by_name, categories, used, path)
    if _are_names(own) and _are_names(categories):
        raise LabelFileError(
            f"none of the categories in {path} ({_some(categories.values())}) is a class of the model"
            f" ({_some(own.values())}): is it the right data set? If the names are only spelled differently,"
            " give the data set's names to the model",
            Remedy.LABELS,
        )
    return _numbered(class_count, categories, used, path)


def _named(
    own: Mapping[int, str],
    by_name: Mapping[str, int],
    categories: Mapping[int, str],
    used: set[int],
    path: Path,
) -> CategoryMapping:
    found = {number: by_name[_plain(name)] for number, name in own.items() if _plain(name) in by_name}
    notes = []
    moved = {number: category for number, category in found.items() if number != category}
    if moved:
        number, category = next(iter(moved.items()))
        how = _how_ids_differ(found, own)
        notes.append(
            f"{path} numbers its categories otherwise than the model ({how}): they were matched by name"
            f" ({own[number]} is {category} there and {number} in the model)"
        )
    missing = [categories[number] for number in sorted(used - set(found.values()))]
    if missing:
        notes.append(
            f"the model has no class for {len(missing)} of the categories in {path}, which are left out"
            f" ({_some(missing)})"
        )
    extra = [name for number, name in own.items() if number not in found]
    if extra:
        notes.append(
            f"{path} has no category for {len(extra)} of the model's classes, whose instances are left out"
            f" ({_some(extra)})"
        )
    return CategoryMapping(found, tuple(notes))


def _how_ids_differ(found: Mapping[int, int], own: Mapping[int, str]) -> str:
    steps = {category - number for number, category in found.items()}
    if len(steps) == 1:
        return f"each by {abs(next(iter(steps)))} {'higher' if next(iter(steps)) > 0 else 'lower'}"
    in_order = [found[number] for number in sorted(found)]
    if in_order == sorted(in_order):
        coco = {_plain(name) for name in COCO_LABELS.values()} == {_plain(name) for name in own.values()}
        return "COCO's 80 in a row on one side, its 90 ids with gaps on the other" if coco else "with other gaps"
    return "in another order"


def _numbered(class_count: int, categories: Mapping[int, str], used: set[int], path: Path) -> CategoryMapping:
    """By ids, where one side has no names."""
    ids = sorted(categories)
    why = f"the names of the model's classes and those of the categories in {path} cannot be compared"
    if ids == list(range(class_count)):
        note = f"{why}: ids were, where 0 there is 1 in the model; give the names of the classes if that is wrong"
        return CategoryMapping({number + 1: number for number in ids}, (note,))
    if len(ids) == class_count and ids != list(range(1, class_count + 1)):
        note = (
            f"{why}, and their ids differ: they were matched in the order of the ids; give the names of the classes if"
            " that is wrong"
        )
        return CategoryMapping(dict(enumerate(ids, start=1)), (note,))
    shared = {number: number for number in ids if 1 <= number <= class_count}
    if not shared or (used and not used & set(shared)):
        raise LabelFileError(
            f"the categories in {path} have the ids {_some(ids)}, and the model's classes 1 to {class_count}, without"
            " names that agree: give the names of the model's classes",
            Remedy.LABELS,
        )
    notes = [f"{why}: ids were; give the names of the classes if that is wrong"]
    left_out = sorted(used - set(shared))
    if left_out:
        notes.append(f"the model has no class for the categories {_some(left_out)} of {path}, which are left out")
    return CategoryMapping(shared, tuple(notes))


def _by_name(categories: Mapping[int, str], used: set[int], path: Path) -> dict[str, int]:
    """Ids by name. Of two of one name the one with annotations counts: Roboflow calls its first after the project."""
    found: dict[str, int] = {}
    for number, name in categories.items():
        other = found.get(_plain(name))
        if other in used and number in used:
            raise LabelFileError(f"{path} has two categories called {name}, {other} and {number}: rename one of them")
        if other is None or number in used:
            found[_plain(name)] = number
    return found


def _are_names(names: Mapping[int, str]) -> bool:
    """Whether there are any, and not numbers alone."""
    return not all(name.strip().isdecimal() for name in names.values())


def _plain(name: str) -> str:
    """What is equal for two spellings of one name: traffic_light, Traffic Light."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _some(things: Iterable[object], maximum: int = 6) -> str:
    texts = [str(thing) for thing in things]
    return ", ".join(text[:40] for text in texts[:maximum]) + (", ..." if len(texts) > maximum else "")
