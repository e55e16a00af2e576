"""The public API is documented in numpy style: every parameter, attribute, result and error has its entry."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.conftest import ROOT

PUBLIC_MODULES = ("mrcnn_cv", "mrcnn_cv.jobs")
API_PAGE = ROOT / "docs" / "api.md"
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises")


def public_objects() -> dict[str, Any]:
    """Every public class and function by its name; of what two modules export, the first."""
    found: dict[str, Any] = {}
    for module in PUBLIC_MODULES:
        for name in import_module(module).__all__:
            item = getattr(import_module(module), name)
            if (inspect.isclass(item) or inspect.isfunction(item)) and item not in found.values():
                found[f"{module}.{name}"] = item
    return found


def methods(item: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in vars(item).items():
        code = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        # Methods that dataclasses make have no source of their own.
        if inspect.isfunction(code) and not name.startswith("_") and code.__module__ == item.__module__:
            yield name, code
    if "__getitem__" in vars(item):
        yield "__getitem__", vars(item)["__getitem__"]


EXPORTED = public_objects()
OBJECTS = EXPORTED | {
    f"{name}.{method}": code
    for name, item in EXPORTED.items()
    if inspect.isclass(item)
    for method, code in methods(item)
}


def sections(documented: Any) -> dict[str, list[str]]:
    """The entries of each section of a docstring: names of parameters and attributes, types of results and errors."""
    lines = inspect.cleandoc(documented.__doc__ or "").splitlines()
    found: dict[str, list[str]] = {}
    section = ""
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line in SECTIONS and following == "-" * len(line):
            section = line
            found[section] = []
        elif section and line and not line.startswith((" ", "-")):
            found[section] += line.split(", ")
    return found


def parameters(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def raised(function: Callable[..., Any]) -> set[str]:
    """Names of the exceptions that the function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}


@pytest.mark.parametrize("name", OBJECTS)
def test_has_a_summary(name: str) -> None:
    summary = (OBJECTS[name].__doc__ or "").split("\n")[0]
    assert summary
    assert not summary.startswith(OBJECTS[name].__name__ + "("), "dataclasses write their signature there"


@pytest.mark.parametrize("name", [name for name, item in OBJECTS.items() if not inspect.isclass(item)])
def test_function_documents_its_signature(name: str) -> None:
    function = OBJECTS[name]
    found = sections(function)
    assert found.get("Parameters", []) == parameters(function)
    result = inspect.signature(function).return_annotation
    assert ("Returns" in found or "Yields" in found) == (result not in (None, "None"))
    assert raised(function) <= set(found.get("Raises", []))


@pytest.mark.parametrize("name", [name for name, item in OBJECTS.items() if dataclasses.is_dataclass(item)])
def test_dataclass_documents_its_fields(name: str) -> None:
    fields = [field.name for field in dataclasses.fields(OBJECTS[name]) if not field.name.startswith("_")]
    assert sections(OBJECTS[name]).get("Attributes", []) == fields


def test_properties_have_a_summary() -> None:
    for name, item in OBJECTS.items():
        if inspect.isclass(item):
            for field, value in vars(item).items():
                assert not isinstance(value, property) or value.__doc__, f"{name}.{field}"


def test_site_lists_the_whole_api() -> None:
    listed = re.findall(r"^::: (\S+)$", API_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(EXPORTED)
