"""Time and peak memory of whole processes that find the instances of one photo: mrcnn-cv and a peer's script, in turn.

    python scripts/benchmarks/whole_process.py graph.pb photo.jpg --text graph.pbtxt       # against the tutorials' way
    python scripts/benchmarks/whole_process.py model.onnx photo.jpg                        # against ONNX Runtime

Ratios are those of the medians; peak memory is the resident set that the kernel counts (Linux, macOS).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent


class Run(NamedTuple):
    """seconds of the process from start to end, those of all its threads on a processor, and its peak memory in MiB.

    On a machine that does other work as well the second one is what can be compared.
    """

    seconds: float
    busy: float
    memory: float


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--text", type=Path, help="the graph's .pbtxt: race the tutorials' way, not ONNX Runtime")
    parser.add_argument("--backend", default="cpu,openvino,onnxruntime")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--python", default=sys.executable, help="the peer's Python")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.text is None:
            peer = [given.python, HERE / "onnxruntime_script.py", given.model, given.photo]
        else:
            peer = [given.python, HERE / "tutorial.py", given.model, given.text, given.photo]
        commands = {"peer": [*peer, Path(folder) / f"peer{given.photo.suffix}"]}
        for backend in given.backend.split(","):
            commands[backend] = [
                *(sys.executable, "-m", "mrcnn_cv", given.photo, "--model", given.model, "--backend", backend),
                *("--threads", "2", "--max-instances", "5", "-o", Path(folder) / backend, "--overwrite", "-q"),
            ]
        runs = race({name: [str(part) for part in command] for name, command in commands.items()}, given.rounds)
    print(f"{'':14} {'seconds':>8} {'ratio':>6} {'busy':>8} {'ratio':>6} {'MiB':>8} {'ratio':>6}")
    for name, found in runs.items():
        pairs = (f"{value:8.2f} {value / base:6.2f}" for value, base in zip(found, runs["peer"], strict=True))
        print(f"{name:14} {' '.join(pairs)}")


def race(commands: dict[str, list[str]], rounds: int) -> dict[str, Run]:
    """Medians of each command's runs, of which one of each goes first and is not counted."""
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            run = measure(command)
            if number:
                found[name].append(run)
    return {
        name: Run(*(statistics.median(values) for values in zip(*runs, strict=True))) for name, runs in found.items()
    }


def measure(command: list[str]) -> Run:
    """Run a command to its end; SystemExit with its output where it fails."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()}")
    # macOS counts bytes, Linux KiB.
    return Run(
        seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    )


if __name__ == "__main__":
    main()
