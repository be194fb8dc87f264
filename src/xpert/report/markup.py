"""HTML made of parts: a plain string is text and is escaped, only `Html` stands as it is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["LONGEST", "Cell", "Html", "data_table", "plain", "section", "tag"]

LONGEST = 400
"""Longer texts are cut: a name or an answer may be of any length."""

_CONTROLS = {i: " " for i in (*range(32), *range(127, 160)) if i not in (9, 10)}
_VOID = frozenset({"br", "img"})


class Html(str):
    """Markup that was made here. Everything else, whatever it looks like, is text."""

    __slots__ = ()


def plain(value: object, longest: int = LONGEST) -> Html:
    r"""A text escaped: no markup, no control characters, no lone surrogates, at most ``longest`` characters.

    >>> plain('<b onclick="x">'), plain("a\x00b\ud800")
    ('&lt;b onclick=&quot;x&quot;&gt;', 'a b?')
    """
    if isinstance(value, Html):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8").translate(_CONTROLS)
    return Html(html.escape(text if len(text) <= longest else f"{text[: longest - 1]}…"))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element; children and values of attributes are escaped unless they are `Html`.

    An attribute that is None is left out; ``_`` in a name is a dash, one at its end is dropped (``class_``).

    >>> tag("p", "a < b", tag("b", "c"), class_="x y")
    '<p class="x y">a &lt; b<b>c</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{plain(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{''.join(plain(child) for child in children)}</{name}>")


def section(identity: str, title: str, *children: object) -> Html:
    """A part of the page with a heading."""
    return tag("section", tag("h2", title), *children, id=identity)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of `data_table`: what stands in it, and what it is sorted by, if not by its text."""

    content: object
    value: float | None = None


def data_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, sortable: bool = True) -> Html:
    """A table, whose titles stand beside each cell on a narrow screen; a column whose title starts with ``#`` is aligned to the right.

    One that is not sortable is small, and stays a table on a narrow screen.
    """
    titles = [column.lstrip("#") for column in columns]
    kinds = ["number" if column.startswith("#") else None for column in columns]
    heads = [tag("th", title, scope="col", class_=kind) for title, kind in zip(titles, kinds, strict=True)]
    body = [
        tag(
            "tr",
            *(
                tag("td", one.content, class_=kind, data_label=title or None, data_value=one.value)
                for one, title, kind in zip(row, titles, kinds, strict=True)
            ),
        )
        for row in rows
    ]
    kind = "sortable" if sortable else "compact"
    made = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), class_=kind)
    return tag("div", made, class_="table")
