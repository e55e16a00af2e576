"""Messages: one line of printable characters, of a length that somebody reads, whatever is quoted in them."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import mrcnn_cv
from mrcnn_cv.cli.console.messages import REMEDIES, with_options
from mrcnn_cv.errors import MAX_CHARACTERS, InputError, OutputError, Remedy, UsageError, one_line

PACKAGE = Path(mrcnn_cv.__file__).parent
OPTION = re.compile(r"(?<![\w-])(?:--[a-z]|-o\b)")


def test_a_name_with_escape_sequences_reaches_no_terminal() -> None:
    text = str(InputError("\x1b[31mred\x1b[0m\n\x9b2J\r\u202ex\ud800.jpg is empty: copy it again"))
    assert text.isprintable()
    assert text.endswith(".jpg is empty: copy it again")


def test_a_long_message_keeps_what_to_do_about_it() -> None:
    text = one_line("a" * 10_000 + " does not exist: check the spelling")
    assert len(text) == MAX_CHARACTERS
    assert text.endswith(" does not exist: check the spelling")
    assert one_line("short") == "short"


def test_remedies_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(OutputError("out is full", Remedy.OVERWRITE, Remedy.OUTPUT_DIRECTORY)))
    assert (str(error), error.remedies) == ("out is full", (Remedy.OVERWRITE, Remedy.OUTPUT_DIRECTORY))


def test_the_command_line_appends_the_options() -> None:
    assert set(REMEDIES) == set(Remedy)
    text = "out holds a batch run: resume it, or choose another output folder"
    assert with_options(UsageError(text)) == text
    assert with_options(UsageError(text, Remedy.RESUME)) == f"{text} (--resume)"
    assert with_options(UsageError(text, *list(Remedy)[:3])) == f"{text} (--overwrite, --resume or -o)"


def test_no_text_outside_the_command_line_names_its_options() -> None:
    found = {str(path.relative_to(PACKAGE)): option_names(path) for path in PACKAGE.rglob("*.py")}
    # So a manifest tells a list of images from an image; a run that an earlier version began is resumed by it.
    found["jobs/images.py"].remove("--list ")
    assert {
        path: texts for path, texts in found.items() if texts and not path.startswith(("cli/", "importers/standalone/"))
    } == {}


def option_names(path: Path) -> list[str]:
    """String constants, docstrings excepted, that name an option."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [str(text.value) for text in texts if text not in docstrings and OPTION.search(str(text.value))]
