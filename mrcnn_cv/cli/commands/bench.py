"""`mrcnn-cv bench`: how fast this machine runs a model, and against other ways of running it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.console.messages import echo_message, sanitize
from mrcnn_cv.cli.groups import GroupedCommand
from mrcnn_cv.cli.options import BACKENDS, MAX_THREADS, ROI, option
from mrcnn_cv.cli.param_types import CommaList, PathText, is_engine
from mrcnn_cv.cli.resolve_model import resolve_model
from mrcnn_cv.cli.setup import check_stdout
from mrcnn_cv.errors import UsageError

if TYPE_CHECKING:
    from mrcnn_cv.bench.results import Report
    from mrcnn_cv.jobs.report_file import ReportFile

MODEL, RUNS, OUTPUT, MESSAGES = "Model", "What runs", "Output", "Messages"

# Spelled out, so that --help imports neither OpenCV nor numpy; a test compares them with the real ones.
PEERS = ("whole-graph", "tensorflow", "openvino", "openvino-bf16", "onnxruntime")
EVERY = "all"

_MAX_KEPT = 1000


@click.command(cls=GroupedCommand, short_help="Time a model here, step by step, and against peers.")
@click.argument("image", required=False, type=PathText(), metavar="[IMAGE]")
@option(
    MODEL,
    "--model",
    type=PathText(),
    metavar="PATH|NAME",
    help="Frozen graph (.pb), .onnx, the folder or .tar.gz that holds it, or a name from `mrcnn-cv models list`.",
    default_note="the small demo model that comes with mrcnn-cv",
)
@option(
    MODEL,
    "--yes",
    is_flag=True,
    environment=False,
    envvar="MRCNN_CV_AUTO_PULL",
    help="Pull the named model without asking where it is not on this machine yet.",
)
@option(
    MODEL,
    "--pipeline-config",
    type=PathText(),
    metavar="FILE",
    help="The model's pipeline.config, or values of a matterport Config or a Detectron2 config.",
    default_note="the one beside the model",
)
@option(
    RUNS,
    "--backend",
    "backends",
    type=CommaList(BACKENDS, is_plugin=is_engine),
    default="auto",
    metavar="NAMES",
    help="Backends to time, comma-separated: cpu,openvino.",
)
@option(RUNS, "--device", metavar="NAME", help="What OpenVINO computes on: CPU, GPU, NPU.", default_note="CPU")
@option(
    RUNS,
    "--threads",
    type=CommaList(),
    metavar="NUMBERS",
    help="Threads, comma-separated: 1,2.",
    default_note="all processors",
)
@option(
    RUNS,
    "--size",
    "sizes",
    type=CommaList(),
    metavar="SIZES",
    help="Sizes to which the picture is brought first, comma-separated: 640x480,4000x3000.",
    default_note="its own",
)
@option(
    RUNS,
    "--kept",
    type=CommaList(),
    default="5",
    metavar="NUMBERS",
    help="Instances to keep, the best ones whatever their score, comma-separated: 5,20.",
)
@option(
    RUNS,
    "--roi",
    type=CommaList(ROI),
    default="align",
    metavar="METHODS",
    help="How regions are cut from feature maps, comma-separated: align, as models are trained, pool.",
)
@option(RUNS, "--fast", is_flag=True, help="Time it with a third of the model's proposals, too.")
@option(
    RUNS,
    "--against",
    type=CommaList((*PEERS, EVERY), alone=EVERY),
    metavar="PEERS",
    help=f"Other ways to run the same file, comma-separated: {', '.join(PEERS)}; or {EVERY}.",
    default_note="none",
)
@option(
    RUNS,
    "--peer-python",
    "pythons",
    type=PathText(),
    multiple=True,
    metavar="PYTHON",
    help="The Python of an environment with peers that are not installed here; may be given several times.",
    default_note="none",
)
@option(
    RUNS, "--rounds", type=click.IntRange(1, 1000), default="7", metavar="N", help="Rounds in which all run in turn."
)
@option(
    OUTPUT,
    "--json",
    "as_json",
    type=PathText(),
    metavar="FILE",
    help="All numbers as JSON; - is stdout.",
    environment=False,
)
@option(OUTPUT, "--plot", type=PathText(), metavar="FILE.png", help="The times as a picture.", environment=False)
@option(OUTPUT, "--overwrite", is_flag=True, help="Replace files other than outputs of an earlier run.")
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="Do not say on stderr what is going on.")
def bench(image: str | None, **options: Any) -> None:
    """Time a model on this machine.

    IMAGE is a picture; without one it is made up. Each step is timed, over several rounds after a warm-up; shown are
    the median and the quartiles, what the arithmetic alone would take, and with --against how many times as fast
    mrcnn-cv is as others on the same file and picture, in the same rounds.
    """
    numbers = {name: _numbers(f"--{name}", options[name], maximum) for name, maximum in _NUMBERS.items()}
    sizes = tuple(_size(text) for text in options["sizes"] or ())
    against = options["against"] or ()
    check_stdout(options["as_json"])
    model = _model()
    as_json, plot = _files(image, model, options)
    from mrcnn_cv.bench.run import Plan, Variant
    from mrcnn_cv.bench.run import bench as run

    plan = Plan(
        model=model,
        image=None if image is None else Path(image),
        config=options["pipeline_config"],
        backends=options["backends"],
        device=options["device"],
        threads=numbers["threads"],
        sizes=sizes,
        kept=numbers["kept"],
        variants=tuple(Variant(roi, fast) for fast in (False, True)[: 1 + options["fast"]] for roi in options["roi"]),
        against=PEERS if EVERY in against else against,
        pythons=options["pythons"],
        rounds=options["rounds"],
    )
    report = run(plan, (lambda text: None) if options["quiet"] else (lambda text: echo_message(f"mrcnn-cv: {text}")))
    _show(report, as_json, plot)


_NUMBERS = {"threads": MAX_THREADS, "kept": _MAX_KEPT}


def _numbers(name: str, texts: tuple[str, ...] | None, maximum: int) -> tuple[int, ...]:
    for text in texts or ():
        if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= maximum):
            raise UsageError(f"{name} takes whole numbers from 1 to {maximum}, comma-separated, not '{text}'")
    return tuple(dict.fromkeys(map(int, texts or ())))


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text)
    if match is None:
        raise UsageError(f"--size takes WIDTHxHEIGHT in pixels, such as 640x480, not '{text}'")
    # Not at the top, so that --help does not import numpy.
    from mrcnn_cv.inputs.images.header_size import max_pixels

    width, height = int(match[1]), int(match[2])
    if width * height > max_pixels():
        raise UsageError(f"--size takes at most {max_pixels():,} pixels, and {text} has {width * height:,}")
    return width, height


def _model() -> Path:
    context = click.get_current_context()
    resolve_model(context)
    return Path(context.params["model"])


def _files(image: str | None, model: Path, options: dict[str, Any]) -> tuple[ReportFile | None, ReportFile | None]:
    """What --json and --plot name. A run takes minutes: what cannot be written at its end is said at its beginning."""
    from mrcnn_cv.jobs.options import ModelOptions
    from mrcnn_cv.jobs.report_file import ReportFile, check_different

    check_different(options["as_json"], options["plot"])
    protected = [
        *ModelOptions(model, config=options["pipeline_config"]).files,
        *([] if image is None else [Path(image)]),
    ]
    as_json, plot = (
        None if name is None else ReportFile(name, overwrite=options["overwrite"], protected=protected)
        for name in (options["as_json"], options["plot"])
    )
    return as_json, plot


def _show(report: Report, as_json: ReportFile | None, plot: ReportFile | None) -> None:
    """The table, unless the JSON takes its place on stdout; then the files."""
    from mrcnn_cv.bench.table import lines

    if as_json is None or as_json.name != "-":
        for line in lines(report):
            click.echo(sanitize(line))
    if as_json is not None:
        # ASCII alone: names of files may hold bytes that are no UTF-8.
        as_json.write(json.dumps(report.to_dict(), indent=2).encode("ascii") + b"\n")
    if plot is not None:
        from mrcnn_cv.bench.plot import png

        plot.write(png(report))
