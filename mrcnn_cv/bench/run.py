"""The bench itself: candidates for every backend, image size and number of threads, timed in turn."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.bench.candidate import HERE, Candidate, CandidateError
from mrcnn_cv.bench.interleaved import measure_interleaved
from mrcnn_cv.bench.results import BenchResults, Entry, Group
from mrcnn_cv.engines import select as backends
from mrcnn_cv.errors import BackendError, OutputError
from mrcnn_cv.importers.load import ModelFile, open_model
from mrcnn_cv.inference.preprocess.resize import padded_size, resized_size
from mrcnn_cv.inputs.images.files import read_image
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.outputs.formats.image_files import encode
from mrcnn_cv.util.opencv import cv2
from mrcnn_cv.util.version import __version__

Image = NDArray[np.uint8]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Variant:
    """A way to run the same model. roi: "align", as it was trained, or "pool". fast: with fewer proposals."""

    roi: str = "align"
    fast: bool = False

    @property
    def suffix(self) -> str:
        """What sets it apart in names; "" for the usual way."""
        return "-pool" * (self.roi == "pool") + "-fast" * self.fast


@dataclass(frozen=True)
class BenchOptions:
    """What to run. image: None for a made-up one; sizes: (width, height), none for the image's own.

    device: of OpenVINO or ONNX Runtime. threads: none for all processors. kept: instances to keep.
    """

    model: Path
    image: Path | None = None
    config: str | None = None
    backends: tuple[str, ...] = ("auto",)
    device: str | None = None
    threads: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    kept: tuple[int, ...] = (5,)
    variants: tuple[Variant, ...] = (Variant(),)
    rounds: int = 7


@dataclass(frozen=True)
class Case:
    """What all candidates of a group are given: a model, an image (H, W, 3) uint8 BGR, a folder for temporary files."""

    model: Path
    definition: ModelDefinition
    image: Image
    folder: Path
    threads: int


Others = Callable[[Case], Iterable[Candidate]]
"""Makes further candidates that run in turn with those of mrcnn-cv; each is closed with them."""


def bench(options: BenchOptions, tell: Tell = lambda text: None, others: Others = lambda case: ()) -> BenchResults:
    """Run everything; tell: what is going on, for a person who waits.

    Raises ModelFileError, InputError, BackendError, and OutputError where there is no room for temporary files.
    """
    chosen = tuple(
        dict.fromkeys(backends.choose(name, _device(options, name)).backend.name for name in options.backends)
    )
    file = open_model(options.model, None if options.config is None else Path(options.config))
    image = _made_up() if options.image is None else read_image(options.image)
    groups: list[Group] = []
    for threads, size in product(options.threads or (backends.available_processors(),), options.sizes or (None,)):
        with _temporary_folder() as folder:
            path, resized = _image_file(options.image, image, size, Path(folder))
            case = Case(file.path, file.definition, resized, Path(folder), threads)
            try:
                groups.append(_run_group(options, chosen, case, path, others, tell))
            except CandidateError as error:
                raise BackendError(f"the bench cannot go on: {error}") from error
    return BenchResults(
        machine={
            "mrcnn_cv": __version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "processor": backends.device_name(backends.BACKENDS["cpu"]),
            "processors": backends.available_processors(),
        },
        model=_about_model(file),
        image="made up" if options.image is None else str(options.image),
        rounds=options.rounds,
        groups=groups,
    )


def _device(options: BenchOptions, backend: str) -> str | None:
    """--device, for those that it is meant for."""
    return options.device if backend == "auto" or backend.startswith(("openvino", "onnxruntime")) else None


def _about_model(file: ModelFile) -> dict[str, Any]:
    spec = file.definition
    return {
        "file": str(file.path),
        "bytes": file.path.stat().st_size,
        "architecture": spec.architecture,
        "backbone": spec.backbone,
        "classes": spec.class_count,
        "proposals": spec.proposal_nms.max_total,
    }


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="mrcnn-cv-bench-")
    except OSError as error:
        raise OutputError(f"no temporary folder can be made: {error.strerror or error}") from error


def _image_file(given: Path | None, image: Image, size: tuple[int, int] | None, folder: Path) -> tuple[Path, Image]:
    """(a file of the image at this size, its pixels): the user's own where nothing has to be changed."""
    suffix = ".jpg" if given is not None and given.suffix.lower() in (".jpg", ".jpeg") else ".png"
    if size is None and given is not None and given.suffix.lower() in (".jpg", ".jpeg", ".png"):
        return given, image
    if size is not None:
        smaller = size[0] * size[1] < image.shape[0] * image.shape[1]
        rule = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, size, interpolation=rule), np.uint8)
    path = folder / f"image{suffix}"
    try:
        path.write_bytes(encode(image, suffix, str(path)))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    return path, read_image(path)


def _made_up() -> Image:
    """An image of 640x480 with a dozen shapes on a soft background, always the same one."""
    random = np.random.default_rng(7)
    background = cv2.resize(random.integers(60, 200, (6, 8, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    image = np.asarray(background, np.uint8)
    for _ in range(12):
        x, y = (int(random.integers(40, side - 40)) for side in (640, 480))
        radius, color = int(random.integers(15, 60)), [int(value) for value in random.integers(0, 256, 3)]
        if random.random() < 0.5:
            cv2.circle(image, (x, y), radius, color, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(image, (x - radius, y - radius // 2), (x + radius, y + radius // 2), color, -1)
    return image


def _run_group(
    options: BenchOptions, chosen: tuple[str, ...], case: Case, path: Path, others: Others, tell: Tell
) -> Group:
    """All candidates for one image and number of threads."""
    with ExitStack() as stack:
        entries: list[Entry] = []
        added: list[Entry] = []
        running: list[Candidate] = []
        for entry, candidate in _candidates(options, chosen, case, path, tell):
            running.append(stack.enter_context(candidate))
            entries.append(entry)
        for candidate in others(case):
            running.append(stack.enter_context(candidate))
            added.append(Entry(candidate.name, None, candidate.startup))
        measurements, failed = measure_interleaved(running, options.rounds, tell)
        for entry, candidate in zip((*entries, *added), running, strict=True):
            if entry.label not in failed:
                entry.measurements = measurements[entry.label]
                entry.peak_mib = candidate.peak_mib()
    for entry in entries:
        if entry.label in failed:
            raise CandidateError(f"{entry.label} failed in the middle of it: {failed[entry.label]}")
    height, width = case.image.shape[:2]
    return Group(
        threads=case.threads,
        image=(height, width),
        network_input=padded_size(case.definition.resize, resized_size(case.definition.resize, height, width)),
        entries=entries,
        others=[entry for entry in added if entry.label not in failed],
        failed=failed,
    )


def _candidates(
    options: BenchOptions, chosen: tuple[str, ...], case: Case, path: Path, tell: Tell
) -> Iterator[tuple[Entry, Candidate]]:
    """One for each backend, variant and number of instances."""
    for name, variant, kept in product(chosen, options.variants, options.kept):
        entry_name = f"mrcnn-cv {name}{variant.suffix}"
        tell(f"{entry_name}, {kept} kept: loading")
        job = {
            "model": str(case.model),
            "config": options.config,
            "image": str(path),
            "folder": str(case.folder),
            "backend": name,
            "device": _device(options, name),
            "threads": case.threads,
            "kept": kept,
            "roi": variant.roi,
            "fast": variant.fast,
        }
        candidate = Candidate(f"{entry_name}, {kept} kept", HERE / "steps.py", job)
        yield Entry(entry_name, kept, candidate.startup, fast=variant.fast), candidate
