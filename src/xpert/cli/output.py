"""What a command returns, and how it is printed: one JSON document, or tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.catalog import Catalog
    from xpert.types import Explanation

__all__ = [
    "Outcome",
    "State",
    "catalog_json",
    "explanation_json",
    "explanation_table",
    "show",
    "table",
    "top_words",
    "words_json",
]

_PIPE_WIDTH = 120


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

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    for part in outcome.view():
        console.print(part, soft_wrap=isinstance(part, str))


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


def words_json(words: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    """``[{"word", "value"}]``, in the given order."""
    return [{"word": word, "value": float(value)} for word, value in words]


def top_words(words: Sequence[tuple[str, float]], n: int = 4) -> str:
    """The first words with their coefficients.

    >>> top_words([("friendly", 1.31), ("concise", 0.4)])
    'friendly +1.31, concise +0.40'
    """
    from xpert.summarizers.words import isolated

    return ", ".join(f"{isolated(word)} {value:+.2f}" for word, value in words[:n])


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON values."""
    return {
        "words": words_json(explanation.words),
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
    """Models a row: strongest words, shares of named, measured and unnamed axes, residual."""
    rows = [
        (
            explanation.name,
            top_words(explanation.words),
            f"{explanation.named_share:.0%}",
            f"{explanation.measured_share:.0%}",
            f"{explanation.unnamed_share:.0%}",
            f"{explanation.residual:.2f}",
        )
        for explanation in (catalog[name] for name in catalog)
    ]
    return table(["model", "words", "#named", "#measured", "#unnamed", "#residual"], rows)
