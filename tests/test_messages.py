"""What the package tells its users: no text names a file that the wheel lacks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import mrcnn_cv

PACKAGE = Path(mrcnn_cv.__file__).parent
LACKING = re.compile(r"\b(?:docs|scripts|tests|examples)/\w|\b(?:CONTRIBUTING|CHANGELOG)\.md\b")
"""Paths of the repository that are not installed. `docs/` in an address of the web is something else."""
ADDRESS = re.compile(r"https?://\S+")


def messages(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of all string constants but docstrings; those of commands are what --help shows."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.decorator_list and isinstance(node.body[0], ast.Expr):
            docstrings.discard(id(node.body[0].value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def lacking(source: str) -> list[tuple[int, str]]:
    return [(line, text) for line, text in messages(source) if LACKING.search(ADDRESS.sub("", text))]


def test_no_message_names_a_file_that_the_wheel_lacks() -> None:
    found = {
        str(path.relative_to(PACKAGE)): texts
        for path in sorted(PACKAGE.rglob("*.py"))
        if (texts := lacking(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_what_counts_as_a_message() -> None:
    source = '''
"""docs/a.md describes it."""
X = 1
"""docs/b.md describes it."""

@command
def run():
    """Help (docs/c.md)."""
    raise Error(f"{X} is wrong" " (docs/d.md); see https://example.org/docs/e.md")

def quiet():
    """docs/f.md describes it."""
    return "python scripts/g.py"
'''
    assert sorted(line for line, _ in lacking(source)) == [8, 9, 13]
