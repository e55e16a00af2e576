"""Names in the package: a class name exists once."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import mrcnn_cv

PACKAGE = Path(mrcnn_cv.__file__).parent


def class_names() -> dict[str, list[str]]:
    """Each class name with the modules that define it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        if not path.name.endswith("_pb2.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(path.relative_to(PACKAGE).as_posix())
    return found


def test_a_class_name_exists_once() -> None:
    names = class_names()
    assert len(names) > 300
    assert {name: modules for name, modules in names.items() if len(modules) > 1} == {}
