"""Packages of extras: what to say where one cannot be imported."""

from __future__ import annotations

from importlib.util import find_spec

from mrcnn_cv.errors import brief


def cannot_import(error: ImportError, extra: str, *packages: str) -> str:
    """The end of a sentence about packages that an extra installs: which is not there, or does not load, and a remedy.

    "pycocotools, which is not installed: pip install 'mrcnn-cv[eval]'". Where all are there, installing them is no
    remedy: one of their own parts is missing or broken.
    """
    missing = [package for package in packages if not _is_there(package)]
    if missing:
        which = f"{' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        return f"{which}: pip install 'mrcnn-cv[{extra}]'"
    return (
        f"{' and '.join(packages)}, which cannot be imported though installed ({brief(error)}): mend what that names,"
        f" or install anew: pip uninstall {' '.join(packages)}, then pip install 'mrcnn-cv[{extra}]'"
    )


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        # A name in sys.modules without a spec, as tests and stubs leave it.
        return False
