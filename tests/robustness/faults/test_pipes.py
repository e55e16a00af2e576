"""Standard output is a pipe that nobody empties."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.fork_server import environment
from tests.robustness.faults.conftest import Batch, check_outputs

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="needs a pipe of known size"),
]


def test_twice_ends_a_run_whose_records_nobody_reads(
    program: str, batch: Batch, tmp_path: Path, tiny_graph: Path
) -> None:
    """Once waits for the reader, who may only be slow; what is written elsewhere is whole either way."""
    import fcntl
    import termios

    process = subprocess.Popen(
        [program, "in", "-o", "out", "--save", "overlay,json,coco,csv,jsonl", "--json", "-", "-q"],
        cwd=tmp_path,
        env=environment({"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_BACKEND": "cpu"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    size = fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        waiting = int.from_bytes(fcntl.ioctl(process.stdout, termios.FIONREAD, b"\0" * 4), sys.byteorder)
        # A record is longer than what is left, so that the next one waits for room.
        if waiting > size // 2:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    assert process.stdout.read(12) == b'{"source": "'
    process.stdout.close()
    process.stderr.close()
    check_outputs(tmp_path / "out", complete=False)
    assert batch("--resume") == 0
