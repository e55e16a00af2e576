"""The kinds of weights files: a new one is a class in a file of its own, and a row here.

The first row that detects a file reads it.
"""

from __future__ import annotations

from mrcnn_cv.importers.checkpoints.base import CheckpointReader
from mrcnn_cv.util.registry import Registry, lacks

CHECKPOINT_READERS: Registry[type[CheckpointReader]] = Registry(
    "kind of weights file",
    "mrcnn_cv.checkpoints",
    {
        "torch-zip": "mrcnn_cv.importers.checkpoints.readers.torch_zip:TorchZip",
        "torch-stream": "mrcnn_cv.importers.checkpoints.readers.torch_stream:TorchStream",
        "safetensors": "mrcnn_cv.importers.checkpoints.readers.safetensors:Safetensors",
        "npz": "mrcnn_cv.importers.checkpoints.readers.npz:Npz",
        "numpy-pickle": "mrcnn_cv.importers.checkpoints.readers.numpy_pickle:NumpyPickle",
    },
    lacks("detect", "load"),
)
