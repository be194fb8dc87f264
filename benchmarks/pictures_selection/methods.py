"""How a model is chosen: xpert with two kinds of sub-vectors, the paper's rule as published, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pictures import MODALITY, N_PROMPTS, User

import xpert
from xpert.baselines.clip_similarity import CLIPSimilarityBaseline
from xpert.baselines.fid import FIDBaseline
from xpert.baselines.kid import KIDBaseline
from xpert.protocols import SelectionMethod, SubvectorSource
from xpert.space import AXES, AxesName, Metric
from xpert.subvectors.captioned import CaptionedSubvectors
from xpert.subvectors.painted import PaintedSubvectors
from xpert.summarizers.image_encoder import ImageEncoderSummarizer
from xpert.types import Array
from xpert.zoo.pictures import STYLES, accepted_words

BASELINES = {"fid": FIDBaseline, "kid": KIDBaseline, "clip-similarity": CLIPSimilarityBaseline}


class RememberingEncoder(ImageEncoderSummarizer):
    """The zoo's encoder, which encodes each picture once: draws and methods share pictures."""

    def __init__(self) -> None:
        super().__init__("zoo:pictures-encoder", name="zoo:pictures-encoder")
        self.rows: dict[str, Array] = {}

    def encode_images(self, images: Sequence[str]) -> Array:
        """As the encoder does; new pictures are remembered."""
        if new := [image for image in dict.fromkeys(images) if image not in self.rows]:
            self.rows.update(zip(new, super().encode_images(new), strict=True))
        return np.stack([self.rows[image] for image in images])


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to explain and to compare.

    Attributes:
        label: What it is called in the table.
        subvectors: Where words' sub-vectors come from.
        options: Of `xpert.Explainer`.
        metric: Of `xpert.Selector`.
        axes: Which axes are compared, one figure each.
    """

    label: str
    subvectors: SubvectorSource
    options: Mapping[str, Any] = field(default_factory=dict)
    metric: Metric = "direction"
    axes: tuple[AxesName, ...] = AXES


AS_PUBLISHED: Mapping[str, Any] = {
    "eps_orth": 0.1,
    "eps_dec": 0.2,
    "coefficients": "projection",
    "centering": "none",
    "measured_weight": 0.0,
    "unnamed": False,
}
"""The paper's section 3 and the authors' script: words alone, projections on nearly orthogonal axes, L2 between coordinates."""


def ways() -> list[Way]:
    """The four ways; (a) has no vision-language model that proposes words: the encoder's list is ranked instead."""
    painter = PaintedSubvectors("zoo:pictures-painter", n_prompts=8, modality=MODALITY)
    script = CaptionedSubvectors(template="a {word} photo of {caption}", plain="a photo of {caption}", centred=False)
    published: dict[str, Any] = {"options": AS_PUBLISHED, "metric": "coordinates", "axes": ("named",)}
    return [
        Way(label="xpert, word list and captions (a)", subvectors=CaptionedSubvectors()),
        Way(label="xpert, painted sub-vectors (c)", subvectors=painter),
        Way(label="as published, captions (the script)", subvectors=script, **published),
        Way(label="as published, painted sub-vectors (the paper)", subvectors=painter, **published),
    ]


def catalog_of(
    way: Way, base: str, pool: Mapping[str, str], encoder: RememberingEncoder, cache: Path | None, seed: int
) -> xpert.Catalog:
    explainer = xpert.Explainer(
        base, encoder, subvectors=way.subvectors, n_prompts=N_PROMPTS, cache=cache, seed=seed, **way.options
    )
    return explainer.explain(pool)


def right_by_axes(
    way: Way, catalog: xpert.Catalog, encoder: RememberingEncoder, users: Sequence[User], *, paired: bool
) -> dict[str, list[str]]:
    """Choice of axes to the wrong choices, ``style > chosen`` each."""
    kinds = {axis.kind for axis in catalog.basis.axes}
    compared = [axes for axes in way.axes if axes == "all" or "word" in kinds]
    wrong: dict[str, list[str]] = {axes: [] for axes in compared}
    for user in users:
        place = xpert.Selector(catalog, encoder).locate(user.examples, list(user.base) if paired else None)
        for axes in compared:
            best = xpert.Selector(catalog, encoder, axes=axes, metric=way.metric, threshold=1.0).rank(place).best
            wrong[axes] += [f"{user.style} > {best}"] * (best != user.style)
    return wrong


def baseline(name: str, pool: Mapping[str, Sequence[str]], encoder: RememberingEncoder) -> SelectionMethod:
    return BASELINES[name](pool, encoder)


def wrong_by_baseline(method: SelectionMethod, users: Sequence[User]) -> list[str]:
    chosen = [method.select(user.examples).best for user in users]
    return [f"{u.style} > {best}" for u, best in zip(users, chosen, strict=True) if best != u.style]


def named_styles(catalog: xpert.Catalog) -> dict[str, Any]:
    """How many styles have an accepted word among the first three, and as the first; the three words of each."""
    accepted = accepted_words()
    first = {style: [word for word, _ in catalog[style].words[:3]] for style in STYLES}
    return {
        "first_three": sum(bool(set(words) & set(accepted[style])) for style, words in first.items()),
        "first": sum(words[0] in accepted[style] for style, words in first.items()),
        "words": first,
        "residual": round(sum(catalog[style].residual for style in STYLES) / len(STYLES), 2),
        "word_axes": len(catalog.basis.where(["word"])),
    }
