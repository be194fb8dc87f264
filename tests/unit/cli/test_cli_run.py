from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import xpert
from xpert.cli import app, main, run
from xpert.cli.command import command
from xpert.cli.output import Outcome
from xpert.errors import DataError


def lines(text: str) -> list[str]:
    return text.splitlines()


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line with one command, ``work``, that calls the given function."""

    def start(function: Any, *arguments: str) -> int:
        def work() -> Outcome:
            return Outcome(document={"answer": function()}, view=lambda: ["for people"])

        monkeypatch.setattr(app, "COMMANDS", (work, app.zoo))
        return main(["work", *arguments])

    return start


def fail_with(error: BaseException) -> Any:
    def fail() -> None:
        raise error

    return fail


def test_json_is_one_document_and_prints_go_to_standard_error(run_with: Any, capsys: Any) -> None:
    def noisy() -> int:
        print("third party says hello")
        warnings.warn("a warning", stacklevel=1)
        return 7

    assert run_with(noisy, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"answer": 7}
    assert lines(err) == ["third party says hello"]


def test_people_see_the_view(run_with: Any, capsys: Any) -> None:
    assert run_with(lambda: 7) == 0
    assert capsys.readouterr().out == "for people\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("me.jsonl, line 3: not JSON\n(of course)"), 2, "me.jsonl, line 3: not JSON (of course)"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "/root/x"), 2, "/root/x: Permission denied"),
    ],
)
def test_errors_are_one_line_and_a_code(run_with: Any, capsys: Any, error: BaseException, code: int, said: str) -> None:
    assert run_with(fail_with(error), "--json") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(lines(err)) == 1
    assert err.startswith("xpert: error: ")
    assert said in err


def test_debug_shows_the_traceback(run_with: Any, capsys: Any) -> None:
    assert run_with(fail_with(DataError("bad")), "--debug") == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert lines(err)[-1] == "xpert: error: bad"


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["select"], ["select", "--nonsense"], ["train", "--max-steps", "many"], ["show", "a", "b", "c"]],
)
def test_bad_usage_is_one_line_and_two(capsys: Any, arguments: list[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(lines(err)) == 1
    assert "--help" in err


def test_help_lists_the_commands_in_the_order_of_the_flow(capsys: Any) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    places = [
        out.index(f"│ {name} ")
        for name in (
            "demo",
            "explain",
            "show",
            "select",
            "merge",
            "export",
            "train",
            "adapter",
            "quantize",
            "zoo",
            "doctor",
        )
    ]
    assert places == sorted(places)
    assert main([]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("function", app.COMMANDS, ids=lambda function: function.__name__)
def test_every_command_has_json_and_help_in_sentences(capsys: Any, monkeypatch: Any, function: Any) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main([function.__name__, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert "--debug" in out
    for parameter in command(function).__signature__.parameters.values():  # type: ignore[attr-defined]
        for option in getattr(parameter.annotation, "__metadata__", ()):
            assert option.help.endswith((".", ")")), parameter.name


def test_version(capsys: Any) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"xpert {xpert.__version__}\n"


def test_start_is_light() -> None:
    code = (
        "import sys; from xpert.cli import main; main(['--help']); main(['--version']);"
        "print([m for m in ('torch', 'transformers', 'peft', 'scipy', 'matplotlib') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_settings_of_warnings_and_logging_are_restored(run_with: Any) -> None:
    before = (list(warnings.filters), run.logging.root.manager.disable)
    run_with(lambda: 1)
    assert (list(warnings.filters), run.logging.root.manager.disable) == before


def test_sigterm_unwinds_like_an_interrupt(run_with: Any, capsys: Any, tmp_path: Path) -> None:
    from xpert.tensors.files import atomic_folder

    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "half.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)
            (folder / "whole.txt").write_text("whole")

    assert run_with(work) == 130
    assert len(lines(capsys.readouterr().err)) == 1
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before
