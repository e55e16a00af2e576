"""Items: images that are known but not read yet, whatever they lie in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from time import perf_counter

from mrcnn_cv.errors import InputError, MrcnnCvError, OutputConflict
from mrcnn_cv.inputs.images.decode import decode_image
from mrcnn_cv.structures.frame import Frame, FrameError


@dataclass(frozen=True)
class ImageRef:
    """One image.

    name         how the user would call it (for a file: its path as it was given)
    output_path  where its outputs go below the output folder, as if it were copied there
    path         its file; None where it has none of its own
    read         its bytes; raises InputError, one sentence that begins with the name. It opens what it reads when it is
                 called, so that an ImageRef pickles: a function of a module, a `partial` of one, or a frozen dataclass
    """

    name: str
    output_path: PurePosixPath
    path: Path | None = None
    read: Callable[[], bytes] = field(repr=False, compare=False, default=bytes)


def load(item: ImageRef, index: int) -> Frame | FrameError:
    """Read and decode an image; never raises InputError, nor what `failing` was given."""
    start = perf_counter()
    try:
        image = decode_image(item.read(), item.name)
    except (InputError, OutputConflict) as error:
        return FrameError(item.name, index, error, item.path, item.output_path)
    milliseconds = (perf_counter() - start) * 1000
    return Frame(image, item.name, index, path=item.path, read_ms=milliseconds, output_path=item.output_path)


def failed_ref(name: str, output_path: PurePosixPath, error: InputError) -> ImageRef:
    """An item that stands for something that cannot be read."""
    return ImageRef(name, output_path, None, _Failure(error))


def failing(item: ImageRef, error: OutputConflict) -> ImageRef:
    """An item that is not read, since what comes of it could not be written."""
    return replace(item, read=_Failure(error))


@dataclass(frozen=True)
class _Failure:
    """Reads nothing."""

    error: MrcnnCvError

    def __call__(self) -> bytes:
        raise self.error


@dataclass(frozen=True)
class Listing:
    """What the sources of a run amount to.

    items    in the order in which they are read
    is_batch True where any source stands for many images (a folder, a pattern, a list, an archive)
    left_out how many files in folders and archives are no images by their names
    unfollowed  links in folders that cannot be followed and are no images by their names, with the reason
    """

    items: Sequence[ImageRef]
    is_batch: bool
    left_out: int = 0
    unfollowed: Mapping[str, str] = field(default_factory=dict)
