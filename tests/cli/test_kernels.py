"""OpenBLAS's kernels are named only for the processor that it mistakes, and never against the user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mrcnn_cv.cli import kernels
from mrcnn_cv.cli.kernels import VARIABLE, choose_kernels, kernels_for

ALL = "fpu sse2 avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512_bf16"


def cpuinfo(vendor: str = "AuthenticAMD", family: str = "26", flags: str = ALL) -> str:
    one = f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 2\nflags\t\t: {flags}\n"
    return f"{one}\nprocessor\t: 1\nflags\t\t: {ALL}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (cpuinfo(), "SkylakeX"),
        (cpuinfo(family="25"), None),
        (cpuinfo(vendor="GenuineIntel"), None),
        (cpuinfo(flags="fpu sse2 avx2 avx512f"), None),
        ("processor : 0\nFeatures : fp asimd\n", None),
        ("", None),
    ],
)
def test_only_the_processor_that_is_mistaken(text: str, expected: str | None) -> None:
    assert kernels_for(text) == expected


def test_what_the_user_chose_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo())
    monkeypatch.setattr(kernels, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(sys, "platform", "linux")
    environment = {VARIABLE: "Zen"}
    choose_kernels(environment)
    assert environment == {VARIABLE: "Zen"}
    environment = {}
    choose_kernels(environment)
    assert environment == {VARIABLE: "SkylakeX"}


@pytest.mark.parametrize("missing", ["cpuinfo", "linux"])
def test_elsewhere_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing != "cpuinfo":
        (tmp_path / "cpuinfo").write_text(cpuinfo())
    monkeypatch.setattr(kernels, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(sys, "platform", "win32" if missing == "linux" else "linux")
    environment: dict[str, str] = {}
    choose_kernels(environment)
    assert environment == {}


def test_it_comes_before_numpy() -> None:
    source = "import sys, mrcnn_cv.cli.kernels; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
