"""What a job is asked to do. The command line fills these from its options, a program by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.inputs.video.base import FrameSampling
from mrcnn_cv.util.arguments import check_fields, check_range

PathLike: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True)
class ModelOptions:
    """Which model runs, and on what.

    Attributes
    ----------
    path
        A frozen graph (.pb), an .onnx file, or the folder that holds one.
    backend, device
        As `mrcnn-cv backends` lists them; "auto" takes the fastest that works.
    threads
        For the nets and everything around them; None takes all processors.
    fast
        Use a third of the model's proposals.
    roi
        "pool" cuts regions from feature maps by RoIPool, which rounds them to cells.
    labels, config
        Files with the names of the classes and with the model's settings; None takes those beside the model.
    """

    path: PathLike
    backend: str = "auto"
    device: str | None = None
    threads: int | None = None
    fast: bool = False
    roi: Literal["align", "pool"] = "align"
    labels: PathLike | None = None
    config: PathLike | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_range("threads", self.threads, 1)

    @property
    def files(self) -> list[Path]:
        """The files that make up the model, which no job writes to."""
        path = Path(self.path)
        kinds = ("*.pb", "*.onnx", "*.pth", "*.pt", "*.safetensors")
        graphs = sorted(each for kind in kinds for each in path.glob(kind)) if os.path.isdir(path) else [path]
        return [*graphs, *(Path(each) for each in (self.labels, self.config) if each is not None)]

    @property
    def for_a_worker(self) -> ModelOptions:
        """The same for one more copy of the model, which leaves the threads of the process as they are."""
        return replace(self, threads=None)


@dataclass(frozen=True)
class DetectionOptions:
    """Which instances are kept.

    Attributes
    ----------
    score
        Keep instances with a score above this, 0 to 1; None takes the model's own threshold.
    mask_threshold
        A pixel belongs to an instance above this probability, 0 to 1.
    nms
        Of two boxes of a class with a larger IoU keep one, 0 to 1; None takes the model's own.
    max_instances
        Keep the best ones of each image; None takes the model's own limit.
    classes, exclude
        Names or ids of classes to keep (empty: all), and to leave out.
    """

    score: float | None = 0.5
    mask_threshold: float = 0.5
    nms: float | None = None
    max_instances: int | None = None
    classes: tuple[str | int, ...] = ()
    exclude: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        check_range("score", self.score, 0, 1)
        check_range("mask_threshold", self.mask_threshold, 0, 1)
        check_range("nms", self.nms, 0, 1)
        check_range("max_instances", self.max_instances, 1)


@dataclass(frozen=True)
class ImageSelection:
    """Which images of the sources are taken.

    Attributes
    ----------
    lists
        Text or CSV files that name more images.
    recursive
        Search the subfolders of a folder.
    include_files, exclude_files
        Patterns of file names to take (empty: all images), and to skip.
    watch
        Continue with images that arrive in the folders, until the run is cancelled.
    """

    lists: tuple[PathLike, ...] = ()
    recursive: bool = True
    include_files: tuple[str, ...] = ()
    exclude_files: tuple[str, ...] = ()
    watch: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class OutputOptions:
    """What is written, and where.

    Attributes
    ----------
    directory
        Made where it is missing.
    formats
        Names of `mrcnn_cv.outputs.registry.FORMATS`; empty writes nothing into the directory.
    records
        A file for one JSON record per image, each on a line; "-" is standard output.
    polygons
        Write outlines, not run lengths, into formats that hold either.
    min_area
        In pixels: smaller parts of a mask are left out of outlines.
    soft_edges
        Let cutouts fade out over the border of their mask.
    overwrite
        Replace files that no earlier run has written; start a batch run anew.
    durable
        See to it that each output is on the disk before the run counts it as done, also if the power fails.
    show
        Show each result in a window.
    """

    directory: PathLike = "mrcnn-out"
    formats: tuple[str, ...] = ("overlay",)
    records: PathLike | None = None
    polygons: bool = False
    min_area: int = 0
    soft_edges: bool = False
    overwrite: bool = False
    durable: bool = False
    show: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_range("min_area", self.min_area, 0)


@dataclass(frozen=True)
class RunOptions:
    """How a run goes.

    Attributes
    ----------
    resume
        Continue the run in the output directory: what is done stays, what failed is retried.
    workers
        Images in work at the same time; None takes what turns out the fastest.
    max_failures
        End the run when more images than this failed; None never does.
    """

    resume: bool = False
    workers: int | None = None
    max_failures: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_range("workers", self.workers, 1)
        check_range("max_failures", self.max_failures, 0)


@dataclass(frozen=True)
class VideoOptions:
    """Which frames of a video or stream are taken, and how the annotated video is encoded.

    Attributes
    ----------
    start, end
        In seconds; None: the beginning, the end.
    stride
        Take every so many frames.
    max_fps, max_frames
        Take at most this many frames of each second, and in all.
    codec, crf
        Of the annotated video; crf None takes what suits the codec.
    track
        Give each instance the same number in all frames. Trails and counts of `Style` do so as well.
    stats
        Show rate, delay and instances in the corner of each frame.
    """

    start: float | None = None
    end: float | None = None
    stride: int = 1
    max_fps: float | None = None
    max_frames: int | None = None
    codec: str = "h264"
    crf: int | None = None
    track: bool = False
    stats: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_range("start", self.start, 0)
        check_range("end", self.end, 0)
        check_range("stride", self.stride, 1)
        check_range("max_frames", self.max_frames, 1)
        check_range("crf", self.crf, 0, 63)

    @property
    def sampling(self) -> FrameSampling:
        """Which frames are taken."""
        return FrameSampling(self.start or 0.0, self.end, self.stride, self.max_fps, self.max_frames)


@dataclass(frozen=True)
class StreamOptions:
    """How a camera or a stream is read and shown.

    Attributes
    ----------
    camera_size, camera_fps
        (width, height) in pixels and frames per second to ask the camera for; None takes its own.
    keep_all
        Take every frame, however far that falls behind.
    reconnect
        How often in a row a source that is lost is tried again.
    serve
        (host, port) at which any browser can see the result; None serves nothing.
    """

    camera_size: tuple[int, int] | None = None
    camera_fps: float | None = None
    keep_all: bool = False
    reconnect: int = 5
    serve: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_range("camera_fps", self.camera_fps, 0)
        check_range("reconnect", self.reconnect, 0)


def as_model_options(model: PathLike | ModelOptions) -> ModelOptions:
    """Options for a path alone."""
    return model if isinstance(model, ModelOptions) else ModelOptions(model)


def as_sources(sources: PathLike | Sequence[PathLike]) -> list[str]:
    """A list of texts for one source or several."""
    several = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    return [os.fspath(source) for source in several]


def result_options(
    model: ModelOptions,
    detection: DetectionOptions,
    selection: ImageSelection,
    output: OutputOptions,
    style: Style,
) -> dict[str, Any]:
    """What decides the results of a run, as its manifest (JSON) holds it: a run is resumed with the same."""
    return {
        "labels": None if model.labels is None else os.fspath(model.labels),
        "pipeline_config": None if model.config is None else os.fspath(model.config),
        **asdict(detection),
        "score": "model" if detection.score is None else detection.score,
        "fast": model.fast,
        "save": output.formats or ("none",),
        "polygons": output.polygons,
        "min_area": output.min_area,
        "soft_edges": output.soft_edges,
        "opacity": style.opacity,
        "line_width": style.line_width,
        "hide": sorted(style.hide),
        "color_by": style.color_by,
        "no_recursive": not selection.recursive,
        "include_files": selection.include_files,
        "exclude_files": selection.exclude_files,
    }
