from __future__ import annotations

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.catalog import Catalog
from xpert.errors import SettingsError
from xpert.report.catalog_report import catalog_report, report_page
from xpert.selector import Selector
from xpert.testing.planted_catalog import PLANTED_AXES as AXES
from xpert.testing.planted_catalog import PLANTED_PLACES as PLACES
from xpert.testing.planted_catalog import planted_catalog as planted
from xpert.types import Axis, Coordinates, Example, Selection

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)> ' & </style>\x00\ud800"
_VOID = {"meta", "br", "img", "input"}


class Page(HTMLParser):
    """What a page is made of; fails where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.said = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif self._open and self._open[-1] != "style":
            self.said += data

    def check_harmless(self) -> None:
        """One script, our own; no handlers; nothing that is loaded."""
        import hashlib

        assert len(self.scripts) == 1
        digest = base64.b64encode(hashlib.sha256(self.scripts[0].encode()).digest()).decode()
        policies = [a["content"] for tag, a in self.elements if a.get("http-equiv") == "Content-Security-Policy"]
        assert len(policies) == 1
        assert policies[0] is not None
        assert f"script-src 'sha256-{digest}'" in policies[0]
        assert "default-src 'none'" in policies[0]
        for tag, attributes in self.elements:
            assert tag not in ("link", "iframe", "object", "form", "base")
            for name, value in attributes.items():
                assert not name.startswith("on")
                assert name != "href" or str(value).startswith("#")
                assert name != "src" or str(value).startswith("data:image/png;base64,")


@pytest.fixture
def catalog() -> Catalog:
    """Five models, of which the first two are at one place but for noise."""
    return planted()


def chosen(catalog: Catalog, values: Any, **options: Any) -> Selection:
    place = Coordinates(values=np.asarray(values, np.float32), stderr=np.full(len(AXES), 0.05, np.float32), n_pairs=12)
    return Selector(catalog, **options).rank(place)


def test_a_catalog_is_told_wholly(catalog: Catalog, tmp_path: Path) -> None:
    file = catalog_report(catalog, tmp_path / "report.html")
    text = file.read_text(encoding="utf-8")
    page = Page(text)
    page.check_harmless()
    for said in (
        "5 models of org/base",
        "7.5 kB",
        "friendly",
        "+1.00 ± 0.02",
        "One adjective?",
        "What is rain?",
        "abababab",
    ):
        assert said in page.said
    assert "Not told apart by their probes: model-0 and model-1." in page.said
    assert text == catalog_report(catalog, tmp_path / "again.html").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "again.html"}


def test_models_that_differ_are_told_apart() -> None:
    page, shown = report_page(planted(PLACES[1:]))
    assert shown.too_near == []
    assert "Every model is told apart from its nearest other." in page


@pytest.mark.parametrize("matched", [True, False])
def test_a_selection_is_told_with_its_reasons(catalog: Catalog, matched: bool) -> None:
    selection = chosen(catalog, [-0.1, 1.0, -0.4, 0.0], threshold=0.6 if matched else 0.01)
    selection = replace(
        selection,
        probabilities=(0.9, 0.1, 0.0, 0.0, 0.0),
        missing=() if matched else ("rhymed",),
        likeness=0.93,
        least_likeness=0.8,
    )
    page = Page(report_page(catalog, selection)[0])
    page.check_harmless()
    assert selection.best == "model-2"
    assert ("A match. Likeness 0.93, a match from 0.80 on." in page.said) == matched
    assert ("no match" in page.said) != matched
    assert ("rhymed" in page.said) != matched
    assert "The nearest in 90% of resamples of the user's 12 texts." in page.said
    assert f"Why not {selection.ranking[1][0]}?" in page.said
    assert selection.reasons[0][0] == "concise"
    assert f"{selection.reasons[0][1]:.3f}" in page.said
    for name, distance in selection.ranking:
        assert f"{name}{distance:.3f}" in page.said
    assert "brief" in page.said  # length by its adjective
    rows = [attributes for tag, attributes in page.elements if tag == "path" and attributes.get("class") == "user"]
    assert len(rows) == 1


@pytest.mark.parametrize("axes", ["named", "named+measured"])
def test_a_selection_by_some_axes(catalog: Catalog, axes: Any) -> None:
    page = Page(report_page(catalog, chosen(catalog, [0.9, 0.2, 0.1, 0.3], axes=axes))[0])
    assert f"axes compared: {axes}" in page.said


@pytest.mark.parametrize("metric", ["embedding", "coordinates"])
def test_a_selection_by_another_metric(catalog: Catalog, metric: Any) -> None:
    assert "The ranking" in report_page(catalog, chosen(catalog, [0.9, 0.2, 0.1, 0.3], metric=metric, threshold=0.5))[0]


def test_a_sum_of_models_is_planned_or_it_is_said_why_not(catalog: Catalog) -> None:
    two = report_page(catalog, chosen(catalog, [1.0, 1.1, -0.4, 0.0]))[0]
    assert "Why 2 models" in two
    one = report_page(catalog, chosen(catalog, PLACES[3]))[0]
    assert "One model: " in one
    none = report_page(catalog, chosen(catalog, [0.0, 0.0, 0.0, 0.0]))[0]
    assert "the user&#x27;s coordinates are all zero" in none
    recorded = planted(kind="recorded")
    assert "Recorded models have no weights" in report_page(recorded, chosen(recorded, [1.0, 1.1, -0.4, 0.0]))[0]


def test_a_selection_of_another_catalog_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    selection = chosen(catalog, [1.0, 0.2, 0.0, 0.1])
    fewer = planted([[1.0, 0.0], [0.0, 1.0]], axes=AXES[:2])
    moved = planted(np.asarray(PLACES)[::-1].copy())
    others = planted(names=list("abcde"))
    for other, said in (
        (fewer, "4 coordinates, the catalog has 2 axes: select again"),
        (others, "which is no model of the catalog: select again"),
        (moved, "it was made with another one: select again"),
    ):
        with pytest.raises(SettingsError, match=said):
            catalog_report(other, tmp_path / "x.html", selection)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_told(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no folder"):
        catalog_report(catalog, tmp_path / "no" / "x.html")
    with pytest.raises(SettingsError, match="is a folder: give the name of a file"):
        catalog_report(catalog, tmp_path)
    with pytest.raises(SettingsError, match="most: expected 1 or more models, got 0"):
        catalog_report(catalog, tmp_path / "x.html", most=0)


def test_nothing_that_a_catalog_or_a_selection_says_is_markup() -> None:
    axes = (Axis(word=f"a{EVIL}"), Axis(word=f"b{EVIL}"), *AXES[2:])
    header = {
        name: f"{name}{EVIL}" for name in ("base", "summarizer", "instruction", "null_pairs", "subvectors", "centering")
    }
    catalog = planted(
        names=[f"{i}{EVIL}" for i in range(5)],
        axes=axes,
        answers=[Example(prompt=EVIL, response=EVIL)],
        measured=(EVIL,),
        width=4,
        versions={EVIL: EVIL},
        settings={EVIL: EVIL},
        **header,
    )
    catalog = replace(catalog, models=tuple(replace(card, licence=EVIL) for card in catalog.models))
    selection = replace(
        chosen(catalog, [-0.1, 1.0, -0.4, 0.0], threshold=0.01),
        reasons=((EVIL, 0.5),),
        over_next=((EVIL, 0.5),),
        missing=(EVIL,),
    )
    text = report_page(catalog, selection)[0]
    text.encode("utf-8")
    page = Page(text)
    page.check_harmless()
    assert "alert(1)" in page.said
    assert not [tag for tag, _ in page.elements if tag == "img"]


def test_right_to_left_names_stand_by_themselves() -> None:
    names = ["رسمي", "b", "c", "d", "e"]
    assert "<bdi>رسمي</bdi>" in report_page(planted(names=names))[0]


def test_images_that_the_catalog_carries_are_shown_and_files_are_not(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (300, 200), "red").save(tmp_path / "own.png")
    uri = f"data:image/png;base64,{base64.b64encode((tmp_path / 'own.png').read_bytes()).decode()}"
    answers = [
        Example(prompt='a "red" picture', response=uri),
        Example(prompt="a file", response=str(tmp_path / "own.png")),
        Example(prompt="broken", response="data:image/png;base64,AAAA"),
        Example(prompt="evil", response='data:image/svg+xml,<svg onload="alert(1)">'),
    ]
    page = Page(report_page(planted(answers=answers, modality="diffusion"))[0])
    page.check_harmless()
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [one["alt"] for one in images] == ['a "red" picture']
    assert len(str(images[0]["src"])) < 2000


def test_of_a_large_pool_the_first_are_shown(tmp_path: Path) -> None:
    places = np.random.default_rng(0).normal(size=(3000, len(AXES)))
    saved = planted(places).save_pretrained(tmp_path / "pool", pool="float16")
    pool = Catalog.from_pretrained(saved)
    file = catalog_report(pool, tmp_path / "r.html")
    page = Page(file.read_text(encoding="utf-8"))
    assert "3,000 models of org/base" in page.said
    assert "Here are 200 of them" in page.said
    assert "Shown: 60 of 200 models" in page.said
    assert file.stat().st_size < 700_000
    selection = chosen(pool, pool.coordinates[2500], top=50)
    text, shown = report_page(pool, selection, most=20)
    assert shown.names == [name for name, _ in selection.ranking[:20]]
    assert shown.names[0] == "model-2500"
    assert "30 further models are not shown." in text


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_catalogs(n: int) -> None:
    catalog = planted(PLACES[2 : 2 + n])
    Page(report_page(catalog, chosen(catalog, [0.2, 1.0, 0.1, 0.0]))[0]).check_harmless()
    assert ("A single model has no neighbours." in report_page(catalog)[0]) == (n == 1)


def test_coordinates_that_are_no_numbers_do_not_stop_it() -> None:
    places = np.asarray(PLACES, np.float32)
    places[1] = np.nan
    Page(report_page(planted(places))[0]).check_harmless()


def test_the_document_of_a_selection_is_enough(catalog: Catalog) -> None:
    from xpert.selection_io import selection_from_json, selection_to_json

    selection = chosen(catalog, [-0.1, 1.0, -0.4, 0.0])
    again = selection_from_json(json.loads(json.dumps(selection_to_json(selection))))
    assert report_page(catalog, again)[0] == report_page(catalog, selection)[0]
