"""Thousands of raw requests to the server of --serve; see tests/robustness/fuzz/http_requests.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrcnn_cv.outputs.viewers import http_connection, http_server
from tests.robustness.fuzz import http_requests
from tests.robustness.fuzz.run import fuzz

pytestmark = pytest.mark.fuzz


def test_no_request_gets_more_than_the_view() -> None:
    summary = fuzz("http_requests", 1, range(2000))
    assert summary.findings == []
    # All kinds of answers were among them, so the cases reach what they are to reach.
    assert summary.results["accepted"] > 200
    assert {"Bad Request", "Forbidden", "Not Found", "Method Not Allowed", "Misdirected Request"} <= set(
        summary.refusals
    )


def test_the_cases_find_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes every name for its own is noticed."""
    monkeypatch.setattr("mrcnn_cv.outputs.viewers.http_app.is_ours", lambda host, names: True)
    for module, name in ((http_connection, "HEAD_SECONDS"), (http_server, "MAX_NEW_PER_SECOND")):
        monkeypatch.setattr(module, name, getattr(module, name))
    try:
        for number in range(500):
            (tmp_path / str(number)).mkdir()
        paths = [http_requests.case(number, 1, tmp_path / str(number)) for number in range(500)]
        with pytest.raises(AssertionError):
            any(http_requests.attempt(path) == "never" for path in paths)
    finally:
        http_requests.server()[0].close()
        http_requests.server.cache_clear()
