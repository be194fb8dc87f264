"""Select, merge and train on personal data, by the Python API and by the command line, in a process that reports what it did.

Run by ``test_privacy.py``: ``python personal_run.py CATALOG DATA BASE OUT``. Sockets are blocked. Prints one JSON document: the
network addresses that were asked for, and the files outside OUT that were opened for writing.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

ATTEMPTS: list[str] = []
WRITTEN: list[str] = []


def block_sockets() -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        ATTEMPTS.append(repr(arguments[-1]))
        raise OSError("sockets are blocked")

    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, refuse)
    socket.getaddrinfo = refuse
    socket.create_connection = refuse


def watch_files(allowed: Path) -> None:
    tempfile.gettempdir()  # it writes a probe file once
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        mode, flags = arguments[1], arguments[2]
        if (set("wax+") & set(mode)) if isinstance(mode, str) else flags & writing:
            path = Path(os.path.abspath(os.fsdecode(arguments[0])))
            if allowed not in path.parents and Path("/dev") not in path.parents and Path("/proc") not in path.parents:
                WRITTEN.append(str(path))

    sys.addaudithook(hook)


def by_python(catalog: str, data: str, out: Path) -> None:
    import xpert

    examples = xpert.load_examples(data)
    opened = xpert.Catalog.from_pretrained(catalog)
    selection = xpert.Selector(opened).select(examples)
    merger = xpert.Merger(opened)
    start = merger.merge(merger.plan(selection), out / "start")
    xpert.TorchTrainer(max_steps=2, rank=4, checkpoint_every=1).fit(start, examples, out=out / "mine")


def by_command_line(catalog: str, data: str, base: str, out: Path) -> None:
    from xpert.cli import main

    out.mkdir()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["select", "--catalog", catalog, "--data", data, "--base", base, "--json"]) == 0
    (out / "selection.json").write_text(said.getvalue())
    chosen = ["--catalog", catalog, "--selection", str(out / "selection.json")]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["select", "--catalog", catalog, "--data", data]) == 0
        assert main(["merge", *chosen, "--out", str(out / "start")]) == 0
        given = ["--start", str(out / "start"), "--data", data, "--out", str(out / "mine"), "--max-steps", "2"]
        assert main(["train", *given]) == 0


if __name__ == "__main__":
    catalog, data, base, out = sys.argv[1:]
    watch_files(Path(out))
    block_sockets()
    by_python(catalog, data, Path(out) / "python")
    by_command_line(catalog, data, base, Path(out) / "cli")
    print(json.dumps({"attempts": ATTEMPTS, "written": WRITTEN}))
