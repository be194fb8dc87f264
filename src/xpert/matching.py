"""Whether the nearest model is near enough: what a catalog knows of its own noise, and the rule that follows from it.

A mean over few pairs is too long by its sampling noise, so that its cosine with anything is too small, the more so the fewer
pairs. The scatter of the pairs tells how much: the *likeness* of a user and a model is their cosine with both lengths freed of
noise. It does not fall with the number of pairs, and one limit a catalog serves users of five texts and of fifty. Pure functions.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.basis import SubvectorBasis
from xpert.space import AXES, kinds_of, places
from xpert.types import Array

__all__ = ["LEAST", "Noise", "calibrate", "distance_limit", "opposite", "outside", "reliability"]

LEAST = 0.5
"""No likeness below this (an angle of 60 degrees) is ever called a match."""
ACCEPTED = 0.95
"""The share of a catalog's own pseudo-users that must be accepted."""

_N_SPLITS = 20
_MOST_NEIGHBOURS = 500
_FLOOR = 0.1
Wide: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What `calibrate` tells.

    Attributes:
        reliability: Per model, axes (``all``, ``named`` ...) to the share of its squared length that is no sampling noise.
        limits: ``axes:paired`` and ``axes:unpaired`` to the least likeness of a match; empty where too few pairs are there.
    """

    reliability: tuple[Mapping[str, float], ...]
    limits: Mapping[str, float]


def opposite(n: int, seed: int) -> list[int]:
    """For each of ``n`` answers another: two and two, in a seeded order; the last of an odd number has itself.

    >>> sorted(opposite(4, 0)) == [0, 1, 2, 3] and all(opposite(4, 0)[j] == i for i, j in enumerate(opposite(4, 0)))
    True
    """
    order = random.Random(f"opposite/{seed}").sample(range(n), n)
    half, found = n // 2, list(range(n))
    for one, other in zip(order[:half], order[half : 2 * half], strict=True):
        found[one], found[other] = other, one
    return found


def reliability(rows: Wide) -> float:
    """The share of the squared length of the mean of ``(n, D)`` rows that is no sampling noise: 1 without scatter, at least 0.1.

    Of a single row nothing is known: 1.
    """
    if len(rows) < 2:
        return 1.0
    mean = rows.mean(axis=0)
    noise = float(((rows - mean) ** 2).sum()) / (len(rows) * (len(rows) - 1))
    return _share(float(mean @ mean), noise)


def outside(basis: SubvectorBasis, rows: Array) -> float | None:
    """The share of the squared length of a mean embedding that no axis covers, noise taken out; None where nothing is sure.

    Args:
        basis: The basis.
        rows: ``(n, D)`` embeddings of pairs.
    """
    wide = rows.astype(np.float64)
    inside = places(basis, basis.project(rows))
    squares = [float(m @ m) * reliability(r) for r, m in ((r, r.mean(axis=0)) for r in (wide, inside))]
    return None if len(rows) < 2 or squares[0] <= 0 else float(np.clip(1 - squares[1] / squares[0], 0.0, 1.0))


def distance_limit(least: float, user: float, model: float) -> float:
    """The distance of directions that a likeness of ``least`` has, where lengths have these reliabilities.

    >>> round(distance_limit(0.5, 1.0, 1.0), 6)
    1.0
    """
    return float(np.sqrt(max(2 - 2 * least * np.sqrt(user * model), 0.0)))


def calibrate(
    basis: SubvectorBasis, coordinates: Array, rows: Iterable[Array], reference: Array | None, *, seed: int
) -> Noise:
    """How much of each model is noise, and from which likeness on a user matches, per choice of axes.

    The least likeness is half way (in the cosine) between 1 and the likeness of a model and its nearest other, the median over
    models. A pseudo-user is one half of a model's pairs, the model being the other half; where the median pseudo-user has
    another likeness than 1, as an unpaired one may, the limit moves with it; and it is lowered until `ACCEPTED` of the
    pseudo-users pass, but not below `LEAST`.

    Args:
        basis: The basis.
        coordinates: ``(M, K)`` of the models.
        rows: Per model the embeddings ``(P, D)`` of its pairs.
        reference: ``(P, D)`` embeddings of the pairs of each base answer and its `opposite`: what an unpaired reference adds
            to a pair. None: not known; unpaired users are judged as paired ones.
        seed: Of the halves, and that of `opposite`.
    """
    choices = [axes for axes in AXES if basis.where(kinds_of(axes))]
    moved = {axes: None if reference is None else places(basis, basis.project(reference), axes) for axes in choices}
    shares: list[dict[str, float]] = []
    seen: dict[str, list[Wide]] = {f"{axes}:{how}": [] for axes in choices for how in ("paired", "unpaired")}
    for row in rows:
        z = basis.project(row)
        of = {axes: places(basis, z, axes) for axes in choices}
        shares.append({axes: reliability(place) for axes, place in of.items()})
        halves = _halves(len(row), seed)
        if halves is None:
            continue
        for axes, place in of.items():
            seen[f"{axes}:paired"].append(_pseudo_users(place, place, halves))
            shift = moved[axes]
            seen[f"{axes}:unpaired"].append(_pseudo_users(place, place if shift is None else place + shift, halves))
    limits: dict[str, float] = {}
    for axes in choices:
        near = _nearest_other(places(basis, coordinates, axes), np.array([share[axes] for share in shares]))
        for how in ("paired", "unpaired"):
            likeness = seen[f"{axes}:{how}"]
            if likeness:
                limits[f"{axes}:{how}"] = _limit(near, np.concatenate(likeness))
    return Noise(reliability=tuple(shares), limits=limits)


def _limit(near: float, own: Wide) -> float:
    wanted = (1 + near) / 2 * float(np.median(own))
    return max(min(wanted, float(np.quantile(own, 1 - ACCEPTED))), LEAST)


def _halves(n: int, seed: int) -> Wide | None:
    """``(2, splits, n)`` weights of the means of random halves, an answer and its opposite never in one; None below 4 pairs."""
    if n < 4:
        return None
    pair_of, rng = opposite(n, seed), np.random.default_rng(seed)
    first = [i for i, j in enumerate(pair_of) if i < j]
    weights = np.zeros((2, _N_SPLITS, n))
    for split in range(_N_SPLITS):
        for i, flipped in zip(first, rng.random(len(first)) < 0.5, strict=True):
            weights[int(flipped), split, i] = weights[int(not flipped), split, pair_of[i]] = 1 / len(first)
    return weights


def _pseudo_users(model: Wide, user: Wide, halves: Wide) -> Wide:
    """``(splits,)`` likeness of one half of a model's rows ``(P, D)`` and the other half's user rows."""
    n_half = halves.shape[2] // 2
    means, reliable = [], []
    for rows, weights in ((model, halves[0]), (user, halves[1])):
        mean = weights @ rows
        squares = np.einsum("sd,sd->s", mean, mean)
        noise = (weights @ np.einsum("pd,pd->p", rows, rows) - squares) / (n_half - 1)
        reliable.append([_share(float(s), float(e)) for s, e in zip(squares, noise, strict=True)])
        means.append(mean / np.sqrt(squares).clip(min=1e-12)[:, None])
    return np.einsum("sd,sd->s", *means) / np.sqrt(np.prod(reliable, axis=0))


def _nearest_other(models: Wide, reliable: Wide) -> float:
    """The median over models of the likeness of the nearest other, within 0 and 1; 0 for a single model.

    Of more than 500 models, as many are asked, evenly picked; each looks at all others.
    """
    if len(models) == 1:
        return 0.0
    unit = models / (np.linalg.norm(models, axis=1) * np.sqrt(reliable)).clip(min=1e-12)[:, None]
    asked = np.unique(np.linspace(0, len(models) - 1, min(len(models), _MOST_NEIGHBOURS)).astype(int))
    near: Sequence[float] = [float(np.delete(unit @ unit[i], i).max()) for i in asked]
    return float(np.clip(np.median(near), 0.0, 1.0))


def _share(square: float, noise: float) -> float:
    return float(np.clip(1 - noise / square, _FLOOR, 1.0)) if square > 0 else 1.0
