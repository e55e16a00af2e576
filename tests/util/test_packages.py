"""A package that is missing is one to install; one that is there and does not load is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mrcnn_cv.util.packages import cannot_import


def said(code: str, *packages: str) -> str:
    with pytest.raises(ImportError) as caught:
        exec(code)
    return cannot_import(caught.value, "eval", *packages)


def test_missing() -> None:
    assert said("import no_such_package.part", "no_such_package", "json") == (
        "no_such_package, which is not installed: pip install 'mrcnn-cv[eval]'"
    )


def test_there_and_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    text = said("import broken_package", "broken_package")
    assert text.startswith(
        "broken_package, which cannot be imported though installed (No module named 'no_such_package')"
    )
    assert text.endswith("install anew: pip uninstall broken_package, then pip install 'mrcnn-cv[eval]'")


def test_without_a_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stub_package", None)
    assert "pip install 'mrcnn-cv[eval]'" in said("import stub_package", "stub_package")
