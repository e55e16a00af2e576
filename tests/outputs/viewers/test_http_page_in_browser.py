"""The page of --serve in a real browser: chromium, driven over the WebDriver protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.viewers.http_server import LiveServer
from mrcnn_cv.outputs.viewers.live_view import LiveView
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.util.opencv import cv2
from tests.outputs.viewers.test_http_server import nothing, shade

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not all(map(shutil.which, ("chromium", "chromedriver"))), reason="needs chromium"),
]

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
HOSTILE = "<img src=x onerror=\"document.title='broken in'\">"


class Browser:
    """One window of chromium."""

    def __init__(self, driver: str, profile: Path, preferences: Mapping[str, int] | None = None) -> None:
        options = {"args": [*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,800"], "prefs": preferences or {}}
        # The image never ends, so the page is never loaded to its end.
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options, "pageLoadStrategy": "none"}}
        self._session = f"{driver}/session"
        self._session += f"/{self.ask('', {'capabilities': capabilities})['sessionId']}"

    def ask(self, path: str, data: Any = None, method: str | None = None) -> Any:
        """A command of the session: GET without data, else POST."""
        body = None if data is None else json.dumps(data).encode()
        request = Request(self._session + path, body, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=20) as answer:
            return json.load(answer)["value"]

    def go(self, address: str) -> None:
        self.ask("/url", {"url": address})
        self.wait("return document.readyState != 'loading' && location.href", lambda where: where == address)

    def run(self, script: str) -> Any:
        return self.ask("/execute/sync", {"script": script, "args": []})

    def wait(self, script: str, is_right: Callable[[Any], bool]) -> Any:
        """What the script gives, once it is right."""
        pause = threading.Event()
        found = None
        for _ in range(300):
            found = self.run(script)
            if is_right(found):
                return found
            pause.wait(0.05)
        raise AssertionError(f"{script} gives {found!r}")

    def wait_for_grey(self, level: int) -> None:
        """Until the image has this grey in its middle. (A canvas would hold the first one of the stream for ever.)"""
        pause = threading.Event()
        grey = -1
        for _ in range(100):
            data = base64.b64decode(self.ask("/screenshot"))
            image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
            grey = int(image[image.shape[0] // 2, image.shape[1] // 3, 0])
            if abs(grey - level) <= 2:
                return
            pause.wait(0.05)
        raise AssertionError(f"the image has the grey {grey}, not {level}")

    def close(self) -> None:
        self.ask("", method="DELETE")


@pytest.fixture(scope="module")
def driver() -> Iterator[str]:
    """The address of the program that drives the browser."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        line = next(line for line in driver.stdout if "started successfully on port" in line)
        port = line.strip().rstrip(".").split()[-1]
        yield f"http://127.0.0.1:{port}"
    finally:
        driver.kill()
        driver.communicate()


@pytest.fixture(scope="module")
def browser(driver: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(driver, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


class Run:
    """A run that is served, and the numbers of which a test may change."""

    def __init__(self) -> None:
        self.view = LiveView(FrameAnnotator())
        self.facts: dict[str, Any] = {
            "state": "live",
            "frames": 1234,
            "frames_per_second": 12.34,
            "delay_ms": 56.7,
            "instances": 3,
            "counts": {"ring": 2, HOSTILE: 1},
            "totals": None,
            "dropped": 5,
            "damaged": 0,
            "width": 60,
            "height": 40,
            "model": "model.pb",
            "device": None,
        }
        self.server = LiveServer(self.view, "127.0.0.1", 0, HOSTILE, lambda: self.facts)


@pytest.fixture
def run() -> Iterator[Run]:
    run = Run()
    with run.server:
        yield run


SEEN = """
    const image = document.getElementById("picture");
    return image && image.naturalWidth
"""


def text_of(name: str) -> str:
    return f"return document.getElementById('{name}')?.textContent"


def test_the_picture_moves(browser: Browser, run: Run) -> None:
    run.view.write(shade(40), nothing())
    browser.go(run.server.address)
    for level in (40, 90, 160, 220):
        run.view.write(shade(level), nothing())
        browser.wait_for_grey(level)


def test_the_numbers(browser: Browser, run: Run) -> None:
    browser.go(run.server.address)
    browser.wait(text_of("rate"), lambda text: text == "12.3")
    assert browser.run(text_of("delay")) == "57 ms"
    assert browser.run(text_of("instances")) == "3"
    assert browser.run(text_of("frames")) == "1,234"
    assert browser.run(text_of("state")) == "live"
    run.facts.update(state="away", totals={"ring": 9})
    browser.wait(text_of("state"), lambda text: text.startswith("lost"))
    rows = "return [...document.querySelectorAll('#classes tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    assert browser.run(rows) == [["ring", "2", "9"]]


def test_labels_and_names_are_text(browser: Browser, run: Run) -> None:
    browser.go(run.server.address)
    cells = "return [...document.querySelectorAll('#classes td')].map(c => c.textContent)"
    assert HOSTILE in browser.wait(cells, lambda found: len(found) == 4)
    assert browser.run("return document.querySelector('h1').textContent") == HOSTILE
    assert browser.run("return document.images.length") == 1
    assert browser.run("return document.title").startswith("<img")


def test_nothing_is_wide(browser: Browser, run: Run) -> None:
    """No scrolling sideways, on a telephone either."""
    run.view.write(Frame(np.zeros((720, 1280, 3), np.uint8), "camera", 0), _of_size(720, 1280))
    browser.go(run.server.address)
    browser.wait(SEEN, lambda width: width == 1280)
    for width in (320, 800, 1600):
        browser.ask("/window/rect", {"width": width, "height": 800})
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def _of_size(height: int, width: int) -> Any:
    found = nothing()
    found.image_size = (height, width)
    return found


def test_the_end_is_told_and_a_new_run_taken_up(browser: Browser) -> None:
    first = Run()
    first.server.start()
    first.view.write(shade(100), nothing())
    browser.go(first.server.address)
    browser.wait(text_of("state"), lambda text: text == "live")
    first.server.close()
    browser.wait(text_of("state"), lambda text: text == "ended")
    second = Run()
    second.server = LiveServer(second.view, "127.0.0.1", first.server.port, "camera", lambda: second.facts)
    with second.server:
        second.view.write(shade(200), nothing())
        browser.wait(text_of("state"), lambda text: text == "live")
        browser.wait_for_grey(200)


def test_without_javascript_the_picture_is_there(driver: str, run: Run, tmp_path: Path) -> None:
    run.view.write(shade(200), nothing())
    browser = Browser(driver, tmp_path, {"profile.managed_default_content_settings.javascript": 2})
    browser.ask("/url", {"url": run.server.address})
    browser.wait_for_grey(200)
    run.view.write(shade(50), nothing())
    browser.wait_for_grey(50)
    browser.close()


def test_pages_of_others_see_nothing(browser: Browser, run: Run) -> None:
    """Neither in an image, nor by a script, nor in a frame; nor is their machine taken for this one."""
    run.view.write(shade(200), nothing())
    port = run.server.port
    page = f"""<!doctype html><title>other</title><script>
        window.found = {{}};
        const note = (what, value) => {{ window.found[what] = value; }};
        fetch("http://127.0.0.1:{port}/numbers.json").then(() => note("fetch", "read"), () => note("fetch", "refused"));
        for (const [what, host] of [["picture", "127.0.0.1"], ["name", "localhost"]]) {{
            const image = new Image();
            image.onload = () => note(what, "seen");
            image.onerror = () => note(what, "refused");
            image.src = `http://${{host}}:{port}/picture.jpg`;
        }}
        </script>""".encode()

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        browser.go(f"http://127.0.0.1:{other.server_port}/")
        found = browser.wait("return window.found", lambda found: found and len(found) == 3)
        other.shutdown()
    assert found == {"fetch": "refused", "picture": "refused", "name": "refused"}
    # The same image is there for the own page.
    browser.go(run.server.address)
    browser.wait(SEEN, lambda width: width == 60)
