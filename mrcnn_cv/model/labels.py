"""Names of classes: label maps (.pbtxt), lists of names (.names, .txt) and .json.

Ids are those of a label map: 1 for the first class, as in the Object Detection API (object_detection/utils/
label_map_util.py); 0 is the background, which has no label.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mrcnn_cv.errors import LabelFileError, ModelFileError, UsageError
from mrcnn_cv.model.coco_classes import COCO_CLASS_COUNT, COCO_LABELS, is_coco
from mrcnn_cv.model.definition_json import MODEL_JSON, holds_model_json, read_document
from mrcnn_cv.model.label_files import read_names

_BACKGROUND = {"background", "__background__", "bg", "unlabeled", "unlabelled", "???", "_background_"}

# What a folder may hold beside a model, most telling name first; matched without regard to case.
_BESIDE = ("label_map.pbtxt", "*label*map*.pbtxt", "labels.txt", "classes.txt", "*.names")


def read_labels(path: str | Path, class_count: int | None = None) -> dict[int, str]:
    """The names in a label file, by id; a class that the file leaves unnamed is left out.

    `.pbtxt`         a label map; display_name before name
    `.names`, `.txt` one name per line, line i names id i; a blank line keeps its place and leaves its id unnamed
    `.json`          ["person", ...], {"1": "person", ...} or COCO's {"categories": [{"id": 1, "name": "person"}, ...]}

    A list that begins with the background (`__background__`, `BG`, `???`, ...) loses that line, unless it has just
    `class_count` names with it. Control characters and terminal escapes are removed from names. LabelFileError for a
    file that is missing, unreadable, not UTF-8, malformed or over 16 MB, for an id below 1 and for one given twice.
    """
    found = read_names(Path(path))
    if isinstance(found, dict):
        if found.get(0, "").lower() in _BACKGROUND:
            del found[0]
        wrong = next((number for number in found if number < 1), None)
        if wrong is not None:
            raise LabelFileError(f"{path} has the id {wrong}: ids start at 1, since 0 is the background; renumber them")
        return {number: name for number, name in found.items() if name}
    if found and found[0].lower() in _BACKGROUND and class_count != len(found):
        found = found[1:]
    return {number: name for number, name in enumerate(found, start=1) if name}


def labels_for(class_count: int, given: Path | None, beside: Path | None) -> tuple[dict[int, str], list[str]]:
    """(names by id, warnings) for a model with `class_count` classes, whose ids are 1 to `class_count`.

    given    the user's label file; LabelFileError where it cannot be read
    beside   the folder that holds the model: the names in its model.json are taken, or a label file found there, with
             a warning unless it is a label map of the Object Detection API; one that cannot be read is a warning. With
             none, 90 classes are taken to be COCO's, by its ids, and 80 as well, in its order.

    Ids without a name are shown as numbers by whoever uses them; one warning says that there are some.
    """
    warnings: list[str] = []
    names, origin = None, ""
    if given is not None:
        names, origin = read_labels(given, class_count), str(given)
    elif beside is not None and (exported := _exported(beside)):
        names, origin = exported, MODEL_JSON
    elif beside is not None and (path := _find_beside(beside, warnings)) is not None:
        try:
            names, origin = read_labels(path, class_count), path.name
            if not _is_label_map(path):
                warnings.append(f"no label file is given: class names are taken from {path.name} beside the model")
        except LabelFileError as error:
            warnings.append(f"the label file beside the model is not used: {error}")
    if names is not None:
        return _fitted(names, class_count, origin, warnings), warnings
    if class_count == COCO_CLASS_COUNT:
        return dict(COCO_LABELS), warnings
    if class_count == len(COCO_LABELS):
        warnings.append("80 classes are taken to be COCO's, in its order: give a label file if they are not")
        return dict(enumerate(COCO_LABELS.values(), start=1)), warnings
    warnings.append(f"no class names are known, ids 1 to {class_count} are shown instead: give a label file")
    return {}, warnings


def find_class_ids(classes: Sequence[int | str] | int | str, labels: Mapping[int, str], class_count: int) -> list[int]:
    """The ids of classes, given by name in any case or by id; UsageError, with similar names, for an unknown one."""
    by_name = {name.casefold(): class_id for class_id, name in labels.items() if class_id <= class_count}
    found = []
    # A name is a sequence as well, of letters that are no classes.
    for item in [classes] if isinstance(classes, str | int) else classes:
        text = str(item).strip()
        class_id = by_name.get(text.casefold())
        if class_id is None and text.isdecimal() and 1 <= int(text) <= class_count:
            class_id = int(text)
        if class_id is None:
            from difflib import get_close_matches

            near = get_close_matches(text.casefold(), sorted(by_name), n=3)
            known = ", ".join(sorted(by_name)[:10]) or "ids only"
            hint = f"did you mean {' or '.join(near)}?" if near else f"it knows {known}"
            raise UsageError(f"the model has no class '{text}' (ids go from 1 to {class_count}); {hint}")
        found.append(class_id)
    return found


def _exported(folder: Path) -> dict[int, str]:
    """The names in the model.json of an exported model; none where there is none."""
    path = folder / MODEL_JSON
    try:
        return dict(read_document(path).labels) if holds_model_json(path) else {}
    except ModelFileError:
        # It is not the model that was opened.
        return {}


def _is_label_map(path: Path) -> bool:
    return "label_map" in path.name.lower() and path.suffix.lower() == ".pbtxt"


def _find_beside(folder: Path, warnings: list[str]) -> Path | None:
    try:
        files = sorted(path for path in folder.iterdir() if os.path.isfile(path))
    except OSError:
        return None
    for pattern in _BESIDE:
        matches = [path for path in files if Path(path.name.lower()).match(pattern)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            warnings.append(
                f"none of the label files beside the model is used, since there are {len(matches)}"
                f" ({_some(path.name for path in matches)}): give one of them as the label file"
            )
            return None
    return None


def _fitted(names: dict[int, str], class_count: int, origin: str, warnings: list[str]) -> dict[int, str]:
    """`names` cut to the model's ids; what does not fit is told in `warnings`."""
    in_order = [names[number] for number in sorted(names)]
    numbered_on = sorted(names) == list(range(1, len(COCO_LABELS) + 1))
    if class_count == COCO_CLASS_COUNT and numbered_on and is_coco(in_order):
        warnings.append(
            f"{origin} numbers COCO's 80 names from 1 to 80, but the model has 90 classes, which are COCO's own ids:"
            " the names were given those ids"
        )
        return dict(zip(COCO_LABELS, in_order, strict=True))
    extra = [number for number in names if number > class_count]
    if extra:
        warnings.append(
            f"{origin} names ids up to {max(extra)}, but the model has only {class_count} classes:"
            " is it the label file of this model?"
        )
    missing = [number for number in range(1, class_count + 1) if number not in names]
    # COCO itself leaves ten of its ids unused.
    unused = class_count == COCO_CLASS_COUNT and set(names) == set(COCO_LABELS)
    if missing and not unused:
        warnings.append(
            f"{origin} names {class_count - len(missing)} of the model's {class_count} classes;"
            f" the others are shown as their ids ({_some(missing)})"
        )
    return {number: name for number, name in names.items() if number <= class_count}


def _some(things: Iterable[object], most: int = 6) -> str:
    texts = [str(thing) for thing in things]
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")
