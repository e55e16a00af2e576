"""Pictures on the web: who asks for them, and what is told of their addresses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.images.urls import ref_at_url

# me:se@cret
AUTHORIZATION = "Basic bWU6c2VAY3JldA=="


@pytest.fixture
def asked() -> list[tuple[str, str | None]]:
    """(path, Authorization) of every request."""
    return []


@pytest.fixture
def host(asked: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that sends bytes to who has the password; /away goes to an image that everybody gets."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers["Authorization"]
            asked.append((self.path, given))
            is_away = self.path == "/away.png"
            self.send_response(302 if is_away else 200 if given == AUTHORIZATION or "free" in self.path else 401)
            if is_away:
                self.send_header("Location", f"http://localhost:{running.server_port}/free.png")
            self.end_headers()
            self.wfile.write(b"bytes")

        def log_message(self, *arguments: Any) -> None:
            pass

    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_user_name_and_a_password_go_along(host: str, asked: list[tuple[str, str | None]]) -> None:
    item = ref_at_url(f"http://me:se%40cret@{host}/photo.png?token=abc")
    assert (item.name, str(item.output_path)) == (f"http://me:***@{host}/photo.png?token=***", "photo.png")
    assert item.read() == b"bytes"
    assert asked == [("/photo.png?token=abc", AUTHORIZATION)]
    with pytest.raises(InputError, match=r"^http://me:\*\*\*@.* cannot be fetched: the server answers 401"):
        ref_at_url(f"http://me:wrong@{host}/photo.png").read()


def test_a_redirect_is_not_told_the_password(host: str, asked: list[tuple[str, str | None]]) -> None:
    assert ref_at_url(f"http://me:se%40cret@{host}/away.png").read() == b"bytes"
    assert asked == [("/away.png", AUTHORIZATION), ("/free.png", None)]


@pytest.mark.parametrize(
    "address",
    [
        *("http://me:sec[ret@host/x.png", "http://me:sec/ret@host/x.png", "http://me:sec?ret@host/x.png"),
        *("http://me:sec\u2100ret@host/x.png", "http://me:secret@/x.png", "http://host/x y.png?pwd=secret"),
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(address: str) -> None:
    item = ref_at_url(address)
    with pytest.raises(InputError, match="is not an address that can be asked for: write") as caught:
        item.read()
    told = f"{item} {caught.value}"
    assert "sec" not in told
    assert "ret" not in told
