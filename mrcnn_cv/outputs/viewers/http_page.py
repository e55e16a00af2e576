"""The page of --serve. It shows the image without JavaScript; with it, also the numbers."""

from __future__ import annotations

import html
from importlib.resources import files

_FOLDER = files("mrcnn_cv") / "outputs" / "viewers" / "page"

STYLE = (_FOLDER / "page.css").read_bytes()
SCRIPT = (_FOLDER / "page.js").read_bytes()
_PAGE = (_FOLDER / "page.html").read_text(encoding="utf-8")


def page(name: str) -> bytes:
    """The page for a source, whose name may hold anything."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in name)
    return _PAGE.replace("{name}", html.escape(printable)).encode("utf-8", "replace")
