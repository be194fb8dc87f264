"""Run beside the test, where sockets are open: serves a folder to a headless Chromium, uses the page, prints what it has.

python drive_browser.py choose|train FOLDER SCREENSHOT DATA.jsonl
python drive_browser.py conditions FOLDER SCREENSHOT TEXTS.txt    # with each of the conditions in FOLDER/conditions.json
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync --window-size=800,1000"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass(frozen=True)
class Page:
    """The page in a session of chromedriver, and the texts that are written into it."""

    driver: str
    texts: str

    def call(self, path: str, body: object = None, method: str | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.driver}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method or ("GET" if body is None else "POST"),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())["value"]

    def run(self, script: str) -> Any:
        return self.call("/execute/sync", {"script": script, "args": []})

    def waited(self, script: str, *, seconds: float = 240) -> Any:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := self.run(script):
                return found
            time.sleep(0.25)
        raise TimeoutError(script)

    def text_of(self, name: str) -> str:
        return self.run(f"return document.getElementById('{name}').textContent")

    def click(self, name: str) -> None:
        self.run(
            f"document.getElementById('data').value = {json.dumps(self.texts)}; document.getElementById('{name}').click()"
        )

    def reload(self) -> None:
        self.call("/refresh", {})
        time.sleep(1)

    def told_after_reload(self) -> str:
        self.reload()
        return self.waited(
            "const told = document.getElementById('told').textContent; return told.startsWith('Kept') && told"
        )

    def picture(self) -> bytes:
        return base64.b64decode(self.call("/screenshot"))


def train(page: Page) -> dict[str, Any]:
    page.click("train")
    return page.waited("return window.trained")


def trains(page: Page, screenshot: Path) -> dict[str, Any]:
    found = train(page)
    screenshot.write_bytes(page.picture())
    found["after_reload"] = page.told_after_reload()
    found["again"] = train(page)
    page.click("forget")
    time.sleep(1)
    page.click("train")
    page.waited("return document.getElementById('bar').value >= 11")
    found["cut_off"] = page.told_after_reload()
    found["goes_on"] = train(page)
    return found


def chooses(page: Page, screenshot: Path) -> dict[str, Any]:
    page.click("choose")
    found = page.waited("return window.selected")
    if "error" in found:
        return found
    found["shown"] = page.text_of("chosen"), page.text_of("words")
    page.reload()
    found["after_reload"] = page.waited("return window.selected")
    found["trained"] = train(page)
    screenshot.write_bytes(page.picture())
    return found


def under_conditions(page: Page, screenshot: Path) -> list[dict[str, Any]]:
    """What the page chooses for plain texts with each of the conditions that the folder lists, and its fields after a reload."""
    found: list[dict[str, Any]] = []
    for fields in page.run("return fetch('conditions.json').then((answer) => answer.json())"):
        values = "".join(
            f"document.getElementById('{name}').value = {json.dumps(value)};" for name, value in fields.items()
        )
        page.run(f"window.selected = null; {values}")
        page.click("choose")
        told = page.waited("return window.selected")
        screenshot.write_bytes(page.picture())
        page.reload()
        kept = {name: page.run(f"return document.getElementById('{name}').value") for name in ("data", *fields)}
        found.append({**told, "shown": [page.text_of("chosen"), page.text_of("own")], "kept": kept})
    return found


@contextmanager
def opened(folder: str, texts: str) -> Iterator[Page]:
    """The page in a browser of its own."""
    web, driver = free_port(), free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(web), "--bind", "127.0.0.1", "-d", folder], **quiet
    )
    chrome = subprocess.Popen(["chromedriver", f"--port={driver}"], **quiet)
    try:
        time.sleep(2)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            options = {"args": [*FLAGS.split(), f"--user-data-dir={profile}"]}
            start = Page(f"http://127.0.0.1:{driver}", texts)
            made = start.call("/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
            page = Page(f"{start.driver}/session/{made['sessionId']}", texts)
            page.call("/url", {"url": f"http://127.0.0.1:{web}/index.html"})
            time.sleep(1)
            yield page
            page.call("", method="DELETE")
    finally:
        chrome.terminate()
        server.terminate()


def main(action: str, folder: str, screenshot: str, data: str) -> None:
    with opened(folder, Path(data).read_text(encoding="utf-8")) as page:
        found = {"choose": chooses, "train": trains, "conditions": under_conditions}[action](page, Path(screenshot))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
