"""Where results go: every sink is a context manager with `write(frame, instances)`.

A new export format is one new file here and one line in FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self

    from mrcnn_cv.draw import Style
    from mrcnn_cv.frame import Frame
    from mrcnn_cv.instances import Instances
    from mrcnn_cv.sinks.folder import OutputFolder

__all__ = ["FORMATS", "OpenSink", "Sink", "SinkClosed"]


class Sink(Protocol):
    """What the run writes to. OutputError for what cannot be written; SinkClosed where nobody wants more."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, frame: Frame, found: Instances) -> None: ...


class OpenSink:
    """A sink that has nothing to open or close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class SinkClosed(Exception):
    """The reader of a pipe went away, or the user closed the window: the run ends well, without a message.

    delivered: whether the picture at which it ended was still handed over, as a window does before it is closed.
    """

    def __init__(self, delivered: bool = False) -> None:
        super().__init__()
        self.delivered = delivered


def _overlay(folder: OutputFolder, style: Style) -> Sink:
    from mrcnn_cv.sinks.overlay import OverlayImages

    return OverlayImages(folder, style)


def _json(folder: OutputFolder, style: Style) -> Sink:
    from mrcnn_cv.sinks.json_record import JsonRecords

    return JsonRecords(folder)


# Names of --save, in the order in which the sinks of one run are to be written: the overlay's drawing time goes into
# the record. The imports wait for their use, so that --help stays instant.
FORMATS: dict[str, Callable[[OutputFolder, Style], Sink]] = {"overlay": _overlay, "json": _json}
