from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.errors import DataError
from xpert.selection_io import load_selection, selection_from_json, selection_to_json
from xpert.types import Coordinates, Selection

CHOSEN = Selection(
    best="tutor",
    matched=True,
    ranking=(("tutor", 0.25), ("poet", 0.5)),
    words=(("vivid", 1.5), ("formal", -0.5)),
    coordinates=Coordinates(
        values=np.array([-0.5, 1.5], np.float32), stderr=np.array([0.25, 0.125], np.float32), n_pairs=9
    ),
    threshold=0.75,
    stderr=(0.125, 0.25),
    probabilities=(0.875, 0.125),
    strength=0.5,
    likeness=0.75,
    least_likeness=0.5,
    outside=0.125,
    reasons=(("vivid", 0.5),),
    over_next=(("formal", 0.25),),
    missing=("rhymed",),
    excluded=3,
)


def same(one: Selection, other: Selection) -> bool:
    nowhere = Coordinates(values=np.zeros(0), stderr=np.zeros(0), n_pairs=0)
    bare, other_bare = (str(replace(selection, coordinates=nowhere)) for selection in (one, other))
    return selection_to_json(one) == selection_to_json(other) and bare == other_bare


@pytest.mark.parametrize("chosen", [CHOSEN, replace(CHOSEN, probabilities=None, stderr=())])
def test_written_and_read_it_is_the_same(chosen: Selection, tmp_path: Path) -> None:
    file = tmp_path / "selection.json"
    file.write_text(json.dumps(selection_to_json(chosen), allow_nan=False))
    assert same(load_selection(file), chosen)


def test_json_has_the_promised_keys() -> None:
    document = selection_to_json(CHOSEN)
    assert document["confidence"] == 0.875
    assert document["ranking"][1] == {"name": "poet", "distance": 0.5, "probability": 0.125}
    assert document["words"][0] == {"word": "vivid", "value": 1.5, "stderr": 0.125}


def test_files_of_before_still_load() -> None:
    document: dict[str, Any] = selection_to_json(CHOSEN)
    del document["confidence"]
    for entry in document["ranking"]:
        del entry["probability"]
    for entry in document["words"]:
        del entry["stderr"]
    read = selection_from_json(document)
    assert (read.confidence, read.probabilities, read.stderr) == (None, None, ())
    assert read.ranking == CHOSEN.ranking


def test_a_probability_that_is_no_number_is_named() -> None:
    document: dict[str, Any] = selection_to_json(CHOSEN)
    document["ranking"][1]["probability"] = "much"
    with pytest.raises(DataError, match="'ranking' at position 1: 'probability': expected a finite number, got 'much'"):
        selection_from_json(document, "me.json")
