"""Pickles of numpy's arrays: the models of Detectron and of Detectron2's model zoo."""

from __future__ import annotations

import os
import re

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.base import CheckpointReader, ModelCheckpoint, mapped
from mrcnn_cv.importers.checkpoints.contents import arrays_of, plain_metadata, weights_and_rest
from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget
from mrcnn_cv.importers.checkpoints.pickles.machine import run_pickle
from mrcnn_cv.importers.checkpoints.pickles.torch_objects import NoStorages
from mrcnn_cv.importers.checkpoints.readers.torch_stream import TorchStream

_PROTOCOLS = range(2, 6)
_OLD_PROTOCOLS = re.compile(
    rb"\(dp?\d*\n|\(lp\d+\n|\(dq|\}q|\]q|c(?:collections|numpy[\w.]*|torch[\w.]*|copy_reg|__builtin__)\n\w+\n"
)
"""Of 0 and 1, which do not say so: the beginnings that dicts, lists and arrays have."""

_END = b"."


class NumpyPickle(CheckpointReader):
    """`pickle.dump` of numpy arrays, by Python 2 or 3 and any numpy, in protocols 0 to 5."""

    def detect(self, file: CandidateFile) -> bool:
        """See CheckpointReader."""
        if file.head[:1] == b"\x80":
            return len(file.head) > 1 and file.head[1] in _PROTOCOLS and not TorchStream().detect(file)
        return _OLD_PROTOCOLS.match(file.head) is not None and _last_byte(file) == _END

    def load(self, file: CandidateFile) -> ModelCheckpoint:
        """See CheckpointReader."""
        budget, storages = CheckpointBudget(), NoStorages()
        root, _ = run_pickle(mapped(file).data, 0, budget)
        if isinstance(root, dict) and "boxes" in root and isinstance(root["boxes"], list):
            raise ModelFileError("holds proposals, boxes of images, not the weights of a model: name the weights file")
        weights, rest = weights_and_rest(root)
        arrays = arrays_of(weights, storages, budget)
        return ModelCheckpoint("numpy-pickle", arrays, plain_metadata(rest, storages, budget), mapped(file))


def _last_byte(file: CandidateFile) -> bytes:
    try:
        with file.path.open("rb") as opened:
            opened.seek(-1, os.SEEK_END)
            return opened.read(1)
    except OSError:
        return b""
