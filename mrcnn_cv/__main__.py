"""`python -m mrcnn_cv` and `mrcnn-cv`: where the program begins, with nothing imported that takes its time."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with its documented code."""
    try:
        # Ctrl-C may come while this is imported.
        from mrcnn_cv import cli

        cli.main()
    except KeyboardInterrupt:
        with suppress(OSError):
            os.write(2, b"mrcnn-cv: interrupted; what was written so far is complete\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
