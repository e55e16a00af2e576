"""Where results go: every sink is a context manager with `write(frame, instances)`.

Some formats have files for each image (ImageFormat), others one file for all (DatasetFormat), which is made from the
records of the images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self

    from mrcnn_cv.drawing.annotate import Style
    from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
    from mrcnn_cv.outputs.storage.record_log import Record
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class Sink(Protocol):
    """What the run writes to. OutputError for what cannot be written; SinkClosed where nobody wants more.

    ordered: False where `write` may be called by several threads at a time, for images in any order.
    """

    @property
    def ordered(self) -> bool: ...

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, frame: Frame, instances: Instances) -> None: ...


class PerImageSink:
    """A sink that has nothing to open or close, and writes files of their own for each image."""

    ordered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class SinkClosed(Exception):
    """The reader of a pipe went away, or the user closed the window: the run ends well, without a message.

    delivered: whether the image at which it ended was still handed over, as a window does before it is closed.
    """

    def __init__(self, delivered: bool = False) -> None:
        super().__init__()
        self.delivered = delivered


@dataclass(frozen=True)
class OutputSettings:
    """What the formats may ask about a run, besides the instances themselves.

    labels      label id → name, of all classes of the model, also of those that nothing was found of
    model       the model file's name
    style       how overlays are painted
    polygons    outlines instead of run lengths, where a format can hold either
    min_area    parts of a mask with fewer pixels than this get no outline of their own
    soft_edges  cutouts fade out over the border of their mask
    """

    labels: Mapping[int, str]
    model: str
    style: Style | None = None
    polygons: bool = False
    min_area: int = 0
    soft_edges: bool = False


class ImageFormat(PerImageSink, ABC):
    """A format of --save with files of their own for each image.

    folder    where they go: `folder.path_for(frame, ...)` names a file, `folder.write(path, data)` writes it
    settings  of the run
    """

    def __init__(self, folder: OutputDirectory, settings: OutputSettings) -> None:
        self.folder = folder
        self.settings = settings

    @abstractmethod
    def write(self, frame: Frame, instances: Instances) -> None:
        """Write the files of one image; OutputError where one cannot be written."""


class DatasetFormat(ABC):
    """A format of --save with one file for all images of a run; a DatasetWriter.

    name  of the file in the output folder
    """

    name: str

    def __init__(self, settings: OutputSettings) -> None:
        """Raises UsageError where a library is missing that the format needs."""
        self.settings = settings

    @abstractmethod
    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        """See `DatasetWriter.assemble`."""


class DatasetWriter(Protocol):
    """One file for all images of a run, made anew from their records whenever it is wanted.

    name  of the file in the output folder
    """

    name: str

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        """Write the file for `records`, which come in the order of the images; it must not hold them all.

        They may be gone through more than once, and are read from disk each time.
        """
