"""The formats of label files: from bytes on disk to clean names. What the names mean is labels.py's matter."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import LabelFileError
from mrcnn_cv.util.files import UnfitFile, read_bytes

MAX_BYTES = 16 << 20

_KINDS = ".pbtxt label map, .names or .txt with one name per line, .json"
_LINES = {".names", ".txt", ".labels", ""}
_PBTXT = {".pbtxt", ".pbtext", ".prototxt"}

_ITEM = re.compile(r"^[ \t]*item[ \t]*:?\s*[{<]", re.MULTILINE)
_TEXT_GRAPH = re.compile(r"^[ \t]*node[ \t]*:?\s*[{<]", re.MULTILINE)
_PIPELINE = re.compile(r"^[ \t]*(model|train_config|train_input_reader|eval_config)[ \t]*:?\s*[{<]", re.MULTILINE)

# What a terminal would take for a command: CSI, OSC and two-character sequences.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -~]?"
)
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x07\x08\x1b"))
_DIRECTION = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def read_names(path: Path) -> dict[int, str] | list[str]:
    """Names by id where the file has ids, else the names in their order; "" for a class without a name."""
    text = _read_text(path)
    suffix = path.suffix.lower()
    if suffix in _PBTXT or (suffix != ".json" and _ITEM.search(text)):
        return _from_pbtxt(text, path)
    if suffix == ".json":
        return _from_json(text, path)
    if suffix in _LINES:
        if _TEXT_GRAPH.search(text) or _PIPELINE.search(text):
            raise LabelFileError(_wrong_pbtxt(text, path))
        return _from_lines(text, path)
    if _PIPELINE.search(text):
        raise LabelFileError(_wrong_pbtxt(text, path))
    raise LabelFileError(f"{path} is of a kind that is not known for label files: give one of {_KINDS}")


def _read_text(path: Path) -> str:
    try:
        data = read_bytes(path, "a label file", MAX_BYTES)
    except UnfitFile as error:
        raise LabelFileError(f"{path} {error}") from error
    except FileNotFoundError as error:
        raise LabelFileError(f"label file {path} does not exist: check the spelling and the folder") from error
    except PermissionError as error:
        raise LabelFileError(f"label file {path} cannot be read, permission denied: check who may read it") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LabelFileError(f"label file {path} cannot be read: {reason}") from error
    return _decode(data, path)


def _decode(data: bytes, path: Path) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise LabelFileError(f"{path} is UTF-16 text: save it as UTF-8")
    # A stray control character is taken out of its name later; many of them make a binary file.
    control = len(data) - len(data.translate(None, _CONTROL))
    binary = f"{path} is a binary file, not a label file: give one of {_KINDS}"
    if b"\0" in data or control * 10 > len(data):
        raise LabelFileError(binary)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # To guess the encoding would put wrong letters into names without anyone noticing.
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{path} is not UTF-8 text (line {line}): save it as UTF-8"
        raise LabelFileError(binary if control else message) from error
    if not text.strip():
        raise LabelFileError(f"{path} is empty: a label file has at least one name")
    return text


def clean(name: str) -> str:
    """`name` on one line, without control characters, terminal escapes and marks that turn the direction of text."""
    plain = _ESCAPES.sub("", name)
    kept = (
        " " if character.isspace() else character
        for character in plain
        if character.isspace() or (unicodedata.category(character) not in ("Cc", "Cs") and character not in _DIRECTION)
    )
    return " ".join("".join(kept).split())


def _from_lines(text: str, path: Path) -> list[str]:
    names = [clean(line) for line in re.split(r"\r\n|\n|\r", text)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise LabelFileError(f"{path} has no names: a label file has at least one")
    return names


def _from_pbtxt(text: str, path: Path) -> dict[int, str]:
    if not _ITEM.search(text) and (_TEXT_GRAPH.search(text) or _PIPELINE.search(text)):
        raise LabelFileError(_wrong_pbtxt(text, path))
    # Few models have one beside them, and the parser takes a while to import.
    from mrcnn_cv.graph.label_map_text import NotALabelMap, parse_label_map

    try:
        items = parse_label_map(text)
    except NotALabelMap as error:
        where = f" (line {error.line})" if error.line is not None else ""
        # The parser quotes the file, which may hold a line of any length, and commands for a terminal.
        quoted = clean(re.sub(r"^\d+:\d+ : ", "", str(error)))[:160]
        reason = "".join(character if character.isprintable() else "�" for character in quoted)
        raise LabelFileError(f"{path} is not a valid label map{where}: {reason}") from error
    except RecursionError as error:
        raise LabelFileError(f"{path} is not a label map: it is nested too deeply") from error
    if not items:
        raise LabelFileError(f"{path} has no item {{ ... }}, so it is not a label map")
    named: list[tuple[int, str]] = []
    for position, item in enumerate(items, start=1):
        if item.label_id is None:
            raise LabelFileError(f"{path}: item {position} ({clean(item.name)!r}) has no id; give it one")
        named.append((item.label_id, clean(item.display_name) or clean(item.name)))
    return _unique(iter(named), path)


def _wrong_pbtxt(text: str, path: Path) -> str:
    if _PIPELINE.search(text):
        return f"{path} is a pipeline configuration, not a label map: give the file that its label_map_path names"
    return f"{path} is a text graph for OpenCV, which is not needed here, not a label map: give one with item {{ ... }}"


def _from_json(text: str, path: Path) -> dict[int, str] | list[str]:
    try:
        content = json.loads(text, object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        raise LabelFileError(f"{path} is not valid JSON (line {error.lineno}): {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise LabelFileError(f"{path} is not a label file: its JSON nests too deeply or has huge numbers") from error
    if isinstance(content, _Object):
        categories = next((value for key, value in content.pairs if key == "categories"), None)
        if categories is not None:
            return _unique(_categories(categories, path), path)
        return _unique(_numbered(content, path), path)
    if isinstance(content, list) and content and all(isinstance(entry, _Object) for entry in content):
        return _unique(_categories(content, path), path)
    if isinstance(content, list) and content and all(entry is None or isinstance(entry, str) for entry in content):
        return [clean(entry or "") for entry in content]
    raise LabelFileError(_wrong_json(path))


class _Object:
    """A JSON object with all of its pairs: a dict would drop a key that is given twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _numbered(content: _Object, path: Path) -> Iterator[tuple[int, str]]:
    for key, value in content.pairs:
        if not re.fullmatch(r"-?[0-9]{1,9}", key) or not (value is None or isinstance(value, str)):
            raise LabelFileError(_wrong_json(path))
        yield int(key), clean(value or "")


def _categories(content: Any, path: Path) -> Iterator[tuple[int, str]]:
    if not isinstance(content, list):
        raise LabelFileError(_wrong_json(path))
    for entry in content:
        fields = dict(entry.pairs) if isinstance(entry, _Object) else {}
        number, name = fields.get("id"), fields.get("name")
        if type(number) is not int or not isinstance(name, str):
            raise LabelFileError(f"{path}: a category without a whole-number id and a name")
        yield number, clean(name)


def _wrong_json(path: Path) -> str:
    return (
        f"{path} holds JSON of another kind than a label file: give a list of names, an object from id to name, or"
        ' COCO\'s "categories" with id and name'
    )


def _unique(items: Iterator[tuple[int, str]], path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, name in items:
        if number in names:
            raise LabelFileError(f"{path} gives the id {number} twice ({names[number]!r}, {name!r}): ids must differ")
        names[number] = name
    if not names:
        raise LabelFileError(f"{path} has no names: a label file has at least one")
    return names
