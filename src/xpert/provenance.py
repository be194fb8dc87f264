"""Where a catalog comes from: everything that is needed to place a user in the same space, and to make it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from xpert.errors import CatalogError, CatalogVersionError, SettingsError
from xpert.summarizers.instructions import Instruction
from xpert.types import Generation

__all__ = ["FORMAT_VERSION", "PLAIN", "POOL", "Fit", "Provenance", "strict_fields"]

FORMAT_VERSION = 2
"""The newest catalog format that this version of xpert reads."""
PLAIN, POOL = 1, 2
"""What it writes: the oldest version that can hold a catalog; 2 is for very many models, whose fits are not in the header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well the axes cover one model's embedding.

    Attributes:
        residual: Eq. 3's left side over ``|| e ||``: what word axes leave of the summarizer's part of the embedding.
        named_share: Norm of the part of the whole embedding that the word axes span, over its norm.
        measured_share: The same for the measured axes, after the words.
        unnamed_share: The same for the unnamed axes, after words and measured axes.
        converged: Whether ``residual`` is at most ``eps_dec``.
        reliability: Axes to the share of the embedding's squared length that is no sampling noise (see `xpert.matching`). Empty: a
            catalog of before it was stored.
    """

    residual: float
    named_share: float
    measured_share: float
    unnamed_share: float
    converged: bool
    reliability: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The header of a catalog (``xpert.json``).

    Attributes:
        base: Reference of the base model.
        modality: ``text`` or another modality's name.
        summarizer: The summarizer's name. instruction: What it was asked.
        width: Width of the summarizer's embeddings; the basis is ``width + len(measured)`` wide.
        measured: Names of the measured quantities behind them. measured_scale: The factor on them.
        n_prompts: Number of probe prompts. prompts_sha256: Hash over them.
        seed: Seed of everything that was drawn.
        generation: How the models answered: a device that lets the base answer does it the same way.
        eps_orth: Largest ``|cos|`` of two word axes, but those the source began with (ADR 8). eps_dec: Residual at which a model's decomposition stopped.
        centering: ``null`` or ``none``. null_pairs: How the null embedding's second answers were made.
        subvectors: Name of the sub-vector source. coefficients: The rule for coefficients.
        candidate_order: In which order candidates were tried.
        n_candidates_examined: Different candidate words whose sub-vectors were looked at.
        fits: Per model, how well the axes cover it.
        match_thresholds: ``metric:axes`` to the distance up to which a user counts as matching.
        match_limits: ``axes:paired`` and ``axes:unpaired`` to the least likeness of a match by directions (see `xpert.matching`).
            Empty: a catalog of before it was stored.
        versions: Package to version.
        settings: How answers were made beside ``generation``: options of the modality and their values, as they were decided. Empty: it
            has none.
        wording: The whole instruction: a device that opens the summarizer by name asks the same. None: a summarizer without
            one, or a catalog of before it was stored.
        format_version: Of the files.
    """

    base: str
    modality: str = "text"
    summarizer: str
    instruction: str
    width: int
    measured: tuple[str, ...]
    measured_scale: float
    n_prompts: int
    prompts_sha256: str
    seed: int
    generation: Generation
    eps_orth: float
    eps_dec: float
    centering: str
    null_pairs: str
    subvectors: str
    coefficients: str
    candidate_order: str
    n_candidates_examined: int
    fits: Mapping[str, Fit]
    match_thresholds: Mapping[str, float]
    match_limits: Mapping[str, float] = field(default_factory=dict[str, float])
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    wording: Instruction | None = None
    format_version: int = PLAIN

    @property
    def match_threshold(self) -> float:
        """The threshold of the default comparison: directions over all axes."""
        return self.match_thresholds["direction:all"]

    def to_json(self) -> dict[str, Any]:
        """The header as JSON values, ``format_version`` first; a wording comes with its hash; it, settings and limits are left out where there are none."""
        plain: dict[str, Any] = asdict(
            replace(self, wording=None, fits=self.fits if self.format_version == PLAIN else {})
        ) | {"measured": list(self.measured)}
        del plain["wording"]
        for name in _OPTIONAL:
            if not plain[name]:
                del plain[name]
        if self.format_version == POOL:
            del plain["fits"]
        for fit in plain.get("fits", {}).values():
            if not fit["reliability"]:
                del fit["reliability"]
        return {"format_version": self.format_version} | plain | _wording_json(self.wording)

    @classmethod
    def from_json(cls, value: object, where: str) -> Provenance:
        """The header read back; ``where`` names the file in messages.

        Raises:
            xpert.errors.CatalogVersionError: A newer version of xpert wrote it.
            xpert.errors.CatalogError: A key is unknown, missing, or of another type than it should be.
        """
        check_version(value, where)
        value, wording = _without_wording(value, where)
        if value["format_version"] == POOL:
            value = {"fits": {}} | value
        given = strict_fields(cls, {name: {} for name in _OPTIONAL} | value | {"wording": None}, where, _TYPES)
        fits = {
            str(name): Fit(**strict_fields(Fit, _with_reliability(fit), f"{where}, fits, {name}", _FIT_TYPES))
            for name, fit in given["fits"].items()
        }
        generation = Generation(**strict_fields(Generation, given["generation"], f"{where}, generation"))
        return cls(
            **given | {"fits": fits, "generation": generation, "measured": tuple(given["measured"]), "wording": wording}
        )


def _with_reliability(fit: Any) -> Any:
    """A fit of before reliabilities were stored has none."""
    return {"reliability": {}} | fit if isinstance(fit, dict) else fit


def _wording_json(wording: Instruction | None) -> dict[str, Any]:
    if wording is None:
        return {}
    values = wording.to_json()
    return {"wording": values, "wording_sha256": _digest(values)}


def _without_wording(value: object, where: str) -> tuple[dict[str, Any], Instruction | None]:
    """The other keys of the header, and the instruction; catalogs of before it was stored have none."""
    given: dict[str, Any] = dict(value) if isinstance(value, dict) else {}
    if "wording" not in given:
        return given, None
    wording, digest = given.pop("wording"), given.pop("wording_sha256", None)
    if digest != _digest(wording):
        raise CatalogError(f"{where}: 'wording' is not what 'wording_sha256' says: fetch the catalog again")
    try:
        return given, Instruction.from_json(wording, f"{where}, wording")
    except SettingsError as error:
        raise CatalogError(f"{error} (fetch the catalog again)") from None


def _digest(values: object) -> str:
    """SHA-256 over a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_version(value: object, where: str) -> None:
    """Refuse a header of a newer format.

    Raises:
        xpert.errors.CatalogVersionError: It is newer.
        xpert.errors.CatalogError: It has no version.
    """
    version: Any = dict(value).get("format_version") if isinstance(value, dict) else None
    if not _integer(version):
        raise CatalogError(
            f"{where}: expected a JSON object with an integer 'format_version'; this is no catalog header"
        )
    if version > FORMAT_VERSION:
        raise CatalogVersionError(
            f"{where}: the catalog has format version {version}, this xpert reads up to {FORMAT_VERSION}: upgrade xpert"
        )


def strict_fields(
    cls: type[Any], value: object, where: str, types: Mapping[str, Callable[[object], bool]] | None = None
) -> dict[str, Any]:
    """The keys of a JSON object, which must be exactly the fields of a dataclass.

    Raises:
        xpert.errors.CatalogError: No object, or a key is unknown, missing, or of another type.
    """
    if not isinstance(value, dict):
        raise CatalogError(f"{where}: expected a JSON object, got {type(value).__name__}")
    given: dict[str, Any] = dict(value)
    names = [f.name for f in fields(cls)]
    if unknown := sorted(set(given) - set(names)):
        raise CatalogError(f"{where}: unknown key {unknown[0]!r}: expected {', '.join(names)}")
    if missing := [name for name in names if name not in given]:
        raise CatalogError(f"{where}: missing key {missing[0]!r}")
    for name, fits in (types or {}).items():
        if not fits(given[name]):
            raise CatalogError(f"{where}: {name!r} has a value of the wrong type: {given[name]!r}")
    return given


def _string(value: object) -> bool:
    return isinstance(value, str)


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _object(value: object) -> bool:
    return isinstance(value, dict)


def _object_of(kind: Callable[[object], bool]) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        return isinstance(value, dict) and all(kind(v) for v in value.values())

    return check


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


_OPTIONAL = ("settings", "match_limits")
"""Keys that a header may lack."""
_TYPES: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(["width", "n_prompts", "seed", "n_candidates_examined"], _integer),
    **dict.fromkeys(["measured_scale", "eps_orth", "eps_dec"], _number),
    **dict.fromkeys(["base", "modality", "summarizer", "instruction", "prompts_sha256", "centering"], _string),
    **dict.fromkeys(["null_pairs", "subvectors", "coefficients", "candidate_order"], _string),
    "measured": _strings,
    "fits": _object,
    "generation": _object,
    "settings": _object,
    "match_thresholds": _object_of(_number),
    "match_limits": _object_of(_number),
    "versions": _object_of(_string),
}
_FIT_TYPES: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(["residual", "named_share", "measured_share", "unnamed_share"], _number),
    "converged": lambda value: isinstance(value, bool),
    "reliability": _object_of(_number),
}
