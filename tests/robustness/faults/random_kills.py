"""Runs of every kind that are killed over and over at random moments, and gone on with until they are done.

    python tests/robustness/faults/random_kills.py --count 1000 --seed 1

Each trial is one run of a random kind with random outputs. It is ended by SIGKILL, or now and then as a user does it,
before its Nth change of a file or after some time, and continued with --resume (a comparison, a bench and a recording
begin anew), up to four times. After each end every file that has its name is whole; after the last run everything is
equal to what a run made that nobody ended, and nothing is left over. A trial that fails leaves its folder;
`--only N` runs it again, as far as moments can be repeated.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from mrcnn_cv.outputs.registry import FORMATS
from tests.cli.fork_server import Forked, ForkServer
from tests.robustness.faults.kill_checks import check_equal, check_residue, check_whole, content, tree, without_ids
from tests.robustness.faults.kill_inputs import IMAGES, RECORDS, SOURCES, UNPAINTED, Inputs
from tests.robustness.faults.kill_live import kill_live

ENDED = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
PATIENCE = 60.0
MOST_CHANGES = 300
"""Before it is known how many changes of files a run makes."""


@dataclass
class Kills:
    """Ends runs at random moments.

    counts  of kills by kind of run and signal
    """

    inputs: Inputs
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    _changes: dict[str, int] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)

    def end(self, kind: str, folder: Path, *arguments: str, is_first: bool) -> int:
        """Start a run and end it; its exit code. kind: of runs that take about as long. is_first: it does all."""
        number = self.random.choices([signal.SIGKILL, signal.SIGTERM, signal.SIGINT], [8, 1, 1])[0]
        began = time.monotonic()
        if self.random.random() < 0.7:
            most = self._changes.get(kind, MOST_CHANGES)
            at = self.random.randint(1, most * 4 // 3)
            process = self.inputs.start(folder, *arguments, ends_at=(at, number))
            code = _waited(process, _nothing)
            if code == 0 and is_first:
                self._changes[kind] = min(most, at)
        else:
            process = self.inputs.start(folder, *arguments)
            end = began + self.random.uniform(0, self._seconds.get(kind, 1.5))
            code = _waited(process, _nothing, until=end, number=number)
        if code == 0 and is_first:
            self._seconds[kind] = time.monotonic() - began
        else:
            self.counts[f"{kind.partition(':')[0]} {number.name}"] += 1
        # A signal may come before the program listens for it.
        assert code in (0, ENDED[number], -number), f"exit code {code}: {messages(folder)}"
        assert "Traceback" not in messages(folder), messages(folder)
        return code


def _waited(
    process: Forked, meanwhile: Callable[[], None], until: float | None = None, number: int = signal.SIGKILL
) -> int:
    """The exit code. until: when it is ended, if it has not ended by then."""
    patience = time.monotonic() + PATIENCE
    while (code := process.poll()) is None:
        if time.monotonic() > patience:
            process.kill()
            raise AssertionError(f"no end after {PATIENCE} seconds")
        meanwhile()
        if until is not None and time.monotonic() >= until:
            process.send_signal(number)
            until = None
        time.sleep(0.002)
    return code


def messages(folder: Path) -> str:
    """What the runs in a folder said."""
    return (folder / "stderr").read_text("utf-8", "replace")[-3000:]


def kill_predict(kills: Kills, folder: Path, kind: str) -> str:
    """A batch over images, an archive, a folder that is watched, or a video; what was run."""
    formats = _some_formats(kills.random, kind)
    has_records = not formats or kills.random.random() < 0.4
    base = [SOURCES[kind], "-o", "out", *(UNPAINTED if kind == "video" else ())]
    arguments = [*base, "--save", ",".join(formats) or "none", *(("--json", RECORDS) if has_records else ())]
    arguments += ["--workers", kills.random.choice(("1", "2", "auto"))]
    arguments += ["--durable"] if kills.random.random() < 0.1 else []
    held = _take_away(folder) if kind == "watch" else []
    begins_anew = kind != "watch" and kills.random.random() < 0.2
    if begins_anew:
        code = kills.inputs.start(folder, *arguments, "-q").wait()
        assert code == 0, f"exit code {code}: {messages(folder)}"
    for number in range(kills.random.randint(1, 4)):
        if kind == "watch":
            arrivals = _Arrivals(kills.random, held)
            code = _end_watch(kills, folder, [*arguments, "--resume", "-q", "--watch"], arrivals)
        else:
            name, how = f"{kind}:{len(formats)}", "--overwrite" if begins_anew and number == 0 else "--resume"
            code = kills.end(name, folder, *arguments, how, "-q", is_first=number == 0)
        check_whole(folder, kills.inputs.source, (RECORDS,))
        if code == 0:
            break
    for source, target in held:
        if source.exists():
            source.rename(target)
    code = kills.inputs.start(folder, *arguments, "--resume", "-q").wait()
    assert code == 0, f"exit code {code}: {messages(folder)}"
    expected = {}
    for each in formats:
        expected.update(kills.inputs.reference(*base, "--save", each, "-q"))
    if has_records:
        expected.update(kills.inputs.reference(*base, "--save", "none", "--json", RECORDS, "-q"))
    found = tree(folder, kills.inputs.source)
    if kind == "watch":
        found, expected = without_ids(found), without_ids(expected)
    check_equal(found, expected)
    _check_summary(folder, kind, bool(formats))
    check_residue(folder, kills.inputs.source)
    return f"{' '.join(arguments)}{' begun anew' if begins_anew else ''}"


def _some_formats(source: random.Random, kind: str) -> list[str]:
    names = [name for name in FORMATS if name != "frames" or kind == "video"]
    return sorted(source.sample(names, source.choice((0, 1, 1, 2, 3, 5))))


def _check_summary(folder: Path, kind: str, has_folder: bool) -> None:
    state = folder / ("out" if has_folder else f".{RECORDS}.mrcnn-cv")
    if kind == "video":
        return
    summary = content(state / "summary.json")
    assert summary["done"] + summary["kept"] == summary["pictures"] == IMAGES
    entries = content(state / "run.jsonl")
    done = {entry["place"] for entry in entries if entry.get("status") == "done"}
    assert len(done) == IMAGES
    assert all(entry.get("status") != "failed" for entry in entries)


def _nothing() -> None:
    pass


def _take_away(folder: Path) -> list[tuple[Path, Path]]:
    """Half of the images, which arrive later."""
    names = sorted((folder / "in").rglob("*.*"))[::2]
    moved = [(folder.parent / f"{folder.name}-{number}{path.suffix}", path) for number, path in enumerate(names)]
    for source, target in moved:
        target.rename(source)
    return moved


class _Arrivals:
    """Lets images arrive in a folder that is watched."""

    def __init__(self, source: random.Random, held: Sequence[tuple[Path, Path]]) -> None:
        self._left = [(source.uniform(0, 2), *each) for each in held if each[0].exists()]
        self._began = time.monotonic()

    def __call__(self) -> None:
        for each in list(self._left):
            if time.monotonic() - self._began > each[0]:
                each[1].rename(each[2])
                self._left.remove(each)


def _end_watch(kills: Kills, folder: Path, arguments: Sequence[str], meanwhile: Callable[[], None]) -> int:
    """A watch has no end of its own: what was not killed by then is ended as a user does it."""
    number = kills.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
    at = kills.random.randint(1, 120)
    process = kills.inputs.start(folder, *arguments, ends_at=(at, number))
    code = _waited(process, meanwhile, until=time.monotonic() + kills.random.uniform(0.5, 4), number=signal.SIGINT)
    kills.counts[f"watch {number.name}"] += 1
    assert code in (-9, 130), f"exit code {code}: {messages(folder)}"
    assert "Traceback" not in messages(folder), messages(folder)
    return code


def kill_report(kills: Kills, folder: Path, kind: str) -> str:
    """An evaluation, a comparison or a bench: its report is the old one or a new one, and whole."""
    arguments = {
        "eval": [
            "eval",
            "data.json",
            "in",
            "-o",
            "out",
            "--labels",
            "labels.txt",
            "--json",
            "r.json",
            "--plot",
            "r.png",
        ],
        "compare": [
            *("compare", str(kills.inputs.model), str(kills.inputs.other_model), "in", "-o", "out", "--json", "r.json"),
            *("--worst", "3"),
        ],
        "bench": [
            "bench",
            "--size",
            "160x120",
            "--rounds",
            "1",
            "--threads",
            "1",
            "--json",
            "r.json",
            "--plot",
            "r.png",
        ],
    }[kind]
    arguments += ["-q"]
    expected = {} if kind == "bench" else kills.inputs.reference(*arguments)
    if kills.random.random() < 0.5 and kind != "bench":
        # The report of an earlier run, of fewer images.
        first = [*arguments, "--limit", "3"]
        first[first.index("out")] = "earlier"
        assert kills.inputs.start(folder, *first).wait() == 0, messages(folder)
        if kind == "compare":
            shutil.rmtree(folder / "earlier")
    old = (folder / "r.json").read_bytes() if (folder / "r.json").exists() else None
    resume = ["--resume"] if kind == "eval" else []
    for number in range(kills.random.randint(1, 3)):
        code = kills.end(kind, folder, *arguments, *resume, is_first=number == 0)
        check_whole(folder, kills.inputs.source, ())
        if code == 0:
            break
        if kind != "bench" and (folder / "r.json").exists():
            found = content(folder / "r.json")
            # A comparison that somebody ended reports what it had.
            assert (folder / "r.json").read_bytes() == old or found == expected["r.json"] or code != -9, (
                "another report"
            )
        if kind != "bench":
            old = (folder / "r.json").read_bytes() if (folder / "r.json").exists() else None
    code = kills.inputs.start(folder, *arguments, *resume).wait()
    assert code == 0, f"exit code {code}: {messages(folder)}"
    shutil.rmtree(folder / "earlier", ignore_errors=True)
    found = tree(folder, kills.inputs.source)
    if kind == "bench":
        assert sorted(found) == ["r.json", "r.png"]
        assert len(found["r.json"]["groups"]) == 1
    else:
        check_equal(found, expected)
    check_residue(folder, kills.inputs.source)
    return " ".join(arguments)


WEIGHTS = {"images": 6, "archive": 3, "video": 6, "watch": 2, "live": 2, "eval": 3, "compare": 2, "bench": 0.4}


def run_trial(kills: Kills, folder: Path, kind: str) -> str:
    """One trial, in a folder of its own; what was run. AssertionError where something is lost, torn or left over."""
    kills.inputs.place(folder)
    if kind == "live":
        return kill_live(kills.inputs, kills.random, folder, kills.counts)
    if kind in SOURCES:
        return kill_predict(kills, folder, kind)
    return kill_report(kills, folder, kind)


def run_trials(
    root: Path, count: int, seed: int, only: Sequence[int] = (), kinds: Sequence[str] = ()
) -> tuple[Counter[str], list[str]]:
    """At least `count` kills; how many of what there were, and what went wrong. only: the trials of these numbers."""
    # In a shell's background job Ctrl-C is ignored, and so it would be by the runs.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    server, failures, counts = ForkServer(), list[str](), Counter[str]()
    try:
        kills = Kills(Inputs(root, server), random.Random(), counts)
        number = 0
        while sum(counts.values()) < count and (not only or number < max(only)):
            number += 1
            if only and number not in only:
                continue
            kills.random.seed(f"{seed}-{number}")
            names = list(kinds or WEIGHTS)
            kind = kills.random.choices(names, [WEIGHTS[each] for each in names])[0]
            folder = root / f"trial-{number}"
            try:
                done = run_trial(kills, folder, kind)
                print(f"{number} {kind}: fine, {sum(counts.values())} kills: {done[:150]}", flush=True)
                shutil.rmtree(folder)
            except (AssertionError, OSError, ValueError) as error:
                # A part of a run is still at work in it, or it shows what went wrong.
                failures.append(f"trial {number} ({kind}, seed {seed}, in {folder}): {error}")
                print(f"FAILED {failures[-1]}", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
    finally:
        server.close()
        signal.signal(signal.SIGINT, before)
    return counts, failures


def main() -> int:
    """The exit code: 1 where something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="kills, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="*", default=(), help="numbers of trials to repeat")
    parser.add_argument("--kinds", nargs="*", default=(), choices=list(WEIGHTS))
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="random-kills-"))
    counts, failures = run_trials(root, given.count, given.seed, given.only, given.kinds)
    print(f"seed {given.seed}: {sum(counts.values())} kills: {dict(sorted(counts.items()))}")
    print(f"{len(failures)} trials failed", *failures, sep="\n")
    if not failures:
        shutil.rmtree(root)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
