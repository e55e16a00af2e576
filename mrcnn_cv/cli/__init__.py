"""The command line: parse, call the library, set the exit code. Imports stay lazy, so that --help is instant."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from mrcnn_cv import __version__
from mrcnn_cv.cli.options import DefaultCommandGroup
from mrcnn_cv.cli.say import say
from mrcnn_cv.errors import INTERRUPTED_EXIT_CODE, MrcnnCvError

EPILOG = """\b
Examples:
  mrcnn-cv photo.jpg --model frozen_inference_graph.pb
  mrcnn-cv *.jpg --model model_folder --classes person,dog --score 0.7
  mrcnn-cv photo.jpg --model model.pb --json - | jq .instances

\b
Exit codes:
  0  all done              4  backend not available
  1  a bug of ours         5  at least one input failed, the others are done
  2  wrong usage           6  output cannot be written
  3  model or label file   130  interrupted
"""

COMMANDS = {"predict": "mrcnn_cv.cli.predict:predict", "backends": "mrcnn_cv.cli.backends:backends"}


@click.group(
    cls=DefaultCommandGroup,
    default_command="predict",
    lazy_commands=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="mrcnn-cv %(version)s")
def cli() -> None:
    """Run a frozen Mask R-CNN through OpenCV and paint its instance masks on images.

    `mrcnn-cv SOURCE...` is short for `mrcnn-cv predict SOURCE...`; its options: `mrcnn-cv predict --help`.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its documented code."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        result = cli.main(args=arguments, prog_name="mrcnn-cv", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MrcnnCvError as error:
        say(f"mrcnn-cv: error: {error}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        say("mrcnn-cv: interrupted; what was written so far is complete")
        return INTERRUPTED_EXIT_CODE
    except Exception as error:
        if os.environ.get("MRCNN_CV_DEBUG"):
            raise
        say(
            f"mrcnn-cv: internal error ({type(error).__name__}: {error}): this is a bug of ours; please report it with"
            " the output of the same command under MRCNN_CV_DEBUG=1"
        )
        return 1
