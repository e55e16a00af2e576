"""YAML as Python's programs dump it, tags for their objects and all, as plain values. No object is made of a tag.

Detectron keeps its config so in its model files: dicts of its own (`!!python/object/new:...AttrDict`), tuples, texts of
Python 2, and numpy's numbers and arrays.
"""

from __future__ import annotations

import binascii
from typing import Any

import numpy as np

from mrcnn_cv.errors import ModelFileError, brief
from mrcnn_cv.importers.checkpoints.base import Plain
from mrcnn_cv.importers.checkpoints.limits import (
    MAX_LISTED,
    MAX_NESTING,
    MAX_PLAIN_TEXT,
    MAX_PLAIN_VALUES,
    MAX_YAML_TEXT,
    checked_shape,
)
from mrcnn_cv.importers.checkpoints.pickles.numpy_objects import number_type

_TAG = "tag:yaml.org,2002:"
_PYTHON = f"{_TAG}python/"
_NUMBERS = {f"{_TAG}int": int, f"{_TAG}float": float, f"{_PYTHON}int": int, f"{_PYTHON}long": int}
_NUMBERS[f"{_PYTHON}float"] = float
_MAX_NUMBER = 100
_INSTEAD = "give the config as a file of its own"
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")


def read_plain_yaml(text: str) -> Plain:
    """A config out of a weights file as plain values: tuples are lists, objects the dicts or lists that they are.

    Raises ModelFileError, without the file's name, for what is no YAML, or more than any config.
    """
    import yaml

    if len(text) > MAX_YAML_TEXT:
        raise ModelFileError(f"has a config of more than {MAX_YAML_TEXT:,} characters: {_INSTEAD}")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _Reader(loader).read(node, 0)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError, binascii.Error) as error:
        raise ModelFileError(f"has a config that is not valid YAML ({brief(error)[:200]}): {_INSTEAD}") from error


class _Reader:
    """Nodes become values once more each time that an alias names them, within bounds."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._values, self._text = MAX_PLAIN_VALUES, MAX_PLAIN_TEXT

    def read(self, node: Any, depth: int) -> Plain:
        """A node as a plain value."""
        self._values -= 1
        if self._values < 0 or depth > MAX_NESTING:
            raise ValueError(f"it has more than {MAX_PLAIN_VALUES:,} values or {MAX_NESTING} levels")
        tag = str(node.tag)
        if tag.startswith((f"{_PYTHON}object", f"{_PYTHON}name")):
            return self._object(node, tag[len(_PYTHON) :].partition(":")[2], depth)
        if node.id == "scalar":
            return self._scalar(node, tag)
        if node.id == "sequence":
            return [self.read(each, depth + 1) for each in node.value]
        return self._dict(node, depth)

    def _dict(self, node: Any, depth: int) -> dict[str, Plain]:
        found: dict[str, Plain] = {}
        for key, value in node.value:
            if key.id != "scalar":
                raise ValueError("it has a key that is no word")
            self._take(key.value)
            # Merges (<<) are a key as any other: those of those double at each level.
            found[key.value] = self.read(value, depth + 1)
        return found

    def _scalar(self, node: Any, tag: str) -> Plain:
        text = str(node.value)
        self._take(text)
        if tag == f"{_TAG}null" or tag == f"{_PYTHON}none":
            return None
        if tag in (f"{_TAG}bool", f"{_PYTHON}bool"):
            return text.lower() in ("yes", "true", "on")
        # YAML's numbers of base 60 are times, or ratios, to everybody else.
        if tag not in _NUMBERS or len(text) > _MAX_NUMBER or ":" in text:
            return text
        try:
            is_whole = _NUMBERS[tag] is int
            read = self._loader.construct_yaml_int if is_whole else self._loader.construct_yaml_float
            number: Plain = read(node)
            return number
        except (ValueError, LookupError, ArithmeticError):
            return text

    def _object(self, node: Any, name: str, depth: int) -> Plain:
        """What an object is made of: numpy's number or array, the items of a dict or list, or its arguments."""
        if node.id == "scalar":
            return name
        parts = {str(key.value): value for key, value in node.value} if node.id == "mapping" else {"args": node}
        if name in _SCALARS:
            arguments = self._items(parts.get("args"))
            return self._numbers((), *arguments[:2]) if len(arguments) > 1 else None
        if name in _ARRAYS:
            state = self._items(parts.get("state"))
            if len(state) < 5 or self.read(state[3], depth) is not False:
                return None
            return self._numbers(self.read(state[1], depth), state[2], state[4])
        for part in ("dictitems", "listitems", "args"):
            if part in parts:
                found = parts[part]
                if part != "args":
                    return self.read(found, depth + 1)
                return [self.read(each, depth + 1) for each in self._items(found)]
        return self._dict(node, depth) if node.id == "mapping" else None

    def _items(self, node: Any) -> list[Any]:
        return list(node.value) if node is not None and node.id == "sequence" else []

    def _numbers(self, shape: object, dtype: Any, values: Any) -> Plain:
        """The numbers of one of numpy's arrays: a type, and bytes in base 64 or as a text."""
        kind = self.read(dtype, 0)
        order = "<"
        if dtype.id == "mapping":
            parts = {str(key.value): value for key, value in dtype.value}
            state = self.read(parts["state"], 0) if "state" in parts else None
            order = str(state[1]) if isinstance(state, list) and len(state) > 1 else "<"
        if not isinstance(kind, list) or not kind or values.id != "scalar":
            raise ValueError("it has a number of numpy that is damaged")
        self._take(values.value)
        is_binary = values.tag == f"{_TAG}binary"
        data = binascii.a2b_base64(values.value) if is_binary else str(values.value).encode("latin-1")
        found = number_type(order, str(kind[0]))
        sizes, count = checked_shape(shape, found.itemsize)
        if count > MAX_LISTED or len(data) != count * found.itemsize:
            raise ValueError("it has an array of numpy that is damaged")
        self._values -= count
        listed: Plain = np.frombuffer(data, found).reshape(sizes).tolist() if count else []
        return listed

    def _take(self, text: str) -> None:
        self._text -= len(text)
        if self._text < 0:
            raise ValueError(f"it repeats more than {MAX_PLAIN_TEXT:,} characters")
