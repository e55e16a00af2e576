"""What a family of models is, and the file that families are asked about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.other_files import is_onnx, what_else
from mrcnn_cv.model.definition_json import holds_model_json

if TYPE_CHECKING:
    # Readers take time to import; of the families only those that a file may be of need them.
    from mrcnn_cv.importers.onnx.model import OnnxGraph
    from mrcnn_cv.importers.tensorflow.graphdef import Graph
    from mrcnn_cv.model.definition import ModelDefinition

Value = TypeVar("Value")

HEAD_BYTES = 512


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the path before the sentence of a ModelFileError."""
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error


class CandidateFile:
    """A model file whose family is not known yet. What one family has read of it, the next need not read again.

    path  a regular file
    head  its first 512 bytes
    """

    def __init__(self, path: Path) -> None:
        """Raises ModelFileError for a file that cannot be read."""
        self.path = path
        self._made: dict[Callable[[CandidateFile], Any], Any] = {}
        try:
            with path.open("rb") as file:
                self.head = file.read(HEAD_BYTES)
        except OSError as error:
            raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error

    @cached_property
    def is_exported(self) -> bool:
        """Whether it is the model.json of a folder that `mrcnn-cv models export` wrote."""
        return self.path.suffix.lower() == ".json" and holds_model_json(self.path)

    @cached_property
    def other_kind(self) -> str | None:
        """What a file plainly is that none of the readers here can read, as a sentence; None: it may be a model."""
        return None if self.is_exported else what_else(self.path, self.head)

    @property
    def is_onnx(self) -> bool:
        """Whether it is to be read as ONNX."""
        return not self.is_exported and self.other_kind is None and is_onnx(self.head, self.path)

    @property
    def is_frozen_graph(self) -> bool:
        """Whether it is to be read as a frozen TensorFlow graph."""
        return not self.is_exported and self.other_kind is None and not is_onnx(self.head, self.path)

    def onnx_graph(self) -> OnnxGraph:
        """The file as ONNX, read and checked once. Raises ModelFileError, one sentence with the path."""
        return self.once(_onnx_graph)

    def frozen_graph(self) -> Graph:
        """The file as a frozen TensorFlow graph, read and checked once. Raises ModelFileError, as above."""
        return self.once(_frozen_graph)

    def find_frozen_graph(self) -> Graph | None:
        """The same, None for a file that is no such graph, or cannot be read."""
        try:
            return self.frozen_graph() if self.is_frozen_graph else None
        except ModelFileError:
            return None

    def once(self, make: Callable[[CandidateFile], Value]) -> Value:
        """What `make` makes of this file, the first time that it is asked for; its ModelFileError every time."""
        if make not in self._made:
            try:
                self._made[make] = make(self)
            except ModelFileError as error:
                self._made[make] = error
        made = self._made[make]
        if isinstance(made, ModelFileError):
            raise made
        return cast(Value, made)


class Family(ABC):
    """How models of one framework are recognised and read; made without arguments, and keeps nothing."""

    @abstractmethod
    def detect(self, file: CandidateFile) -> bool:
        """Whether the file is of this family.

        Cheap for other files, which may come from anybody: look at `file.head` before anything is read, and read within
        limits, as `file.onnx_graph()` and `file.frozen_graph()` do. False where the file cannot be read.
        """

    @abstractmethod
    def load(self, file: CandidateFile, config: Path | None) -> ModelDefinition:
        """The model in a file that `detect` took.

        config: a file of settings that the user named; None: one that lies beside the model, if any. Raises
        ModelFileError, one sentence with the path that says what is wrong and what to do about it.
        """


def _onnx_graph(file: CandidateFile) -> OnnxGraph:
    from mrcnn_cv.importers.onnx.model import read_onnx

    return read_onnx(file.path)


def _frozen_graph(file: CandidateFile) -> Graph:
    from mrcnn_cv.importers.tensorflow.graphdef import read_graph

    return read_graph(file.path)
