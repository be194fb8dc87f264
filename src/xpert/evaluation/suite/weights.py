"""Which weights computed a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

from xpert.errors import ReferenceNotFoundError
from xpert.references import describe

__all__ = ["model_of", "weights_of"]

_DIGITS = 12


def model_of(summarizer: str) -> str | None:
    """The reference of a summarizer's model, of its name; None for one that comes with a package (``encoder:minilm``)."""
    kind, _, rest = summarizer.partition(":")
    reference = summarizer if kind == "zoo" else rest
    try:
        describe(reference)
    except ReferenceNotFoundError:
        return None
    return reference


def weights_of(
    *,
    base: str | None = None,
    models: Collection[str] = (),
    summarizers: Collection[str] = (),
    others: Collection[str] = (),
) -> dict[str, str]:
    """Who computed, to the first twelve hex digits of a SHA-256 of the weights.

    Args:
        base: Reference of the base; None: there was none.
        models: Of its models, told by one digest of all in their order.
        summarizers: Names of summarizers; one that comes with a package is told by the package's version, not here.
        others: References of further bases, told by name.
    """
    found = {} if base is None else {"base": describe(base).sha256}
    if models:
        told = json.dumps([describe(model).sha256 for model in models])
        found[f"{len(models)} models"] = hashlib.sha256(told.encode()).hexdigest()
    for name, reference in [*((name, model_of(name)) for name in summarizers), *((one, one) for one in others)]:
        if reference is not None:
            found[name.rpartition("/")[2]] = describe(reference).sha256
    return {name: digest[:_DIGITS] for name, digest in found.items()}
