"""Two runs side by side for hours, on input that misbehaves: does anything grow, is everything accounted for?

One run watches a folder into which a mixed file comes every second; the other one shows, records and follows what a
camera on the network sends, which stalls, drops and changes its size, while viewers come and go.

    python tests/robustness/soak/soak.py --minutes 120 --report soak.json
    python tests/robustness/soak/soak.py --minutes 4

Every half minute the memory, file handles and threads of both go to the log (on Linux; elsewhere it says that it cannot
tell). At the end: exit code 0 where everything is flat, all files are accounted for, the outputs can be read and the
exit codes are right; else 1. Pauses of the whole (SIGSTOP) do no harm.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from tests.robustness.soak.accounts import check_folder_run, check_live_run, told_of
from tests.robustness.soak.camera import Camera, Viewers
from tests.robustness.soak.feeder import Feeder
from tests.robustness.soak.figures import CAN_LOOK, look, verdict

REPOSITORY = Path(__file__).resolve().parents[3]

LOOK_SECONDS = 30.0
"""Between two looks at the processes; less in a short run."""

WARM_UP_SECONDS = 180.0
"""In which memory grows to what the largest images and all threads at once take."""
SETTLE_SECONDS = 8.0
"""The program waits for two looks at a file that are alike."""

MOST_SETTLE_SECONDS = 180.0
"""On a machine that is busy with other things."""

BURST_FILES = 300
BURST_MINUTES = 15.0
"""Somebody copies a whole folder in: at the start, so that the run soon is as large as it gets, and again."""

STILL_SECONDS = 3.0
"""A turn that takes longer: somebody stopped the whole for a while."""

Image = np.ndarray[Any, Any]


class Runs:
    """The two programs that run, and what goes into them."""

    def __init__(self, folder: Path, program: list[str], seed: int, fps: float) -> None:
        base = np.asarray(cv2.imread(str(REPOSITORY / "examples" / "shapes.jpg")))
        chance = random.Random(seed)
        self.folder = folder
        (folder / "in").mkdir(parents=True)
        self.feeder = Feeder(folder / "in", base, chance)
        self.camera = Camera(base, random.Random(seed + 1), fps)
        watch = ["in", "--watch", "-o", "out", "--save", "overlay,coco,csv,jsonl", "--progress", "lines"]
        live = [self.camera.address, "--serve", "0", "--track", "--reconnect", "8", "--save", "overlay", "-o", "live"]
        self.processes = {
            "watch": self._start("watch", [*program, *watch, "--workers", "1", "--threads", "1"]),
            "live": self._start("live", [*program, *live, "--json", "live.jsonl", "--threads", "1"]),
        }
        self.still_seconds = 0.0
        self.viewers = Viewers(self._wait_for_address(), random.Random(seed + 2))

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _wait_for_address(self) -> str:
        while self.processes["live"].poll() is None:
            if found := re.search(r"live view: (\S+)", (self.folder / "live.log").read_text("utf-8")):
                return found[1]
            time.sleep(0.1)
        raise SystemExit("the live run ended before it began: " + (self.folder / "live.log").read_text("utf-8"))

    def settle(self) -> None:
        """Wait until the run that watches has told of every file that it has to tell of."""
        self.feeder.finish()
        end = time.monotonic() + MOST_SETTLE_SECONDS
        due = {place for place, fate in self.feeder.expected.items() if fate not in ("none", "any")}
        # Also for the last change of a file that was told of before.
        time.sleep(SETTLE_SECONDS)
        while due - told_of(self.folder / "out").keys() and time.monotonic() < end:
            time.sleep(1.0)

    def end(self) -> dict[str, int]:
        """End both as a user or a service manager does; their exit codes."""
        self.viewers.close()
        self.processes["watch"].send_signal(signal.SIGINT)
        self.processes["live"].send_signal(signal.SIGTERM)
        codes = {name: process.wait(300) for name, process in self.processes.items()}
        self.camera.close()
        return codes

    def kill(self) -> None:
        """Where something went wrong."""
        for process in self.processes.values():
            process.kill()


def soak(runs: Runs, minutes: float, say: Callable[[str], None]) -> dict[str, list[dict[str, float]]]:
    """Feed both until the time is over, or one of them ends; the figures of each."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in runs.processes}
    begin = time.monotonic()
    next_look = last = next_burst = begin
    while (now := time.monotonic()) < begin + 60 * minutes:
        runs.still_seconds += max(0.0, now - last - STILL_SECONDS)
        last = now
        is_burst = now >= next_burst
        next_burst += is_burst * 60 * BURST_MINUTES
        for _ in range(BURST_FILES if is_burst else 1):
            runs.feeder.turn()
        if now >= next_look:
            next_look = now + look_seconds(minutes)
            for name, process in runs.processes.items():
                if process.poll() is not None:
                    say(f"{name} has ended with exit code {process.returncode}")
                    return figures
                if CAN_LOOK and (found := look(process.pid)) is not None:
                    figures[name].append(found)
                    say(f"{(now - begin) / 60:.1f} min, {name}: " + ", ".join(f"{k} {v:.1f}" for k, v in found.items()))
        time.sleep(1.0)
    return figures


def look_seconds(minutes: float) -> float:
    """Between two looks in a run of so many minutes."""
    return min(LOOK_SECONDS, 60 * minutes / 80)


def judge(
    runs: Runs, figures: dict[str, list[dict[str, float]]], codes: dict[str, int], minutes: float
) -> dict[str, Any]:
    """The report: figures, counts, and what is wrong."""
    warm_up = math.ceil(WARM_UP_SECONDS / look_seconds(minutes))
    wrong = list(runs.viewers.wrong)
    right = {"watch": 130, "live": 143}
    wrong += [
        f"{name} ended with exit code {code}, not {right[name]}" for name, code in codes.items() if code != right[name]
    ]
    texts = {name: (runs.folder / f"{name}.log").read_text("utf-8", "replace") for name in runs.processes}
    wrong += [f"{name} has a traceback in its log" for name, text in texts.items() if "Traceback" in text]
    watched, wrong_there = check_folder_run(runs.folder / "out", runs.feeder.expected)
    live, wrong_live = check_live_run(runs.folder / "live", runs.folder / "live.jsonl")
    verdicts = {
        name: verdict(each, warm_up) if CAN_LOOK else "this system does not tell" for name, each in figures.items()
    }
    wrong += wrong_there + wrong_live
    wrong += [
        f"{name} is not flat" for name, each in verdicts.items() if isinstance(each, dict) and each["flat"] is False
    ]
    return {
        "right": not wrong,
        "stood_still_seconds": round(runs.still_seconds),
        "wrong": wrong,
        "figures": verdicts,
        "watch": watched,
        "live": {
            **live,
            "times lost": texts["live"].count("trying again"),
            "times back": texts["live"].count("is back"),
        },
        "camera": dict(runs.camera.told),
        "viewers": dict(runs.viewers.told),
        "exit_codes": codes,
    }


def main() -> int:
    """Exit code 0: everything is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--fps", type=float, default=3.0, help="of the camera")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for input and output; must not exist [default: a temporary one]")
    parser.add_argument("--report", type=Path, help="JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "soak"
        begin = datetime.now()
        program = [str(Path(sys.executable).with_name("mrcnn-cv"))]
        runs = Runs(folder, program, arguments.seed, arguments.fps)
        try:
            figures = soak(runs, arguments.minutes, _say)
            runs.settle()
            codes = runs.end()
        finally:
            runs.kill()
        report = judge(runs, figures, codes, arguments.minutes)
    report = {"begin": f"{begin:%F %T}", "end": f"{datetime.now():%F %T}", "minutes": arguments.minutes, **report}
    text = json.dumps(report, indent=2, ensure_ascii=False)
    print(text, flush=True)
    if arguments.report is not None:
        arguments.report.write_text(text + "\n", "utf-8")
    return 0 if report["right"] else 1


def _say(text: str) -> None:
    print(f"{datetime.now():%T} {text}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Shells make what runs in the background deaf to Ctrl-C, and all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
