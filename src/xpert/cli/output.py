"""What a command returns, and how it is printed: one JSON document, or tables for people."""

from __future__ import annotations

import io
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xpert.figures import common_decimals, told_from_zero, with_error

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.catalog import Catalog
    from xpert.types import Explanation

__all__ = [
    "LEFT_OUT",
    "UNSURE",
    "Outcome",
    "State",
    "catalog_json",
    "explanation_json",
    "explanation_table",
    "figure",
    "marked",
    "plus_minus",
    "show",
    "table",
    "top_words",
    "width",
    "words_json",
]

UNSURE = "~: not told from 0, which is within two standard errors."
"""The legend of the mark of `marked`."""

LEFT_OUT = "Words within two standard errors of 0 are left out."
"""What `top_words` does, said below a table of them."""

_PIPE_WIDTH, _NARROW = 120, 110
_SHARES_WIDE, _SHARES_NARROW, _LEAST_WORDS = 45, 34, 24
"""Columns that the shares take beside the words, and how many the words are given at least."""


@dataclass(slots=True)
class State:
    """What was asked of all commands alike.

    Attributes:
        json: Whether the result is printed as JSON.
        debug: Whether an error shows its traceback.
    """

    json: bool = False
    debug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a command.

    Attributes:
        document: What ``--json`` prints.
        view: Makes what people see: lines and tables.
        exit_code: 0, or 2 where the command found that something is wrong.
    """

    document: Mapping[str, Any]
    view: Callable[[], Sequence[RenderableType]]
    exit_code: int = 0


def show(outcome: Outcome, *, as_json: bool) -> None:
    """Print a result on standard output."""
    if as_json:
        print(json.dumps(outcome.document, indent=2, allow_nan=False), flush=True)
        return
    from rich.console import Console

    console = Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else _PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )
    with _nothing_lost():
        for part in outcome.view():
            console.print(part, soft_wrap=isinstance(part, str))


@contextmanager
def _nothing_lost() -> Iterator[None]:
    """Standard output shows letters that it cannot have (of a name, or of a word in another script) as escapes."""
    if not isinstance(sys.stdout, io.TextIOWrapper):
        yield
        return
    before = sys.stdout.errors
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        sys.stdout.reconfigure(errors=before)


def width() -> int:
    """Columns that tables may take."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH


def figure(value: float, stderr: float | None, decimals: int | None = None) -> str:
    """A value with its standard error."""
    return with_error(value, stderr, sign=plus_minus(), decimals=decimals)


def plus_minus() -> str:
    """The plus-minus sign where standard output can have it, else ``+-``."""
    try:
        "±".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "+-"
    return "±"


def marked(word: str, value: float, stderr: float | None) -> str:
    """The word, with a ``~`` before it where its value is not told from 0."""
    return word if told_from_zero(value, stderr) else f"~{word}"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> RenderableType:
    """A table; a column whose title starts with ``#`` is aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left", overflow="fold")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


def words_json(words: Sequence[tuple[str, float]], stderr: Sequence[float] = ()) -> list[dict[str, Any]]:
    """``[{"word", "value"}]`` in the given order, each with its ``stderr`` where these are known."""
    if not stderr:
        return [{"word": word, "value": float(value)} for word, value in words]
    return [
        {"word": word, "value": float(value), "stderr": float(error)}
        for (word, value), error in zip(words, stderr, strict=True)
    ]


def top_words(
    words: Sequence[tuple[str, float]], n: int = 4, stderr: Sequence[float] = (), *, with_errors: bool = True
) -> str:
    """The first words that are told from 0, the largest coefficient first, all to one number of decimals.

    Args:
        words: Words and coefficients, in the order in which they name.
        n: How many at most.
        stderr: Their standard errors, where these are known: words within two of them of 0 are left out.
        with_errors: Whether the errors are shown.

    >>> top_words([("concise", 0.4), ("friendly", 1.31), ("formal", 0.01)], stderr=[0.1, 0.083, 0.02])
    'friendly +1.31 ± 0.08, concise +0.40 ± 0.10'
    """
    from xpert.summarizers.words import isolated

    errors = stderr or (None,) * len(words)
    axes = [(word, value, error) for (word, value), error in zip(words, errors, strict=True)]
    told = [axis for axis in axes if told_from_zero(axis[1], axis[2])][:n]
    if not told:
        return "no word that is told from 0"
    told.sort(key=lambda axis: -abs(axis[1]))
    decimals = common_decimals(value for _, value, _ in told)
    return ", ".join(
        f"{isolated(word)} {figure(value, error if with_errors else None, decimals)}" for word, value, error in told
    )


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON values."""
    return {
        "words": words_json(explanation.words, explanation.stderr),
        "residual": explanation.residual,
        "named_share": explanation.named_share,
        "measured_share": explanation.measured_share,
        "unnamed_share": explanation.unnamed_share,
        "converged": explanation.converged,
    }


def catalog_json(catalog: Catalog) -> dict[str, Any]:
    """A catalog as JSON values; ``n_subvectors`` counts word axes, ``n_axes`` the measured and unnamed ones too."""
    header = catalog.provenance
    return {
        "models": {name: explanation_json(catalog[name]) for name in catalog},
        "n_subvectors": sum(axis.kind == "word" for axis in catalog.basis.axes),
        "n_axes": len(catalog.basis),
        "n_candidates_examined": header.n_candidates_examined,
        "eps_orth": header.eps_orth,
        "eps_dec": header.eps_dec,
        "base": header.base,
        "summarizer": header.summarizer,
        "n_prompts": header.n_prompts,
        "seed": header.seed,
    }


def explanation_table(catalog: Catalog) -> RenderableType:
    """Models a row: strongest words, shares of named, measured and unnamed axes, residual.

    On a narrow terminal the words stand below the name.
    """
    narrow = width() < _NARROW
    left = width() - (_SHARES_NARROW if narrow else _SHARES_WIDE + max(len(name) for name in catalog))
    rows = [
        (
            *_name_and_words(explanation, max(left, _LEAST_WORDS), narrow=narrow),
            f"{explanation.named_share:.0%}",
            f"{explanation.measured_share:.0%}",
            f"{explanation.unnamed_share:.0%}",
            f"{explanation.residual:.2f}",
        )
        for explanation in (catalog[name] for name in catalog)
    ]
    titles = ["model: words"] if narrow else ["model", "words"]
    shares = ["#named", "#meas.", "#unn.", "#resid."] if narrow else ["#named", "#measured", "#unnamed", "#residual"]
    return table([*titles, *shares], rows)


def _name_and_words(explanation: Explanation, columns: int, *, narrow: bool) -> tuple[str, ...]:
    """The first cells of a model's row: name and words, or one with the words below the name; no figure is broken."""
    told = top_words(explanation.words, stderr=explanation.stderr).replace(" ", "\xa0").replace(",\xa0", ", ")
    indent = "  " if narrow else ""
    lines = textwrap.wrap(told, columns, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
    words = "\n".join(lines).replace("\xa0", " ")
    return (f"{explanation.name}\n{words}",) if narrow else (explanation.name, words)
