"""From a file to its weights: find out of which kind it is, hand it to the reader of that kind."""

from __future__ import annotations

import re
from typing import NoReturn

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile, named
from mrcnn_cv.importers.checkpoints.base import CheckpointReader, ModelCheckpoint
from mrcnn_cv.importers.checkpoints.contents import SAVE_WEIGHTS
from mrcnn_cv.importers.checkpoints.readers.zip_directory import ZIP_MAGIC, zip_directory
from mrcnn_cv.importers.checkpoints.registry import CHECKPOINT_READERS

_OLD_TORCH = re.compile(rb"(?:\./)?(?:sys_info|pickle|storages|tensors|types)\0")
_TAR_MAGIC_AT = 257
_PACKED = (b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"7z\xbc\xaf", b"(\xb5/\xfd")
_PAGE = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)


def is_checkpoint(file: CandidateFile) -> bool:
    """Whether it is a weights file of a kind that is read: by its first bytes and its layout, in no time."""
    return _reader(file) is not None


def read_checkpoint(file: CandidateFile) -> ModelCheckpoint:
    """The weights in a file, and what else it says. Nothing of it is run.

    Raises ModelFileError, one sentence with the path that says what is wrong and what to do.
    """
    return file.once(_read)


def _read(file: CandidateFile) -> ModelCheckpoint:
    name = _reader(file)
    with named(file.path):
        if name is None:
            _refuse(file)
        reader: CheckpointReader = CHECKPOINT_READERS.create(name)
        with CHECKPOINT_READERS.blame(name):
            return reader.load(file)


def _reader(file: CandidateFile) -> str | None:
    """The name of the first reader that detects it; those of other packages are asked where ours know no answer."""
    ours = next((name for name in CHECKPOINT_READERS if _detects(name, file)), None)
    return ours or next((name for name in CHECKPOINT_READERS.installed() if _detects(name, file)), None)


def _detects(name: str, file: CandidateFile) -> bool:
    reader: CheckpointReader = CHECKPOINT_READERS.create(name)
    with CHECKPOINT_READERS.blame(name):
        return reader.detect(file)


def _refuse(file: CandidateFile) -> NoReturn:
    """Say what a file is that no reader detects."""
    head = file.head
    if not head:
        raise ModelFileError("is empty: copy or download it again")
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        if _OLD_TORCH.match(head):
            raise ModelFileError(
                "was saved by torch before 0.4, in a form that is not read: open it with a newer torch and"
                f" {SAVE_WEIGHTS}"
            )
        raise ModelFileError("is a .tar archive: unpack it and name the weights file inside")
    if head.startswith(ZIP_MAGIC):
        zip_directory(file)
        raise ModelFileError(
            "is an archive of neither torch nor numpy: if it was packed by hand, unpack it and name the weights file"
            f" inside, else {SAVE_WEIGHTS}"
        )
    if head.startswith(_PACKED):
        raise ModelFileError("is compressed: unpack it and name the weights file inside")
    if head.startswith(b"version https://git-lfs"):
        raise ModelFileError("is a Git LFS pointer, not the weights themselves: run 'git lfs pull'")
    if _PAGE.match(head):
        raise ModelFileError("is a page of the web, not weights: download it again")
    raise ModelFileError(
        "holds no weights in a form that is read: take a .pth of torch, a .safetensors, a .pkl of numpy arrays or an"
        " .npz"
    )
