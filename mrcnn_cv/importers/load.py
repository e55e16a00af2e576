"""From a path to a ModelDefinition: find the file, say what it is, hand it to its family."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mrcnn_cv.errors import ModelFileError, PluginError
from mrcnn_cv.importers.base import CandidateFile, Family, named
from mrcnn_cv.importers.checkpoints.load import is_checkpoint
from mrcnn_cv.importers.other_files import FREEZE, GRAPH_NAME, WEIGHTS_SUFFIXES, is_named_as_weights
from mrcnn_cv.importers.registry import FAMILIES
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.definition_json import MODEL_JSON, holds_model_json
from mrcnn_cv.model.validate import check_model
from mrcnn_cv.util import files

_SAVED_MODEL_FILES = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb")


@dataclass(frozen=True)
class ModelFile:
    """A model as found on disk: the file, its graph in our terms, and what was odd about it."""

    path: Path
    definition: ModelDefinition


def open_model(path: Path, config: Path | None = None) -> ModelFile:
    """Open a graph (`.pb`, `.onnx`), weights, the folder that holds them, or one that `jobs.export` has written.

    config: a pipeline.config, or the values of a matterport Config, a Detectron2 config, or of torchvision's arguments;
    one in the same folder is taken by itself.
    Raises ModelFileError, one sentence that names the file and says what it is and what to do.
    """
    found = find_model_file(path)
    try:
        file = _read(found, config)
        with named(found):
            check_model(file.definition)
    except (ArithmeticError, LookupError, ValueError, TypeError, RecursionError) as error:
        # A last net: what readers know to be wrong they say themselves.
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ModelFileError(f"{found} contradicts itself in a way that mrcnn-cv does not know ({what})") from error
    return file


def _read(found: Path, config: Path | None) -> ModelFile:
    """Hand a file to the first family that detects it; one that none of ours can read to those of other packages."""
    file = CandidateFile(found)
    try:
        for name in FAMILIES:
            if _detects(name, file):
                return ModelFile(found, _load(name, file, config))
        _refuse(file)
    except ModelFileError as error:
        return ModelFile(found, _read_by_plugin(file, config, error))


def _read_by_plugin(file: CandidateFile, config: Path | None, refusal: ModelFileError) -> ModelDefinition:
    """The model by a family of another package; `refusal` where none detects it.

    One that is broken is no reason to refuse the file, but may be why nobody can read it.
    """
    broken: list[str] = []
    try:
        names = FAMILIES.installed()
    except PluginError as error:
        raise ModelFileError(f"{refusal}; {error}") from error
    for name in names:
        try:
            is_its_own = _detects(name, file)
        except PluginError as error:
            broken.append(str(error))
            continue
        if is_its_own:
            return _load(name, file, config)
    if broken:
        raise ModelFileError("; ".join([str(refusal), *broken])) from refusal
    raise refusal


def _detects(name: str, file: CandidateFile) -> bool:
    family: Family = FAMILIES.create(name)
    with FAMILIES.blame(name):
        return family.detect(file)


def _load(name: str, file: CandidateFile, config: Path | None) -> ModelDefinition:
    family: Family = FAMILIES.create(name)
    with FAMILIES.blame(name):
        spec = family.load(file, config)
        if not isinstance(spec, ModelDefinition):
            raise TypeError(f"load gave a {type(spec).__name__}, not a ModelDefinition")
        return spec


def _refuse(file: CandidateFile) -> NoReturn:
    """Say what a file is that no family detects."""
    if is_named_as_weights(file.path) or is_checkpoint(file):
        from mrcnn_cv.importers.architectures.plugin import refuse as refuse_weights

        refuse_weights(file)
    if file.other_kind is not None:
        raise ModelFileError(file.other_kind)
    if file.is_onnx:
        from mrcnn_cv.importers.pytorch.plugin import find_detector

        find_detector(file)
    from mrcnn_cv.importers.object_detection_api.plugin import refuse

    refuse(file)


def find_model_file(path: Path) -> Path:
    """The model that a path means: the file itself, or the one in a folder; ModelFileError where there is none."""
    try:
        kind = files.kind(path)
        if kind == "folder":
            return _in_folder(path)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be opened: {error.strerror or error}") from error
    if kind is None:
        raise ModelFileError(f"there is no model file {path}: check its name and folder")
    if kind == "other":
        raise ModelFileError(f"{path} is not a regular file, so it is not a model")
    return path


def _in_folder(folder: Path) -> Path:
    if os.path.isfile(folder / GRAPH_NAME):
        return folder / GRAPH_NAME
    if holds_model_json(folder / MODEL_JSON):
        return folder / MODEL_JSON
    names = sorted(os.listdir(folder))
    graphs = [folder / name for name in names if name.endswith(".pb") and name not in _SAVED_MODEL_FILES]
    graphs = graphs or [folder / name for name in names if name.endswith(".onnx")]
    graphs = graphs or [folder / name for name in names if name.endswith(WEIGHTS_SUFFIXES)]
    if len(graphs) == 1:
        return graphs[0]
    if graphs:
        several = ", ".join(file.name for file in graphs[:5])
        raise ModelFileError(f"the folder {folder} holds several models ({several}): name one of them")
    if os.path.exists(folder / "saved_model.pb") or os.path.isdir(folder / "saved_model"):
        raise ModelFileError(f"the folder {folder} holds a SavedModel, not a frozen graph: {FREEZE}")
    raise ModelFileError(f"the folder {folder} holds no {GRAPH_NAME}: name the model file itself")
