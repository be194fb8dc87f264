"""Growing a catalog: which models it will have, what its header fixes, and whether what made it is still there.

Pure checks of values; `xpert.explainer.Explainer.extend` does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from xpert.axes import blocks
from xpert.catalog import Catalog
from xpert.catalog_pairs import PAIRS, PairRows
from xpert.embedding import measured_scale
from xpert.errors import CatalogError, IncompatibleModelError, SettingsError, SummarizerError
from xpert.images import is_image, open_image
from xpert.probing import check_names
from xpert.protocols import Prober
from xpert.provenance import Provenance
from xpert.references import parse_reference
from xpert.types import Generation

__all__ = [
    "check_base",
    "check_options",
    "check_settings",
    "check_source",
    "check_summarizer",
    "grown_names",
    "options_of",
    "rows_of",
    "weight_of",
]

_ADVICE = "Explainer.for_catalog(catalog) has the catalog's own options"


def rows_of(catalog: Catalog) -> PairRows:
    """The catalog's pair rows.

    Raises:
        xpert.errors.CatalogError: It has none.
    """
    if catalog.pairs is None:
        raise CatalogError(
            f"the catalog has no {PAIRS}, which it grows by: expected the server's own folder (the Hub and devices hold none), "
            "as newer versions of xpert write it: explain all models again"
        )
    return catalog.pairs


def grown_names(catalog: Catalog, models: Mapping[str, str], remove: Sequence[str]) -> tuple[str, ...]:
    """The names of the grown catalog: the old ones in their order without the removed, then the new ones.

    Raises:
        xpert.errors.SettingsError: Nothing is to be done, nothing would be left, a name cannot be one, or is given twice.
        xpert.errors.ReferenceNotFoundError: A name to remove is not in the catalog.
        xpert.errors.CatalogError: The catalog has no pair rows.
    """
    rows_of(catalog)
    if not models and not remove:
        raise SettingsError("nothing to do: expected models to add or replace, or names to remove")
    if models:
        check_names(list(models))
    for name in remove:
        catalog.card(name)
        if name in models:
            raise SettingsError(
                f"model {name!r} is to be added and removed: a model of the same name is replaced anyway"
            )
    names = [name for name in catalog.names if name not in remove]
    names += [name for name in models if name not in catalog.names]
    if not names:
        raise SettingsError(f"all {len(catalog)} models would be removed: a catalog has at least one")
    return tuple(names)


def weight_of(catalog: Catalog) -> float:
    """The weight of the measured quantities that the catalog was made with, told from its scale and rows."""
    made = catalog.provenance
    if not made.measured:
        return 0.0
    return made.measured_scale / measured_scale(*blocks(rows_of(catalog), made.width), 1.0)


def options_of(catalog: Catalog) -> dict[str, Any]:
    """The options of an `Explainer` that the catalog's header and rows tell."""
    made = catalog.provenance
    return {
        "base": made.base,
        "summarizer": made.summarizer,
        "n_prompts": made.n_prompts,
        "seed": made.seed,
        "eps_orth": made.eps_orth,
        "eps_dec": made.eps_dec,
        "centering": made.centering,
        "subvectors": made.subvectors,
        "coefficients": made.coefficients,
        "candidate_order": made.candidate_order,
        "measured_weight": weight_of(catalog),
        "generation": made.generation,
        "modality": made.modality,
    }


def check_options(catalog: Catalog, given: Mapping[str, Any]) -> None:
    """Options must be the catalog's; None leaves one to it. Base and summarizer are checked when they are open.

    Raises:
        xpert.errors.SettingsError: One is another.
    """
    expected = options_of(catalog)
    prompts = given.get("prompts")
    for name, made in expected.items():
        value = given.get(name)
        if value is None or name in ("base", "summarizer") or (name == "n_prompts" and prompts is not None):
            continue
        if name in ("subvectors", "modality") and not isinstance(value, str):
            value = value.name
        if isinstance(value, Generation) and not _same(value, made):
            raise SettingsError(
                f"generation: the catalog's models answered with {_differing(made, value)}, got {_differing(value, made)}: a catalog keeps "
                "one way to answer. Leave it out, or explain all models anew, without the catalog, for another"
            )
        if not _same(value, made):
            raise SettingsError(f"{name}: the catalog was made with {made!r}, got {value!r}: leave it out; {_ADVICE}")
    if prompts is not None and list(prompts) != [answer.prompt for answer in catalog.base_answers]:
        raise SettingsError(
            f"prompts: expected the catalog's own {len(catalog.base_answers)}: leave them out; {_ADVICE}"
        )


def _differing(one: Generation, other: Generation) -> str:
    """What of one is not the other's; batch sizes do not matter.

    >>> _differing(Generation(temperature=1.0), Generation())
    'temperature=1.0'
    """
    own, others = asdict(one), asdict(other)
    return ", ".join(f"{name}={own[name]}" for name in own if own[name] != others[name] and name != "batch_size")


def check_base(catalog: Catalog, prober: Prober, base: str, fingerprint: str | None) -> None:
    """The base must be the one that made the catalog.

    Raises:
        xpert.errors.IncompatibleModelError: It is another: its weights, or a recorded base's answers.
    """
    made = catalog.provenance
    if parse_reference(base).scheme == "answers":
        answers = prober.answer(None, [str(answer.prompt) for answer in catalog.base_answers], made.generation)
        if not all(map(_same_answer, answers, (answer.response for answer in catalog.base_answers))):
            raise IncompatibleModelError(
                f"base {base!r}: its answers are not those in the catalog: give the base {made.base!r} as it was, or explain anew"
            )
    elif not _same_maker(rows_of(catalog).made_by.get("base"), fingerprint, made.base, base):
        raise IncompatibleModelError(
            f"base {base!r} is not the one that made the catalog ({made.base!r}): its weights, tokenizer or number type "
            "are others; give the same, or explain all models again"
        )


def check_settings(catalog: Catalog, settings: Mapping[str, Any]) -> None:
    """The modality must answer as it did for the catalog.

    Raises:
        xpert.errors.SettingsError: An option of it has another value.
    """
    made = catalog.provenance
    for name in sorted(made.settings.keys() | settings.keys()):
        if made.settings.get(name) != settings.get(name):
            raise SettingsError(
                f"{made.modality}, {name}: the catalog was made with {made.settings.get(name)!r}, got {settings.get(name)!r}: "
                f"leave the modality out; {_ADVICE}"
            )


def check_summarizer(catalog: Catalog, name: str, instruction: str, width: int, fingerprint: str | None) -> None:
    """The summarizer must be the one that made the catalog.

    Raises:
        xpert.errors.SummarizerError: It is another, or is asked something else.
    """
    made = catalog.provenance
    same = _same_maker(rows_of(catalog).made_by.get("summarizer"), fingerprint, made.summarizer, name)
    if not same or (instruction, width) != (made.instruction, made.width):
        raise SummarizerError(
            f"summarizer {name!r} is not the one that made the catalog ({made.summarizer!r}): its weights, instruction or "
            f"number type are others; give the same, or explain all models again{_before_examples(made)}"
        )


def _before_examples(made: Provenance) -> str:
    """What helps where a text encoder has since learnt words by example (ADR 8), which a catalog of before it was made without."""
    if made.subvectors != "described" or not made.summarizer.startswith("encoder:"):
        return ""
    return (
        "; if it was made before xpert had words known by example: summarizer=EncoderSummarizer(..., exemplars=False)"
    )


def check_source(catalog: Catalog, fingerprint: str | None) -> None:
    """The sub-vector source must have the settings of the one that made the catalog, as far as both say them.

    Raises:
        xpert.errors.SettingsError: It has others.
    """
    made = rows_of(catalog).made_by.get("subvectors")
    if made is not None and fingerprint is not None and made != fingerprint:
        raise SettingsError(
            f"subvectors: the catalog's words were made with other settings of {catalog.provenance.subvectors!r}: pass the "
            "same object, or explain all models again"
        )


def _same_maker(made_says: str | None, says: str | None, made_name: str, name: str) -> bool:
    """By fingerprints where both are known, else by name."""
    return made_name == name if made_says is None or says is None else made_says == says


def _same_answer(answer: str, made: str) -> bool:
    """Texts by their letters, images by their pixels: another version of Pillow packs the same pixels otherwise."""
    if answer == made or not (is_image(answer) and is_image(made)):
        return answer == made
    one, other = open_image(answer), open_image(made)
    return one.size == other.size and one.tobytes() == other.tobytes()


def _same(value: object, made: object) -> bool:
    if isinstance(value, Generation) and isinstance(made, Generation):
        return replace(value, batch_size=None) == replace(made, batch_size=None)
    if isinstance(value, float) and isinstance(made, float):
        return abs(value - made) <= 1e-6 * max(abs(made), 1.0)
    return value == made
