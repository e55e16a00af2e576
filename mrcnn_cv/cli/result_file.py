"""What --json and --plot name: a file of ours, or standard output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mrcnn_cv.cli.say import own_stdout
from mrcnn_cv.errors import OutputError
from mrcnn_cv.json_text import dumps
from mrcnn_cv.sinks.folder import OutputFolder


def model_files(options: Mapping[str, Any]) -> list[Path]:
    """Files that say what the model is: not even --overwrite may replace them."""
    model = Path(options["model"])
    given = [Path(options[name]) for name in ("labels", "pipeline_config") if options[name] is not None]
    return [*([*model.glob("*.pb"), *model.glob("*.onnx")] if model.is_dir() else [model]), *given]


class ResultFile:
    """A file that is written at the end of a run; that it can be is known before.

    option     what names it, for messages
    protected  inputs, which are never written to
    """

    def __init__(self, name: str, option: str, *, overwrite: bool, protected: Iterable[Path]) -> None:
        self.name = name
        self._stdout = own_stdout() if name == "-" else None
        self._path = Path(name)
        self._folder = OutputFolder(
            self._path.parent, overwrite=overwrite, protected=protected, remedy=f"name another file ({option})"
        )
        if self._stdout is None:
            self._folder.check()
            self._folder.check_replaceable(self._path)

    def write(self, data: bytes) -> None:
        """Write it whole, or raise OutputError."""
        if self._stdout is None:
            self._folder.write(self._path, data)
            return
        try:
            self._stdout.write(data)
            self._stdout.flush()
        except BrokenPipeError:
            pass
        except OSError as error:
            raise OutputError(f"standard output cannot be written: {error.strerror or error}") from error

    def write_json(self, value: Any) -> None:
        """Write `value` as JSON."""
        self.write(dumps(value, indent=2).encode("utf-8") + b"\n")
