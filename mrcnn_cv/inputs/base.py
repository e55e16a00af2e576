"""What a kind of input is: how a SOURCE of the command line is recognised, and what it stands for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mrcnn_cv.errors import InputError
from mrcnn_cv.util.redact import redact_url

if TYPE_CHECKING:
    from mrcnn_cv.inputs.classify import Kind
    from mrcnn_cv.inputs.image_ref import ImageRef
    from mrcnn_cv.inputs.images.directories import DirectoryScan
    from mrcnn_cv.inputs.video.base import VideoSource


STDIN = "-"


@dataclass(frozen=True)
class ImageGroup:
    """The images of one source, in the order in which they are read.

    folder  what the folder is called that their outputs go below where there are several sources; None: the source is
            one image, not a collection
    """

    items: Sequence[ImageRef]
    folder: str | None = None


class InputKind(ABC):
    """A kind of source; made without arguments, and keeps nothing. A source that is of another kind gets None."""

    @abstractmethod
    def classify(self, source: str) -> Kind | None:
        """What a source of this kind is: images, a video file, or something live."""

    def list_images(self, source: str, scan: DirectoryScan) -> ImageGroup | None:
        """The images of a source that is images; reads none of them.

        What cannot be read is a `failed_ref`, which fails when its turn comes. What it gives must pickle.
        """
        return None

    def open_live(self, source: str, size: tuple[int, int] | None, rate: float | None) -> VideoSource:
        """Open a source that is live, which may be opened anew when it breaks off; InputError where it cannot be.

        size: (width, height), rate: frames per second, to ask a camera for; None: its own.
        """
        raise InputError(f"{redact_url(source)} is not a camera or a stream")
