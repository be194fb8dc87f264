from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xpert.report.markup import LONGEST, Cell, Html, data_table, plain, tag


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, attrs))


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_a_text_says_is_text(content: str, attribute: str) -> None:
    parser = _Texts()
    made = tag("p", content, title=attribute)
    made.encode("utf-8")
    parser.feed(made)
    parser.close()
    assert [name for name, _ in parser.tags] == ["p"]
    assert [name for name, _ in parser.tags[0][1]] == ["title"]
    if content.isprintable() and content:
        assert "".join(parser.texts) == content


def test_long_texts_are_cut_and_markup_is_kept() -> None:
    assert len(plain("x" * 1000)) == LONGEST
    assert plain(tag("b", "y" * 1000)) == f"<b>{plain('y' * 1000)}</b>"
    assert plain(Html("<i>")) == "<i>"
    assert tag("p", tag("br"), data_value=None) == "<p><br></p>"


def test_a_table_has_a_title_beside_every_cell() -> None:
    made = data_table(["model", "#size"], [(Cell("a<b"), Cell("2 kB", 2000))])
    assert '<td data-label="model">a&lt;b</td><td class="number" data-label="size" data-value="2000">2 kB</td>' in made
