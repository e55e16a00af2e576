"""The command line: parse, call the library, set the exit code. Imports stay lazy, so that --help is instant."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from mrcnn_cv.cli.console.messages import echo_error, echo_message, format_click_error, with_options
from mrcnn_cv.cli.groups import DefaultCommandGroup
from mrcnn_cv.cli.signals import Terminated, end_by_signals
from mrcnn_cv.errors import INTERRUPTED_EXIT_CODE, BackendError, MrcnnCvError, OutputError
from mrcnn_cv.util.version import __version__

EPILOG = """\b
Examples:
  mrcnn-cv photo.jpg --model frozen_inference_graph.pb
  mrcnn-cv *.jpg --model model_folder --classes person,dog --score 0.7
  mrcnn-cv photo.jpg --model model.pb --json - | jq .instances
  mrcnn-cv photos --model model.pb --save overlay,coco -o annotations
  mrcnn-cv clip.mp4 --model model.pb --track
  mrcnn-cv 0 --show

\b
Exit codes:
  0  all done              4    backend not available
  1  internal error        5    at least one input failed, the others are done
  2  wrong usage           6    output cannot be written
  3  model or label file   7    compare: below --min-agreement
                           130  interrupted (143: terminated, 129: hung up)
"""

COMMANDS = {
    "predict": "mrcnn_cv.cli.commands.predict:predict",
    "inspect": "mrcnn_cv.cli.commands.inspect:inspect",
    "eval": "mrcnn_cv.cli.commands.eval:evaluate",
    "compare": "mrcnn_cv.cli.commands.compare:compare",
    "models": "mrcnn_cv.cli.commands.models:models",
    "bench": "mrcnn_cv.cli.commands.bench:bench",
    "backends": "mrcnn_cv.cli.commands.machine:backends",
    "devices": "mrcnn_cv.cli.commands.machine:devices",
}


@click.group(
    cls=DefaultCommandGroup,
    default_command="predict",
    lazy_commands=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="mrcnn-cv %(version)s")
def cli() -> None:
    """Run a frozen Mask R-CNN through OpenCV and paint its instance masks on images and videos.

    SOURCE is an image or video file, a folder, a pattern, a .zip or .tar of images, an address, - for standard input, a
    camera (0), or a stream (rtsp://...); several files at once are fine. `mrcnn-cv SOURCE...` is short for `mrcnn-cv
    predict SOURCE...`. Every option can be set in the environment as MRCNN_CV_<NAME>, and in a file mrcnn-cv.toml.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its documented code."""
    _open_standard_streams()
    end_by_signals()
    try:
        code = _run(arguments)
    except MemoryError:
        # Not even for a sentence.
        os.write(2, b"mrcnn-cv: error: the memory that is left does not suffice: close other programs\n")
        code = BackendError.exit_code
    if arguments is not None or _is_watched():
        sys.exit(code)
    _leave(code)


def _is_watched() -> bool:
    """Whether a profiler, a debugger or something that measures coverage wants to see the end."""
    monitoring = getattr(sys, "monitoring", None)
    tools = [] if monitoring is None else [monitoring.get_tool(number) for number in range(6)]
    return bool(sys.getprofile() or sys.gettrace() or any(tools))


def _leave(code: int) -> NoReturn:
    """End the process at once.

    An orderly end would take down nets and libraries piece by piece, for a tenth of the time that one image takes.
    It would also pull things from under workers that nobody waited for and that are inside of OpenCV, and wait for a
    reader inside of a driver that hangs. What is written to files is closed by now.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _run(arguments: list[str] | None) -> int:
    try:
        result = cli.main(args=arguments, prog_name="mrcnn-cv", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        echo_error(format_click_error(error))
        return error.exit_code
    except MrcnnCvError as error:
        echo_error(with_options(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:
        echo_message("mrcnn-cv: interrupted; what was written so far is complete")
        # Click turns every KeyboardInterrupt into an Abort of its own.
        cause = stop.__context__
        return 128 + cause.number if isinstance(cause, Terminated) else INTERRUPTED_EXIT_CODE
    except SystemExit as end:
        # Click ends so after a shell's question for completions, and where the reader of stdout has gone away
        # (`mrcnn-cv --help | head -1`), which is no fault.
        return int(end.code or 0) if "_MRCNN_CV_COMPLETE" in os.environ else 0
    except Exception as error:
        # Click asks the shell's variables without a look whether they are there.
        return 1 if "_MRCNN_CV_COMPLETE" in os.environ else _unexpected(error)


def _unexpected(error: Exception) -> int:
    if isinstance(error, OSError) and error.filename is None and error.errno in _FULL:
        # Help and tables go to stdout without further ado; the library's own writers raise OutputError.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (what is left in the buffer must not fail once more at exit)
        echo_error(f"standard output cannot be written: {error.strerror}")
        return OutputError.exit_code
    if os.environ.get("MRCNN_CV_DEBUG"):
        raise error
    if isinstance(error, MemoryError):
        limits = "raise the limit (ulimit -v, that of the container), or give --workers 1 or a smaller model"
        echo_error(f"the memory that is left does not suffice: close other programs, {limits}")
        return BackendError.exit_code
    if "can't start new thread" in str(error):
        # Each takes a part of the address space as well.
        limits = "raise the limit (ulimit -u, ulimit -v if set, that of the container), or give --workers 1 --threads 1"
        echo_error(f"no more threads can be started: close other programs, {limits}")
        return BackendError.exit_code
    if _is_out_of_files(error):
        echo_error("no more files can be opened: close other programs, or raise the limit (ulimit -n)")
        return BackendError.exit_code
    what = " ".join(f"{type(error).__name__}: {error}".split())
    from mrcnn_cv.util.registry import culprit

    if (plugin := culprit(error)) is not None:
        echo_error(f"{plugin} failed ({what}): report it to who wrote it")
    else:
        how = "please report it with the output of the same command under MRCNN_CV_DEBUG=1"
        echo_message(f"mrcnn-cv: internal error ({what}): {how}")
    return 1


def _is_out_of_files(error: Exception) -> bool:
    """Whether it is the limit on open files; a module that is loaded then tells of it in words alone."""
    if isinstance(error, ImportError):
        return os.strerror(errno.EMFILE) in str(error)
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


_FULL = {errno.ENOSPC, errno.EIO, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def _open_standard_streams() -> None:
    """Fill the places of closed standard streams (`2>&-`): the next file opened would get a stream's number, and what
    a C library prints would land in it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # For click and others that write without a look; that nobody reads stdout is still to be seen in sys.__stdout__.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
