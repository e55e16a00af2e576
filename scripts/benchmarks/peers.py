"""Time mrcnn-cv in turn with other ways of running the same model file on the same image, and with the machine's peak.

    python scripts/benchmarks/peers.py photo.jpg --model graph.pb --against whole-graph --kept 5,20
    python scripts/benchmarks/peers.py photo.jpg --against all --peer-python tf/bin/python --json peers.json

The file is given as it is to the importers of OpenCV, TensorFlow, OpenVINO or ONNX Runtime: only for models that you
trust. Baselines that are not installed, or cannot run the model, are left out, with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from mrcnn_cv.bench.candidate import Candidate, CandidateError
from mrcnn_cv.bench.run import BenchOptions, Case, Variant, bench
from mrcnn_cv.errors import MrcnnCvError
from mrcnn_cv.hub import demo_model
from mrcnn_cv.importers.load import open_model
from scripts.benchmarks.baselines import BASELINES, python_for
from scripts.benchmarks.comparison import PEAK_GEMM, Comparison, lines, png, record

HERE = Path(__file__).resolve().parent
EVERY = "all"


def main() -> None:
    """Print a table; write the record and the chart."""
    given = _arguments()
    options = BenchOptions(
        model=given.model or demo_model(),
        image=given.image,
        config=given.pipeline_config,
        backends=given.backend,
        device=given.device,
        threads=given.threads,
        sizes=given.size,
        kept=given.kept,
        variants=tuple(Variant(roi, fast) for fast in (False, True)[: 1 + given.fast] for roi in given.roi),
        rounds=given.rounds,
    )
    left_out: dict[str, str] = {}

    def tell(text: str) -> None:
        if not given.quiet:
            print(text, file=sys.stderr, flush=True)

    def others(case: Case) -> Iterator[Candidate]:
        yield Candidate(PEAK_GEMM, HERE / "peak_gemm.py", {"threads": case.threads}, threads=case.threads)
        yield from _baselines(case, given.against, given.peer_python, left_out, tell)

    try:
        results = bench(options, tell, others)
        spec = open_model(options.model, None if options.config is None else Path(options.config)).definition
    except MrcnnCvError as error:
        sys.exit(f"error: {error}")
    for group in results.groups:
        left_out |= group.failed
    if PEAK_GEMM in left_out:
        sys.exit(f"error: {PEAK_GEMM} failed: {left_out[PEAK_GEMM]}")
    comparisons = [Comparison.of(group, spec) for group in results.groups]
    text = json.dumps(record(results, comparisons, left_out), indent=2) + "\n"
    if given.json == "-":
        sys.stdout.write(text)
    else:
        print("\n".join(lines(results, comparisons, left_out)))
        if given.json is not None:
            Path(given.json).write_text(text, encoding="ascii")
    if given.plot is not None:
        given.plot.write_bytes(png(results, comparisons))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path, help="without one it is made up")
    parser.add_argument("--model", type=Path, help="default: the demo model")
    parser.add_argument("--pipeline-config")
    parser.add_argument("--backend", type=_names, default=("auto",), help="comma-separated")
    parser.add_argument("--device", help="of OpenVINO or ONNX Runtime")
    parser.add_argument("--threads", type=_numbers, default=(), help="comma-separated; default: all processors")
    parser.add_argument("--size", type=_sizes, default=(), help="640x480,4000x3000; default: the image's own")
    parser.add_argument("--kept", type=_numbers, default=(5,), help="instances to keep, comma-separated")
    parser.add_argument("--roi", type=_names, default=("align",), help="align,pool")
    parser.add_argument("--fast", action="store_true", help="also with a third of the proposals")
    parser.add_argument("--against", type=_baseline_names, default=(), help=f"{','.join(BASELINES)}, or {EVERY}")
    parser.add_argument(
        "--peer-python", action="append", default=[], help="the Python of an environment that has other baselines"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="a file; - is stdout, in place of the table")
    parser.add_argument("--plot", type=Path, help="a PNG")
    parser.add_argument("-q", "--quiet", action="store_true")
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split(",")))


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(dict.fromkeys(map(int, text.split(","))))
    if min(numbers) < 1:
        raise ValueError(text)
    return numbers


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    sizes = []
    for each in text.split(","):
        width, height = map(int, each.split("x"))
        sizes.append((width, height))
    return tuple(sizes)


def _baseline_names(text: str) -> tuple[str, ...]:
    names = tuple(BASELINES) if text == EVERY else _names(text)
    if unknown := [name for name in names if name not in BASELINES]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]} among {', '.join(BASELINES)}")
    return names


def _baselines(
    case: Case, names: tuple[str, ...], pythons: list[str], left_out: dict[str, str], tell: Callable[[str], None]
) -> Iterator[Candidate]:
    """Those that can run; why the others cannot goes into `left_out`."""
    for name in names:
        baseline = BASELINES[name]
        if baseline.title in left_out:
            continue
        tell(f"{baseline.title}: loading")
        try:
            python = python_for(baseline, pythons)
            file = HERE / "baselines" / baseline.file
            candidate = Candidate(baseline.title, file, baseline.job(case), python, threads=case.threads)
        except CandidateError as error:
            left_out[baseline.title] = str(error)
        else:
            yield candidate


if __name__ == "__main__":
    main()
