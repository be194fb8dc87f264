"""Run beside the test, where sockets are open: serves a folder to a headless Chromium, trains, prints what the page has.

python drive_browser.py FOLDER SCREENSHOT DATA.jsonl
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
from pathlib import Path
from typing import Any

FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync --window-size=800,700"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main(folder: str, screenshot: str, data: str) -> None:
    web, driver = free_port(), free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(web), "--bind", "127.0.0.1", "-d", folder], **quiet
    )
    chrome = subprocess.Popen(["chromedriver", f"--port={driver}"], **quiet)

    def call(path: str, body: object = None, method: str | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{driver}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method or ("GET" if body is None else "POST"),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())["value"]

    try:
        time.sleep(2)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            options = {"args": [*FLAGS.split(), f"--user-data-dir={profile}"]}
            made = call("/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
            session = f"/session/{made['sessionId']}"

            def run(script: str) -> Any:
                return call(f"{session}/execute/sync", {"script": script, "args": []})

            call(f"{session}/url", {"url": f"http://127.0.0.1:{web}/index.html"})
            time.sleep(1)
            text = json.dumps(Path(data).read_text())

            def filled() -> None:
                run(f"document.getElementById('data').value = {text}")

            def waited(script: str) -> Any:
                for _ in range(480):
                    if found := run(script):
                        return found
                    time.sleep(0.25)
                raise TimeoutError(script)

            def train() -> Any:
                filled()
                run("document.getElementById('train').click()")
                return waited("return window.trained")

            def told_after_reload() -> str:
                call(f"{session}/refresh", {})
                return waited(
                    "return document.getElementById('told').textContent.startsWith('Kept') && document.getElementById('told').textContent"
                )

            found = train()
            Path(screenshot).write_bytes(base64.b64decode(call(f"{session}/screenshot")))
            found["after_reload"] = told_after_reload()
            found["again"] = train()
            run("document.getElementById('forget').click()")
            time.sleep(1)
            filled()
            run("document.getElementById('train').click()")
            waited("return document.getElementById('bar').value >= 11")
            found["cut_off"] = told_after_reload()
            found["goes_on"] = train()
            call(session, method="DELETE")
        print(json.dumps(found))
    finally:
        chrome.terminate()
        server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
