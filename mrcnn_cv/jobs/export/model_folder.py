"""Any model that mrcnn-cv reads as plain files: nets in ONNX, numbers in JSON, and a page that explains both."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mrcnn_cv.errors import ModelFileError, OutputError, Remedy
from mrcnn_cv.graph.export.names import with_output_names
from mrcnn_cv.graph.export.onnx import write_onnx
from mrcnn_cv.graph.ir import NetGraph
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.jobs.export.readme import readme
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.definition_json import (
    MODEL_JSON,
    NET_FILES,
    ModelDocument,
    NetFile,
    holds_model_json,
    parse_document,
    write_document,
)
from mrcnn_cv.model.labels import labels_for
from mrcnn_cv.model.validate import feature_channels, head_shape, input_channels, usual_input
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory, is_temporary, unwritable

README = "README.md"
OWN_FILES = frozenset({MODEL_JSON, README, *NET_FILES.values()})

_REMEDY = Remedy.OUTPUT_DIRECTORY

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Exported:
    """What was written. files: each with its bytes, model.json last. warnings: about the model, one sentence each."""

    folder: Path
    files: tuple[tuple[Path, int], ...]
    warnings: tuple[str, ...]


def export(
    model: Path, folder: Path, config: Path | None = None, labels: Path | None = None, overwrite: bool = False
) -> Exported:
    """Write the model at `model` into `folder`, which `open_model` then reads as that model.

    config, labels: as `open_model` and `labels_for` take them. overwrite: replace an earlier export. All files are
    complete before the first of them gets its name, and model.json, which knows the others' contents, comes last: at
    no time is there half a model that could be read.

    Raises ModelFileError, LabelFileError, and OutputError where the folder holds other things or cannot be written.
    """
    _check_free(folder, overwrite)
    file = open_model(model, config)
    definition = file.definition
    names, notes = labels_for(definition.class_count, labels, file.path.parent)
    try:
        nets = {field: net for field, net in _nets(definition).items() if net is not None}
        shapes = input_shapes(definition)
    except ModelFileError as error:
        raise ModelFileError(f"{file.path} {error}") from error
    with _folder(folder), _Draft(folder) as draft:
        written = {}
        for field, net in nets.items():
            with draft.file(NET_FILES[field]) as out:
                counted = _HashingWriter(out)
                (taken,) = net.inputs
                write_onnx(net, counted, {taken: shapes[field]})
            written[field] = counted.file()
            # What others wrote into the file meanwhile must not become a model.
            net.check_source()
        document = ModelDocument(definition, names, written)
        draft.write(README, readme(definition, names, nets, shapes).encode())
        data = write_document(document)
        _check_readable(data, document, file.path)
        draft.write(MODEL_JSON, data)
        _check_free(folder, overwrite)
        files = draft.place()
        for name in OWN_FILES - set(draft.names):
            (folder / name).unlink(missing_ok=True)
    return Exported(folder, tuple(files), (*definition.warnings, *notes))


def _nets(definition: ModelDefinition) -> dict[str, NetGraph | None]:
    """The nets by field, their outputs under the names that the README explains."""
    levels = len(definition.anchors)
    trunk = definition.trunk
    features = [f"features_{index}" for index in range(len(trunk.outputs) - 2 * levels)]
    encodings, logits = ([f"{what}_{index}" for index in range(levels)] for what in ("box_encodings", "objectness"))
    mask_head = definition.mask_head
    return {
        "trunk": with_output_names(trunk, [*features, *encodings, *logits]),
        "box_head": with_output_names(definition.box_head, ["box_encodings", "class_logits"]),
        "mask_head": None if mask_head is None else with_output_names(mask_head, ["mask_logits"]),
    }


def input_shapes(definition: ModelDefinition) -> dict[str, Shape]:
    """What each net takes: (N, C, H, W) or (N, K), None where it differs from run to run."""
    resize = definition.resize
    whole = resize.kind == "fixed" and resize.pad_multiple in (None, 1)
    sides: Shape = usual_input(resize) if whole or resize.pad_to_max else (None, None)
    channels = feature_channels(definition, ShapeInference(definition.trunk))
    found: dict[str, Shape] = {
        "trunk": (1, input_channels(definition), *sides),
        "box_head": (None, *head_shape(definition.crop, channels, 1)[1:]),
    }
    if definition.mask is not None:
        found["mask_head"] = (None, *head_shape(definition.mask.crop, channels, 1)[1:])
    return found


def _check_readable(data: bytes, document: ModelDocument, path: Path) -> None:
    """ModelFileError for a model whose names are so long, or so many, that its document would be refused."""
    try:
        found = parse_document(data)
    except ModelFileError as error:
        raise ModelFileError(f"{path} cannot be exported, since its model.json {error}") from error
    if write_document(found) != data or found.labels != document.labels:
        raise ModelFileError(f"{path} cannot be exported: its labels or numbers would not be the same")


def _check_free(folder: Path, overwrite: bool) -> None:
    """OutputError where a folder holds anything but an earlier export that may be replaced."""
    try:
        if not os.path.lexists(folder):
            return
        found = {path.name for path in folder.iterdir() if not is_temporary(path)}
    except OSError as error:
        raise unwritable(error, folder / MODEL_JSON, _REMEDY) from error
    if not found:
        return
    others = sorted(found - OWN_FILES) + sorted(name for name in found & OWN_FILES if os.path.isdir(folder / name))
    if others or not holds_model_json(folder / MODEL_JSON):
        name = (others or sorted(found))[0]
        raise OutputError(
            f"{folder} is not empty and no exported model (it holds {name}): {_REMEDY}, or an empty one", _REMEDY
        )
    if not overwrite:
        raise OutputError(
            f"{folder} holds an exported model: {_REMEDY}, or {Remedy.OVERWRITE}", _REMEDY, Remedy.OVERWRITE
        )


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """The folder and its parents; those that were made go again where nothing comes to lie in them."""
    made = []
    try:
        for path in reversed((folder, *folder.parents)):
            if not os.path.isdir(path):
                path.mkdir()
                made.append(path)
        yield
    except OSError as error:
        raise unwritable(error, folder / MODEL_JSON, _REMEDY) from error
    finally:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()


class _Draft:
    """Files under temporary names, which get their own all together or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def __enter__(self) -> _Draft:
        # What an export that was killed has left.
        OutputDirectory(self._folder).sweep()
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._files.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        """A file to be written, which will be called `name`."""
        path = self._folder / f".mrcnn-cv-{secrets.token_hex(6)}.tmp"
        self._files[name] = path
        with open(path, "xb") as file:
            yield file

    def write(self, name: str, data: bytes) -> None:
        with self.file(name) as file:
            file.write(data)

    def place(self) -> list[tuple[Path, int]]:
        """Give every file its name, in the order in which they were written."""
        placed = []
        for name, path in self._files.items():
            size = path.stat().st_size
            os.replace(path, self._folder / name)
            placed.append((self._folder / name, size))
        return placed


class _HashingWriter:
    """A file that knows what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)

    def file(self) -> NetFile:
        return NetFile(self._bytes, self._digest.hexdigest())
