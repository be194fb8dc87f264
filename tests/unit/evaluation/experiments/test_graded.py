from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from xpert.evaluation.experiments.graded import GradedRow, graded_catalog, graded_rows, to_table
from xpert.testing.fakes import FakeSummarizer
from xpert.types import Example


@pytest.mark.parametrize(
    ("level", "distances", "grows"),
    [
        (1, (0.0, 1.0, 2.0, 3.0), True),
        (1, (0.0, 2.0, 1.0, 3.0), False),
        (3, (2.0, 1.0, 0.0, 1.5), True),
        (3, (1.0, 2.0, 0.0, 1.5), False),
        (4, (3.0, 2.0, 2.0, 0.0), False),
    ],
)
def test_what_grows_with_the_gap(level: int, distances: tuple[float, ...], grows: bool) -> None:
    assert GradedRow(scale="formality", level=level, distances=distances).grows is grows


def test_distances_are_those_of_the_catalogs_coordinates(tmp_path: Path) -> None:
    prompts = [f"what of {i}?" for i in range(8)]
    levels = ("it is so.", "it is so, dude.", "yo, it is so, dude, haha.")
    models = {
        f"casual-{n + 1}": [Example(prompt=prompt, response=f"{text} {prompt}") for prompt in prompts]
        for n, text in enumerate(levels)
    }
    catalog = graded_catalog({p: f"It is so: {p}" for p in prompts}, models, FakeSummarizer(), folder=tmp_path)
    rows = graded_rows(catalog, {"casual": list(models)})
    places = np.asarray(catalog.coordinates, np.float64)
    assert [row.level for row in rows] == [1, 2, 3]
    assert [GradedRow.from_dict(json.loads(json.dumps(asdict(row)))) for row in rows] == rows
    for i, row in enumerate(rows):
        np.testing.assert_allclose(row.distances, [np.abs(places[i] - other).sum() for other in places])
    assert rows[0].distances[2] == rows[2].distances[0] > 0
    table = to_table(rows)
    assert f"| casual | 1 | 0.00 | {rows[0].distances[1]:.2f} |" in table


def test_a_level_called_base_is_not_taken_for_the_base(tmp_path: Path) -> None:
    prompts = [f"what of {i}?" for i in range(8)]
    models = {
        name: [Example(prompt=prompt, response=f"{text} {prompt}") for prompt in prompts]
        for name, text in (("base", "yo, haha."), ("other", "it is so, dude."))
    }
    base = {prompt: f"It is so: {prompt}" for prompt in prompts}
    catalog = graded_catalog(base, models, FakeSummarizer(), folder=tmp_path)
    assert {one.prompt: one.response for one in catalog.base_answers} == base
