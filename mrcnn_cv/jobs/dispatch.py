"""Which job is meant by the sources that somebody names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from mrcnn_cv.errors import UsageError
from mrcnn_cv.inputs.classify import classify, is_animation
from mrcnn_cv.inputs.images.sorting import IMAGE_SUFFIXES
from mrcnn_cv.util.redact import redact_url

JobKind: TypeAlias = Literal["images", "video", "stream"]


def job_for(sources: Sequence[str], *, images_only: bool = False) -> JobKind:
    """The job for these sources. images_only: other options name images, too.

    UsageError where they are of several kinds.
    """
    kinds = {source: classify(source) for source in sources}
    every = set(kinds.values()) | ({"images"} if images_only else set())
    if "live" in every and (len(every) > 1 or len(sources) > 1):
        live = next(source for source, kind in kinds.items() if kind == "live")
        raise UsageError(f"{redact_url(live)} is a camera or a stream, and goes alone: leave the other sources out")
    if every == {"live"} or every == {"video"}:
        return "stream" if "live" in every else "video"
    videos = [source for source, kind in kinds.items() if kind == "video" and not _may_be_an_image(Path(source))]
    if videos:
        raise UsageError(f"{videos[0]} is a video, and does not go with images: give each a command of its own")
    return "images"


def _may_be_an_image(path: Path) -> bool:
    """Whether a video can be meant as an image: an animation, or a file that is named like one, which then fails."""
    return is_animation(path) or path.suffix.lower() in IMAGE_SUFFIXES
