"""The bench itself: who runs, on what, and what becomes of it."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.bench.contestant import HERE, CannotRun, Contestant
from mrcnn_cv.bench.limit import gflop_of
from mrcnn_cv.bench.matrices import GFLOP
from mrcnn_cv.bench.peers import PEERS, Case, python_for
from mrcnn_cv.bench.race import race
from mrcnn_cv.bench.results import Entry, Group, Report, Spread
from mrcnn_cv.engines import select as backends
from mrcnn_cv.errors import BackendError, OutputError
from mrcnn_cv.importers.load import ModelFile, open_model
from mrcnn_cv.inference.proposal_budget import with_fewer_proposals
from mrcnn_cv.inputs.images.files import read_image
from mrcnn_cv.jobs.inspect_model import input_sizes
from mrcnn_cv.outputs.formats.overlay import encode
from mrcnn_cv.util.opencv import cv2
from mrcnn_cv.util.version import __version__

Image = NDArray[np.uint8]
Tell = Callable[[str], None]

MATRICES = "matrices"


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
class Plan:
    """What to run. image: None for one that is made up; sizes: (width, height), none for the picture's own.

    device: of OpenVINO or ONNX Runtime. against: names of PEERS. pythons: interpreters of environments that may have
    the peers' packages.
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
    against: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    rounds: int = 7


def bench(plan: Plan, tell: Tell = lambda text: None) -> Report:
    """Run everything; tell: what is going on, for a person who waits.

    Raises ModelFileError, InputError, BackendError, and OutputError where there is no room for temporary files.
    """
    chosen = tuple(dict.fromkeys(backends.choose(name, _place(plan, name)).backend.name for name in plan.backends))
    file = open_model(plan.model, None if plan.config is None else Path(plan.config))
    picture = _made_up() if plan.image is None else read_image(plan.image)
    groups: list[Group] = []
    left_out: dict[str, str] = {}
    for threads, size in product(plan.threads or (backends.available_processors(),), plan.sizes or (None,)):
        with _temporary_folder() as folder:
            path, shown = _picture_file(plan.image, picture, size, Path(folder))
            case = Case(file.path, file.spec, shown, Path(folder), threads)
            try:
                groups.append(_run_group(plan, chosen, case, path, left_out, tell))
            except CannotRun as error:
                raise BackendError(f"the bench cannot go on: {error}") from error
    return Report(
        machine={
            "mrcnn_cv": __version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "processor": backends.device_name(backends.BACKENDS["cpu"]),
            "processors": backends.available_processors(),
        },
        model=_about_model(file),
        picture="made up" if plan.image is None else str(plan.image),
        rounds=plan.rounds,
        groups=groups,
        left_out=left_out,
    )


def _place(plan: Plan, backend: str) -> str | None:
    """--device, for those that it is meant for."""
    return plan.device if backend == "auto" or backend.startswith(("openvino", "onnxruntime")) else None


def _about_model(file: ModelFile) -> dict[str, Any]:
    spec = file.spec
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


def _picture_file(given: Path | None, picture: Image, size: tuple[int, int] | None, folder: Path) -> tuple[Path, Image]:
    """(a file of the picture at this size, its pixels): the user's own where nothing has to be changed."""
    suffix = ".jpg" if given is not None and given.suffix.lower() in (".jpg", ".jpeg") else ".png"
    if size is None and given is not None and given.suffix.lower() in (".jpg", ".jpeg", ".png"):
        return given, picture
    if size is not None:
        smaller = size[0] * size[1] < picture.shape[0] * picture.shape[1]
        rule = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, size, interpolation=rule), np.uint8)
    path = folder / f"picture{suffix}"
    try:
        path.write_bytes(encode(picture, suffix, str(path)))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    return path, read_image(path)


def _made_up() -> Image:
    """A picture of 640x480 with a dozen shapes on a soft ground, always the same one."""
    random = np.random.default_rng(7)
    ground = cv2.resize(random.integers(60, 200, (6, 8, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    picture = np.asarray(ground, np.uint8)
    for _ in range(12):
        x, y = (int(random.integers(40, side - 40)) for side in (640, 480))
        radius, colour = int(random.integers(15, 60)), [int(value) for value in random.integers(0, 256, 3)]
        if random.random() < 0.5:
            cv2.circle(picture, (x, y), radius, colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(picture, (x - radius, y - radius // 2), (x + radius, y + radius // 2), colour, -1)
    return picture


def _run_group(
    plan: Plan, chosen: tuple[str, ...], case: Case, path: Path, left_out: dict[str, str], tell: Tell
) -> Group:
    """All contestants for one picture and number of threads."""
    with ExitStack() as stack:
        entries: list[Entry] = []
        running: list[Contestant] = []
        for entry, contestant in _contestants(plan, chosen, case, path, left_out, tell):
            running.append(stack.enter_context(contestant))
            entries.append(entry)
        matrices = stack.enter_context(
            Contestant(MATRICES, HERE / "matrices.py", {"threads": case.threads}, threads=case.threads)
        )
        turns, failed = race([*running, matrices], plan.rounds, tell)
        for entry, contestant in zip(entries, running, strict=True):
            if entry.label not in failed:
                entry.turns = turns[entry.label]
                entry.peak_mib = contestant.peak_mib()
    height, width = case.picture.shape[:2]
    for name in (MATRICES, *(entry.label for entry in entries if not entry.is_peer)):
        if name in failed:
            raise CannotRun(f"{name} failed in the middle of it: {failed[name]}")
    for entry in entries:
        if not entry.is_peer:
            spec = with_fewer_proposals(case.spec) if entry.fast else case.spec
            entry.gflop = gflop_of(spec, (height, width), entry.found or 0)
    left_out |= {entry.name: failed[entry.label] for entry in entries if entry.label in failed}
    return Group(
        threads=case.threads,
        image=(height, width),
        network_input=input_sizes(case.spec, (height, width))[1],
        entries=[entry for entry in entries if entry.label not in failed],
        rates=_rates(turns[MATRICES]),
    )


def _rates(turns: list[Any]) -> dict[str, float]:
    """GFLOP/s of each way of multiplying matrices."""
    return {name: GFLOP / Spread.of([turn.steps[name] for turn in turns]).median * 1000 for name in turns[0].steps}


def _contestants(
    plan: Plan, chosen: tuple[str, ...], case: Case, path: Path, left_out: dict[str, str], tell: Tell
) -> Iterator[tuple[Entry, Contestant]]:
    """Ours, then the peers that can run; why the others cannot goes into `left_out`."""
    for name, variant, kept in product(chosen, plan.variants, plan.kept):
        entry_name = f"mrcnn-cv {name}{variant.suffix}"
        tell(f"{entry_name}, {kept} kept: loading")
        job = {
            "model": str(case.model),
            "config": plan.config,
            "image": str(path),
            "folder": str(case.folder),
            "backend": name,
            "device": _place(plan, name),
            "threads": case.threads,
            "kept": kept,
            "roi": variant.roi,
            "fast": variant.fast,
        }
        ours = Contestant(f"{entry_name}, {kept} kept", HERE / "ours.py", job)
        yield Entry(entry_name, False, kept, ours.start, fast=variant.fast), ours
    for name in plan.against:
        peer = PEERS[name]
        if peer.title in left_out:
            continue
        tell(f"{peer.title}: loading")
        try:
            python = python_for(peer, plan.pythons)
            contestant = Contestant(
                peer.title, HERE / "peers" / peer.file, peer.job(case), python, threads=case.threads
            )
        except CannotRun as error:
            left_out[peer.title] = str(error)
            continue
        yield Entry(peer.title, True, None, contestant.start), contestant
