"""The kinds of sources: a new one is a class in a file of its own, and a row here.

The first row that knows a source has it. One that no row knows is offered to the entry points `mrcnn_cv.inputs` of
installed packages; after them it is the path of an image, which fails when its turn comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mrcnn_cv.errors import PluginError
from mrcnn_cv.inputs.base import InputKind
from mrcnn_cv.util.registry import Registry, lacks

Answer = TypeVar("Answer")

INPUT_KINDS: Registry[type[InputKind]] = Registry(
    "input kind",
    "mrcnn_cv.inputs",
    {
        "stdin": "mrcnn_cv.inputs.kinds:StandardInput",
        "folder": "mrcnn_cv.inputs.kinds:Folder",
        "camera": "mrcnn_cv.inputs.kinds:CameraDevice",
        "stream": "mrcnn_cv.inputs.kinds:NetworkStream",
        "url": "mrcnn_cv.inputs.kinds:Url",
        "pattern": "mrcnn_cv.inputs.kinds:Pattern",
        "archive": "mrcnn_cv.inputs.kinds:Archive",
        "image": "mrcnn_cv.inputs.kinds:ImageFile",
        "video": "mrcnn_cv.inputs.kinds:VideoFileKind",
    },
    lacks("classify", "list_images", "open_live"),
)


def ask_kinds(question: Callable[[InputKind], Answer | None]) -> tuple[Answer | None, list[str]]:
    """(the first answer, what is wrong with plug-ins that could not be asked); None where nobody has one."""
    for name in INPUT_KINDS:
        answer = _answer(name, question)
        if answer is not None:
            return answer, []
    broken = []
    try:
        names = INPUT_KINDS.installed()
    except PluginError as error:
        return None, [str(error)]
    for name in names:
        try:
            answer = _answer(name, question)
        except PluginError as error:
            broken.append(str(error))
            continue
        if answer is not None:
            return answer, broken
    return None, broken


def _answer(name: str, question: Callable[[InputKind], Answer | None]) -> Answer | None:
    kind: InputKind = INPUT_KINDS.create(name)
    with INPUT_KINDS.blame(name):
        return question(kind)
