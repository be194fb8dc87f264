"""The last step of explaining: word axes and pair rows -> a Catalog, for new and for growing catalogs alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from xpert import __version__
from xpert.axes import Embedded, fit, thresholds, with_measured_axes, with_unnamed_axes
from xpert.basis import SubvectorBasis
from xpert.catalog import Catalog
from xpert.embedding import scaled, standard_error
from xpert.matching import calibrate
from xpert.provenance import Provenance
from xpert.types import Array, Example, ModelCard

__all__ = ["assemble", "package_versions"]

_PACKAGES = ("numpy", "torch", "transformers", "peft", "sentence-transformers")


def assemble(
    header: Provenance,
    cards: Sequence[ModelCard],
    words: SubvectorBasis,
    models: Embedded,
    base_answers: Sequence[Example],
    *,
    reference: Array | None,
    unnamed: bool,
    max_unnamed: int,
) -> Catalog:
    """Measured and unnamed axes behind the words, and every model's coordinates, errors, fit and thresholds, from its rows.

    Args:
        header: The header; scale, fits and thresholds are filled in here.
        cards: One a model, in the order of the rows.
        words: The word axes.
        models: ``M`` models in the embedding space.
        base_answers: The base's answers to the probe prompts.
        reference: ``(P, D)`` each base answer beside its opposite (`xpert.matching.opposite`), as pair rows are stored. None: not known.
        unnamed: Whether directions that no word covers become axes.
        max_unnamed: How many at most.
    """
    basis = with_measured_axes(words, models, header.measured)
    if unnamed:
        basis = with_unnamed_axes(basis, models, most=max_unnamed)
    coordinates = basis.project(models.means)
    fits = [fit(basis, mean, width=models.width, eps_dec=header.eps_dec) for mean in models.means]
    noise = calibrate(
        basis,
        coordinates,
        models.rows(),
        None if reference is None else scaled(reference, models.width, models.scale),
        seed=header.seed,
    )
    fits = [replace(one, reliability=share) for one, share in zip(fits, noise.reliability, strict=True)]
    provenance = replace(
        header,
        measured_scale=models.scale,
        fits={card.name: how_well for card, how_well in zip(cards, fits, strict=True)},
        match_thresholds=thresholds(basis, coordinates, models.rows()),
        match_limits=noise.limits,
        versions=package_versions(),
    )
    return Catalog(
        basis=basis,
        models=tuple(cards),
        coordinates=coordinates,
        stderr=np.stack([standard_error(basis.project(rows)) for rows in models.rows()]),
        provenance=provenance,
        base_answers=tuple(base_answers),
        embeddings=models.means,
        pairs=models.pairs,
        reference=reference,
    )


def package_versions() -> dict[str, str]:
    """Xpert's version, and those of the packages that numbers depend on."""
    found = {"xpert": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
