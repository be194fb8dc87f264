"""The contract of a sub-vector source, as a check that any implementation runs on itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xpert.protocols import SubvectorContext, SubvectorSource

__all__ = ["check_subvector_source"]

TOLERANCE = 1e-5


def check_subvector_source(
    make: Callable[[], SubvectorSource],
    context: SubvectorContext,
    *,
    words: Sequence[str] = ("friendly", "formal", "poetic"),
) -> None:
    """Assert that a source keeps the contract of `xpert.protocols.SubvectorSource`.

    Args:
        make: Gives a fresh source; called three times.
        context: What it works with.
        words: Two or more different words that it can turn into sub-vectors.

    Raises:
        AssertionError: It does not; the message says which rule is broken.
    """
    assert len(set(words)) == len(words) >= 2, "the check needs two different words or more"
    source = make()
    assert isinstance(source, SubvectorSource), "it lacks a member of xpert.protocols.SubvectorSource"
    assert _is_text(source.name), "name: expected a non-empty text"
    rows = source.vectors(words, context)
    expected = (len(words), context.summarizer.width)
    assert isinstance(rows, np.ndarray), f"vectors: expected a NumPy array, got {type(rows).__name__}"
    assert rows.dtype == np.float32, f"vectors: expected float32, got {rows.dtype}"
    assert rows.shape == expected, f"vectors: expected {expected}, got {rows.shape}"
    assert bool(np.isfinite(rows).all()), "vectors: expected finite values"
    none = source.vectors([], context)
    assert none.shape == (0, expected[1]), f"no words: expected {(0, expected[1])}, got {none.shape}"
    backwards = source.vectors(list(reversed(words)), context)[::-1]
    assert np.allclose(backwards, rows, rtol=0, atol=TOLERANCE), "the order of the words changes a row"
    alone = make().vectors(words[-1:], context)
    assert np.allclose(alone[0], rows[-1], rtol=0, atol=TOLERANCE), "a word's row depends on the words asked with it"
    assert np.array_equal(make().vectors(words, context), rows), "a second instance gives other rows bit for bit"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
