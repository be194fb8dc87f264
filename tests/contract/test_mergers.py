from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpert.mergers.base import MergeMethod
from xpert.mergers.choose import merge_method
from xpert.mergers.linear import LinearMerger
from xpert.registry import MERGERS
from xpert.testing import check_merge_method

MAKERS: dict[str, Callable[[], MergeMethod]] = {
    "linear": LinearMerger,
    "linear, in shards": lambda: LinearMerger(max_shard_bytes=50_000),
    "ties": lambda: merge_method("ties", density=0.5),
    "dare": lambda: merge_method("dare", density=0.5, seed=3),
}


@pytest.mark.parametrize("name", MAKERS)
def test_built_in_methods_keep_the_contract(name: str, tmp_path: Path) -> None:
    assert {"linear", "ties", "dare"} <= set(MERGERS.names())
    check_merge_method(MAKERS[name], tmp_path)


class Forgetful:
    """Merges, but tells nothing of it."""

    name = "forgetful"

    def merge(self, base: Any, members: Any, out: Any, *, words: Any = ()) -> Path:
        return LinearMerger().merge(base, members[:1], out)


def test_the_check_finds_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the card must say the model in words"):
        check_merge_method(Forgetful, tmp_path)
