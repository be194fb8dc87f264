from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from xpert import progress


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.02)


def test_a_short_stage_leaves_no_line(capsys: Any) -> None:
    assert list(progress.track([1, 2, 3], "Probing", unit="model")) == [1, 2, 3]
    with progress.bar("training", 2, unit="step") as moved:
        moved("loss 1")
    assert capsys.readouterr().err == ""


def test_a_long_stage_tells_that_it_began_even_within_its_first_item(soon: None, capsys: Any) -> None:
    for _ in progress.track([1, 2], "Probing", unit="model"):
        time.sleep(0.2)
        break
    assert capsys.readouterr().err == "Probing (2 models) ...\n"


def test_a_stage_within_a_stage_is_silent(soon: None, capsys: Any) -> None:
    for _ in progress.track([1, 2], "Probing", unit="model"):
        for _ in progress.track(iter([1, 2]), "answering", unit="model"):
            time.sleep(0.1)
    for _ in progress.track(iter([1]), "Summarizing", unit="model"):
        time.sleep(0.2)
    assert capsys.readouterr().err == "Probing (2 models) ...\nSummarizing ...\n"


def test_then_a_line_a_minute_with_the_note(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with progress.bar("training", 10, done=4, unit="step") as moved:
        moved("loss 2.5")
    assert capsys.readouterr().err == "training: 5 of 10 steps  loss 2.5\n"


def test_after_an_error_the_next_stage_tells_again(soon: None, capsys: Any) -> None:
    with pytest.raises(ZeroDivisionError), progress.bar("training", 10, unit="step"):
        raise ZeroDivisionError
    with progress.bar("training", 10, unit="step"):
        time.sleep(0.2)
    assert capsys.readouterr().err == "training (10 steps) ...\n"


def test_what_a_quiet_process_says_takes_the_place_of_anothers_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    progress.say("alone")
    monkeypatch.setattr(progress, "_quiet", threading.Event())
    progress.quiet()
    progress.say("in a log")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress.say("beside a bar")
    assert capsys.readouterr().err == "alone\nin a log\n\r\x1b[2Kbeside a bar\n"
