"""The kinds of sources that mrcnn-cv knows by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mrcnn_cv.errors import InputError, Remedy
from mrcnn_cv.inputs import classify
from mrcnn_cv.inputs.base import STDIN, ImageGroup, InputKind
from mrcnn_cv.inputs.image_ref import ImageRef, failed_ref
from mrcnn_cv.inputs.images.archives import archive_output_path, in_archive, is_archive
from mrcnn_cv.inputs.images.directories import DirectoryScan, file_ref, in_folder, is_pattern, matching
from mrcnn_cv.inputs.images.files import max_bytes
from mrcnn_cv.inputs.images.glob import glob_files
from mrcnn_cv.inputs.images.urls import is_url, ref_at_url
from mrcnn_cv.util import filenames

if TYPE_CHECKING:
    from mrcnn_cv.inputs.classify import Kind
    from mrcnn_cv.inputs.video.base import VideoSource


class StandardInput(InputKind):
    """-: one image."""

    def classify(self, source: str) -> Kind | None:
        return "pictures" if source == STDIN else None

    def list_images(self, source: str, scan: DirectoryScan) -> ImageGroup | None:
        return ImageGroup([ImageRef(STDIN, PurePosixPath("stdin"), None, read_stdin)]) if source == STDIN else None


class Folder(InputKind):
    """A folder of images, with what is below it."""

    def classify(self, source: str) -> Kind | None:
        return "pictures" if os.path.isdir(source) else None

    def list_images(self, source: str, scan: DirectoryScan) -> ImageGroup | None:
        if not os.path.isdir(source):
            return None
        path = Path(source)
        return ImageGroup(in_folder(path, scan) or [_nothing(path)], path.resolve().name)


class CameraDevice(InputKind):
    """0, 1, ... or a video device."""

    def classify(self, source: str) -> Kind | None:
        is_one = classify.is_device(Path(source)) if os.path.lexists(source) else classify.names_a_camera(source)
        return "live" if is_one else None

    def open_live(self, source: str, size: tuple[int, int] | None, rate: float | None) -> VideoSource:
        from mrcnn_cv.inputs.video.camera import Camera, is_camera
        from mrcnn_cv.inputs.video.stream import Stream

        return Camera(source, size, rate) if is_camera(source) else Stream(source)


class NetworkStream(InputKind):
    """rtsp://... and its like."""

    def classify(self, source: str) -> Kind | None:
        return "live" if classify.is_stream(source) and not os.path.lexists(source) else None

    def open_live(self, source: str, size: tuple[int, int] | None, rate: float | None) -> VideoSource:
        from mrcnn_cv.inputs.video.stream import Stream

        return Stream(source)


class Url(NetworkStream):
    """An http or https address: an image, or a stream by its suffix or by what the server says."""

    def classify(self, source: str) -> Kind | None:
        return classify.kind_of_address(source) if _is_url(source) else None

    def list_images(self, source: str, scan: DirectoryScan) -> ImageGroup | None:
        return ImageGroup([ref_at_url(source)]) if _is_url(source) else None


class Pattern(InputKind):
    """A pattern that something matches: images, or videos where all are."""

    def classify(self, source: str) -> Kind | None:
        paths = glob_files(source) if _is_pattern(source) else []
        if not paths:
            return None
        return "video" if all(classify.classify(path) == "video" for path in paths) else "pictures"

    def list_images(self, source: str, scan: DirectoryScan) -> ImageGroup | None:
        items = matching(source, scan) if _is_pattern(source) else []
        return ImageGroup(items, "") if items else None


class Archive(InputKind):
    """A .zip or .tar of images."""

    def classify(self, source: str) -> Kind | None:
        return "pictures" if is_archive(Path(source)) else None

    def list_images(self, source: str, scan: DirectoryScan) -> ImageGroup | None:
        path = Path(source)
        if not is_archive(path):
            return None
        try:
            items = in_archive(path, scan) or [_nothing(path)]
        except InputError as error:
            items = [failed_ref(str(path), archive_output_path(path), error)]
        return ImageGroup(items, archive_output_path(path).name)


class ImageFile(InputKind):
    """An image's file, by its content."""

    def classify(self, source: str) -> Kind | None:
        is_one = os.path.lexists(source) and classify.kind_of_file(Path(source)) == "pictures"
        return "pictures" if is_one else None

    def list_images(self, source: str, scan: DirectoryScan) -> ImageGroup | None:
        # An animation may be meant as an image.
        path = Path(source)
        return image_file(path) if self.classify(source) or classify.is_animation(path) else None


class VideoFileKind(InputKind):
    """A video's file, by its content, and else by its name."""

    def classify(self, source: str) -> Kind | None:
        path = Path(source)
        if not os.path.lexists(source):
            return "video" if path.suffix.lower() in classify.VIDEOS else None
        return "video" if classify.kind_of_file(path) == "video" else None


def image_file(path: Path) -> ImageGroup:
    """The image at a path, whatever is there."""
    return ImageGroup([file_ref(path, PurePosixPath(path.name))])


def read_stdin() -> bytes:
    """All of standard input, which must be an image; InputError otherwise."""
    stream = sys.stdin
    try:
        data = b"" if stream is None or stream.isatty() else stream.buffer.read(max_bytes() + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"- cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > max_bytes():
        raise InputError(f"- has more than the {max_bytes():,} bytes that an image may have: make the image smaller")
    if not data:
        raise InputError("- is an image from standard input, but nothing came: mrcnn-cv - < photo.jpg")
    return data


def _nothing(path: Path) -> ImageRef:
    """A folder or archive without images is most likely a mistake."""
    error = InputError(
        f"{path} holds no images, by their names: check the path, or {Remedy.FILE_PATTERNS}", Remedy.FILE_PATTERNS
    )
    return failed_ref(str(path), filenames.safe_relative_path([path.name]), error)


def _is_url(source: str) -> bool:
    return is_url(source) and not os.path.lexists(source)


def _is_pattern(source: str) -> bool:
    return is_pattern(source) and not os.path.lexists(source)
