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


PREDICATES = {"exists", "is_file", "is_dir", "is_symlink", "is_mount", "is_fifo", "is_socket", "is_char_device"}
OTHERS = {
    ("inputs/images/glob.py", "entry.is_dir"),
    ("inputs/images/archives.py", "member.is_dir"),
    ("jobs/images.py", "record.exists"),
    ("importers/standalone/freeze_matterport.py", "weights.is_file"),
}
"""Of an entry of a folder, whose errors are seen to; of a member of an archive; of a record; of a script of its own."""


def test_nobody_asks_pathlib_what_a_path_is() -> None:
    """It raises where nobody may look and for names too long (before Python 3.14): see `mrcnn_cv.util.files.kind`."""
    found = {
        (path.relative_to(PACKAGE).as_posix(), ast.unparse(node))
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in PREDICATES and ast.unparse(node.value) != "os.path"
    }
    assert found == OTHERS
