"""The program as a fork of a process that has imported everything: what a start costs is then the run alone.

Everything else is as in a process of its own: arguments, environment, current folder, standard streams, signals, and
how it ends. What is decided while Python and libraries are loaded (variables of OpenCV, of locales) needs a new one.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, NoReturn

ROOT = Path(__file__).parent.parent.parent

IS_POSSIBLE = sys.platform == "linux"

MOST = 1 << 17
"""Bytes of a request; more does not fit into one message."""

_LIBRARIES = ("av", "onnxruntime", "pyarrow.parquet", "pycocotools.mask", "pycocotools.cocoeval")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a user's environment holds, without settings of ours, without a display, on a terminal of 80 columns."""
    unwanted = ("MRCNN_CV_", "DISPLAY", "WAYLAND_DISPLAY", "OPENCV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "COLUMNS": "80", **(extra or {})}


class ForkServer:
    """Starts the program; to be closed when nothing runs any more."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                # As the program does before it imports numpy.
                env=environment({"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OPENBLAS_NUM_THREADS": "1"}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C is for the tests.
                start_new_session=True,
            )

    def start(
        self,
        arguments: Sequence[str | Path],
        env: Mapping[str, str],
        cwd: str | Path,
        stdin: IO[Any] | int = subprocess.DEVNULL,
        stdout: IO[Any] | int | None = None,
        stderr: IO[Any] | int | None = None,
        patches: Mapping[str, object] | None = None,
        ends_at: tuple[int, int] | None = None,
    ) -> Forked:
        """The program at work. patches: values for names of modules ("module:name").

        ends_at: (N, number of a signal) that the program gets before it does its Nth thing to a file in its folder
        """
        request = {
            "arguments": [os.fspath(each) for each in arguments],
            "env": dict(env),
            "cwd": os.fspath(cwd),
            "patches": dict(patches or {}),
            "ends_at": ends_at,
        }
        with ExitStack() as stack:
            pipes: list[IO[bytes] | None] = []
            used = []
            for number, stream in enumerate((stdin, stdout, stderr)):
                pipe = None
                if stream is None:
                    used.append(number)
                elif stream == subprocess.DEVNULL:
                    used.append(stack.enter_context(open(os.devnull, "r+b")).fileno())
                elif stream == subprocess.PIPE:
                    reading, writing = os.pipe()
                    stack.callback(os.close, writing)
                    pipe = open(reading, "rb")  # noqa: SIM115 (of the caller)
                    used.append(writing)
                else:
                    used.append(stream if isinstance(stream, int) else stream.fileno())
                pipes.append(pipe)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(theirs)
            socket.send_fds(self._requests, [json.dumps(request).encode()], [*used, theirs.fileno()])
        return Forked(ours, pipes[1], pipes[2])

    def close(self) -> None:
        """End it."""
        self._requests.close()
        self._process.wait(60)


class Forked:
    """A run of the program, with what tests use of subprocess.Popen; two minutes without an end are a hang."""

    def __init__(self, answers: socket.socket, stdout: IO[bytes] | None, stderr: IO[bytes] | None) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self._answers = answers
        self.pid = self._next(120)

    def _next(self, timeout: float) -> int:
        self._answers.settimeout(timeout)
        return int(self._answers.recv(16))

    def poll(self) -> int | None:
        """See `subprocess.Popen`."""
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float = 120) -> int:
        """Its exit code when it has ended; minus the number of the signal that killed it."""
        if self.returncode is None:
            try:
                self.returncode = self._next(timeout)
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                raise
            self._answers.close()
        return self.returncode

    def communicate(self, timeout: float = 120) -> tuple[bytes, bytes]:
        """See `subprocess.Popen`; for one pipe."""
        assert self.stdout is None or self.stderr is None
        texts = []
        for stream in (self.stdout, self.stderr):
            texts.append(b"" if stream is None else stream.read())
            if stream is not None:
                stream.close()
        self.wait(timeout)
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        """See `subprocess.Popen`."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """See `subprocess.Popen`."""
        self.send_signal(signal.SIGKILL)


def _serve(requests: socket.socket) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, MOST, 4)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _watch(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _watch(request: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Tell the pid of one run, and how it ended."""
    answer = descriptors[-1]
    pid = os.fork()
    if pid == 0:
        _become(request, descriptors)
    for descriptor in descriptors[:-1]:
        os.close(descriptor)
    os.write(answer, b"%d" % pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):
        os.write(answer, b"%d" % code)
    os._exit(0)


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    from mrcnn_cv.__main__ import main

    for number, descriptor in enumerate(descriptors[:-1]):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["mrcnn-cv", *request["arguments"]]
    for place, value in request["patches"].items():
        module, _, name = place.partition(":")
        setattr(sys.modules[module], name, value)
    if request["ends_at"] is not None:
        _end_at(*request["ends_at"])
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    finally:
        # As Python does at its end; the program itself ends without it.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")


def _end_at(count: int, number: int) -> None:
    """Get a signal before the `count`th thing that is done to a file in the current folder."""
    here, left = f"{os.getcwd()}{os.sep}", itertools.count(1)

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" and event not in _CHANGES:
            return
        if event == "open" and not int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        path = arguments[0]
        if isinstance(path, str) and (not os.path.isabs(path) or path.startswith(here)) and next(left) == count:
            os.kill(os.getpid(), number)

    sys.addaudithook(look)


def _import_everything() -> None:
    import mrcnn_cv

    for module in pkgutil.walk_packages(mrcnn_cv.__path__, "mrcnn_cv."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(module.name)
    for name in _LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    # Nothing of it is garbage, and pages that are not written to stay shared.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _import_everything()
    _serve(socket.socket(fileno=int(sys.argv[1])))
