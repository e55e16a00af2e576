"""Native code sees C's locale, and the program's own comes back."""

from __future__ import annotations

import locale
import threading
from contextlib import suppress

import pytest

from mrcnn_cv.util.c_locale import c_locale


class Process:
    """The locale of a process."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.now = {locale.LC_CTYPE: "tr_TR.UTF-8", locale.LC_NUMERIC: "de_DE.UTF-8"}

    def setlocale(self, category: int, name: str | None = None) -> str:
        if name is not None:
            if name not in self.known:
                raise locale.Error("unsupported locale setting")
            self.now[category] = name
        return self.now[category]

    @property
    def names(self) -> list[str]:
        return list(self.now.values())


@pytest.fixture(params=[("C.UTF-8", "C"), ("C",)], ids=["of UTF-8", "without C.UTF-8"])
def process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Process:
    made = Process("tr_TR.UTF-8", "de_DE.UTF-8", *request.param)
    monkeypatch.setattr(locale, "setlocale", made.setlocale)
    return made


def test_it_is_cs_inside_and_the_users_outside(process: Process) -> None:
    with suppress(ZeroDivisionError), c_locale():
        assert process.names == [process.known[2]] * 2
        with c_locale():
            assert process.names == [process.known[2]] * 2
        assert process.names == [process.known[2]] * 2
        raise ZeroDivisionError
    assert process.names == ["tr_TR.UTF-8", "de_DE.UTF-8"]


def test_it_lasts_as_long_as_any_thread_is_inside(process: Process) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def longer() -> None:
        with c_locale():
            inside.set()
            assert go_on.wait(60)

    thread = threading.Thread(target=longer)
    with c_locale():
        thread.start()
        assert inside.wait(60)
    assert process.names == [process.known[2]] * 2
    go_on.set()
    thread.join()
    assert process.names == ["tr_TR.UTF-8", "de_DE.UTF-8"]


def test_nothing_is_set_where_it_is_cs_already(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process()
    process.now = {locale.LC_CTYPE: "C.UTF-8", locale.LC_NUMERIC: "C"}
    monkeypatch.setattr(locale, "setlocale", process.setlocale)
    with c_locale():
        assert process.names == ["C.UTF-8", "C"]
