from __future__ import annotations

from typing import Any

import pytest

from xpert.constraints import Constraints
from xpert.errors import SettingsError
from xpert.types import ModelCard

CARD = ModelCard(name="poet", reference="p", kind="adapter", base="b", bytes=100, licence="Apache-2.0", sha256="")


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, True),
        ({"bases": ["b", "c"]}, True),
        ({"bases": ["c"]}, False),
        ({"kinds": ["adapter"], "licences": ["apache-2.0"]}, True),
        ({"kinds": ["full"]}, False),
        ({"licences": ["mit"]}, False),
        ({"min_bytes": 100, "max_bytes": 100}, True),
        ({"max_bytes": 99}, False),
        ({"min_bytes": 101}, False),
    ],
)
def test_what_is_allowed(given: dict[str, Any], allowed: bool) -> None:
    assert Constraints(**given).allow(CARD) is allowed


def test_a_model_without_a_licence_is_under_none() -> None:
    card = ModelCard(name="poet", reference="p", kind="adapter", base="b", bytes=1, sha256="")
    assert not Constraints(licences=["mit", ""]).allow(card)


def test_bad_constraints() -> None:
    with pytest.raises(SettingsError, match="bases: expected a list of names, got the string 'b'"):
        Constraints(bases="b")
    with pytest.raises(SettingsError, match="max_bytes: expected 0 or more, got -1"):
        Constraints(max_bytes=-1)


def test_told() -> None:
    assert Constraints(kinds=["full", "adapter"], max_bytes=5).told == "kinds=full|adapter, max_bytes=5"
