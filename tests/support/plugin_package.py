"""Packages with plug-ins, as pip would leave them: modules, and a dist-info with entry points."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "plugins.md"


def install(folder: Path, name: str, modules: Mapping[str, str], groups: Mapping[str, Mapping[str, str]]) -> None:
    """Put a package into a folder. modules: text by name. groups: name → "module:Class" by group."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text, encoding="utf-8")


def page_modules() -> dict[str, str]:
    """The modules that docs/plugins.md shows, by name."""
    blocks = re.findall(
        r"^```python\n# (\w+)\.py\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return dict(blocks)


def page_groups() -> dict[str, dict[str, str]]:
    """The entry points that docs/plugins.md shows, by group."""
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    groups: dict[str, dict[str, str]] = tomllib.loads(text)["project"]["entry-points"]
    return groups


def install_page(folder: Path) -> None:
    """The package of docs/plugins.md."""
    install(folder, "examples", page_modules(), page_groups())


def with_path(folder: Path) -> dict[str, str]:
    """The variable that lets a child process find what is installed in a folder."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))}
