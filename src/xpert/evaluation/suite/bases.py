"""Table 5, first column, by base: pools trained at a similarity of bases of other architectures, beside those of the zoo's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xpert.evaluation.experiments.tables import markdown, points
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.chosen import (
    ALL,
    EXHAUSTIVE,
    LLAMA,
    by_base_weights,
    other_bases,
    rights_by_base,
    selections,
    summarized,
)
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.start_tables import share_told

__all__ = ["table_5_bases"]


def table_5_bases(context: Context) -> Findings:
    """The right model by base; of a base that is not there the title tells."""
    _, missing = other_bases(context.work)
    chosen = selections(context, context.preset.by_base)
    columns = [{"base": LLAMA, **summarized(*place, found["right"])} for place, found in chosen.items()] + [
        {"base": row["base"], **summarized(row["known_phrases"], row["similarity"], row["right"])}
        for row in rights_by_base(context)
    ]
    left_out = f"; left out, as not made: {', '.join(missing)}" if missing else ""
    return Findings(
        tables=[
            Table(
                title=f"Right model by all axes (95% interval over users; exhaustive search for the first of them){left_out}",
                markdown=_table(columns),
            )
        ],
        charts=[_chart(columns, known) for known in context.preset.known_phrases],
        rows={"right": columns},
        weights=by_base_weights(context),
    )


def _chart(columns: Sequence[Mapping[str, Any]], known_phrases: int) -> Chart:
    """The right model against the similarity of the pools, a base a line."""
    own = [row for row in columns if row["known_phrases"] == known_phrases]

    def line(base: str) -> Series:
        its = sorted((row for row in own if row["base"] == base), key=lambda row: row["similarity"])
        return Series.of_estimates(
            base, [row["similarity"] for row in its], [row["right"][ALL] for row in its], factor=100
        )

    return Chart(
        title=f"Right model by base, {known_phrases}% known phrases",
        x_label="similarity s, percent",
        y_label="percent",
        series=[line(base) for base in dict.fromkeys(row["base"] for row in own)],
    )


def _table(columns: Sequence[Mapping[str, Any]]) -> str:
    """A pool a row, a base a column: right by all axes, by exhaustive search, and the difference on the same users in points."""
    bases = list(dict.fromkeys(row["base"] for row in columns))
    by = {(row["base"], row["known_phrases"], row["similarity"]): row for row in columns}
    places = dict.fromkeys((row["known_phrases"], row["similarity"]) for row in columns)
    cells = [
        [
            f"{known}%",
            f"s = {similarity}",
            *(
                cell
                for base in bases
                for row in [by[base, known, similarity]]
                for cell in (
                    share_told(row["right"][ALL]),
                    share_told(row["right"][EXHAUSTIVE]),
                    points(row["less_exhaustive"]),
                )
            ),
        ]
        for known, similarity in places
    ]
    header = [text for base in bases for text in (base, f"{base}, {EXHAUSTIVE}", f"{base}, difference in points")]
    return markdown(["known phrases", "pool", *header], cells)
