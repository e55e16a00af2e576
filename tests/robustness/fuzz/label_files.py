"""Label files of all formats."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

from mrcnn_cv.model.labels import labels_for, read_labels
from tests.robustness.fuzz.file_edits import NAMES, WORDS, edited_bytes, edited_text, encoded, quoted
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {3}

KINDS = ("labels.pbtxt", "labels.txt", "labels.names", "labels.json")
"""They take turns."""

_NAMES = ("person", "traffic light", "naïve café", "犬", "background", "")


def case(number: int, seed: int, folder: Path) -> Path:
    """One label file."""
    kind = KINDS[number % len(KINDS)]
    chance = random.Random(f"{seed}/{number}")
    what = chance.randrange(10)
    text = _structures(kind, chance) if what == 0 else chance.choice(_seeds(kind))
    data = edited_bytes(text.encode(), chance) if 0 < what <= 3 else encoded(edited_text(text, chance))
    path = folder / kind
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """Names without anything that a terminal, or a reader, would be fooled by."""
    found = read_labels(path, 6)
    for number, name in found.items():
        assert number >= 1
        assert name == " ".join(name.split())
        assert name
        assert all(unicodedata.category(each) not in ("Cc", "Cs") for each in name), name
    names, warnings = labels_for(6, path, None)
    assert set(names) <= set(range(1, 7))
    assert all(len(each) < 1000 for each in warnings)
    return "accepted"


def _seeds(kind: str) -> list[str]:
    numbered = list(enumerate(_NAMES[:4], start=1))
    if kind == "labels.pbtxt":
        items = (
            f'item {{\n  id: {number}\n  name: "/m/{number}"\n  display_name: "{name}"\n}}\n'
            for number, name in numbered
        )
        return ["".join(items), "item { id: 1 name: 'a' }\nitem { id: 2 name: \"b\" unknown { x: 1 } }\n"]
    if kind == "labels.json":
        categories = [{"id": number, "name": name} for number, name in numbered]
        forms = (list(_NAMES), {str(number): name for number, name in numbered}, {"categories": categories}, categories)
        return [json.dumps(each, ensure_ascii=False) for each in forms]
    return ["\n".join(_NAMES), "\r\n".join(_NAMES) + "\r\n", "\ufeff" + "\n".join(_NAMES)]


def _structures(kind: str, chance: random.Random) -> str:
    deep, long = chance.choice((50, 2000, 100_000)), chance.choice((1000, 200_000))
    name = quoted(chance.choice(NAMES))
    if kind == "labels.pbtxt":
        return chance.choice(
            (
                "item { " + "x { " * deep + "} " * deep + "}",
                f"item {{ id: {chance.choice(WORDS)} name: {name} }}",
                f"item {{ id: 1 name: {name} display_name: {name} }}",
                "item { id: 1 name: '" + "\\x1b[31m\\302\\233" * (long // 10) + "' }",
                "".join(f"item {{ id: {index} name: 'n{index}' }}\n" for index in range(1, long // 10)),
                "item { id: 1 [a.b/c." + "d" * long + "]: 1 }",
            )
        )
    if kind == "labels.json":
        return chance.choice(
            (
                "[" * deep + "]" * deep,
                '{"a":' * deep + "1" + "}" * deep,
                f"[{name}, {name}]",
                f'{{"{chance.choice(WORDS)}": {name}}}',
                f'{{"categories": [{{"id": {chance.choice(WORDS)}, "name": {name}}}]}}',
                "[" + ",".join(['"x"'] * long) + "]",
            )
        )
    return chance.choice(
        ("\n" * long, "x" * long, "\x1b[31m" * long, chance.choice(NAMES), "\u202e\u2066" * long + "x")
    )


if __name__ == "__main__":
    make_again(case, attempt)
