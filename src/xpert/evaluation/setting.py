"""On what an experiment runs: whose texts, and who reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from xpert.errors import DataError
from xpert.evaluation.cast import OwnCast
from xpert.evaluation.paper.hub import STYLES, hub_data
from xpert.evaluation.presets import Preset
from xpert.evaluation.sources import N_PAIRS, FolderAnswers, Source, fingerprint
from xpert.evaluation.unpaired import read_genres

__all__ = ["HUB", "USUAL", "ZOO", "Kind", "Setting"]

Kind: TypeAlias = Literal["zoo", "texts", "pool", "recorded", "hub"]
"""The zoo; recorded or unpaired texts; one's own models, which answer or of which only answers exist; the Hub's data sets."""

HUB, ZOO, _SUMMARIZER = "hub", "zoo", "zoo:summarizer"
_GENRES, _POOL, _ANSWERS = "genres", "pool", ("style_qa", "answers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Data and summarizer of a run.

    Attributes:
        data: ``zoo``; ``FOLDER`` (or ``style_qa:FOLDER``), of recorded answers to the same prompts: ``default.jsonl`` and one
            ``STYLE.jsonl`` a style; or ``genres:FOLDER``, of passages that answer nothing, one ``GENRE.jsonl`` a genre; or ``pool:FILE.json``, one's
            own models and users (`xpert.evaluation.cast.OwnCast`); or, for pools that are trained, ``hub``: the paper's real-world
            data sets, or ``hub:NAME,NAME``: two or more by name, a style each (`xpert.evaluation.paper.hub`).
        summarizer: By name.
    """

    data: str = ZOO
    summarizer: str = _SUMMARIZER

    @property
    def is_usual(self) -> bool:
        """Whether it is the zoo and its summarizer."""
        return (self.data, self.summarizer) == (ZOO, _SUMMARIZER)

    @property
    def kind(self) -> Kind:
        """Whose data they are.

        Raises:
            xpert.errors.ReferenceNotFoundError: As `hub`.
            xpert.errors.DataError: As `hub` and `own`.
        """
        if self.data == ZOO:
            return "zoo"
        if self.hub is not None:
            return "hub"
        if (own := self.own) is None:
            return "texts"
        return "recorded" if own.is_recorded else "pool"

    @property
    def data_name(self) -> str:
        """The data without the place where they lie: ``zoo``, ``hub``, ``hub:NAME,NAME``, or the folder's name."""
        if self.data in (HUB, ZOO):
            return self.data
        if self.hub is not None:
            return f"{HUB}:{','.join(self.hub)}"
        return self._folder[1].resolve().name if self.own is None else self.own.name

    @property
    def hub(self) -> tuple[str, ...] | None:
        """Names of the Hub's data sets; None for other data.

        Raises:
            xpert.errors.ReferenceNotFoundError: There is no data set of a name.
            xpert.errors.DataError: Fewer than two names, or one of them twice.
        """
        kind, colon, rest = self.data.partition(":")
        if kind != HUB:
            return None
        names = tuple(hub_data(name.strip()).name for name in rest.split(",") if name.strip()) if colon else STYLES
        if len(names) < 2:
            raise DataError(
                f"data: expected {HUB}:NAME,NAME with two data sets or more, a style each, got {', '.join(names) or 'none'}"
            )
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise DataError(f"data: expected each data set once after {HUB}:, got {twice} {names.count(twice)} times")
        return names

    @property
    def own(self) -> OwnCast | None:
        """One's own models and users; None for other data.

        Raises:
            xpert.errors.DataError: The file does not tell them.
        """
        kind, file = self._folder
        return OwnCast(file) if kind == _POOL else None

    @property
    def genres(self) -> Path | None:
        """The folder of passages; None for other data."""
        kind, folder = self._folder
        return folder if kind == _GENRES else None

    @property
    def told(self) -> str:
        """For titles: data and summarizer; empty for the usual ones."""
        return "" if self.is_usual else f"{self.data_name}, {self.summarizer}"

    @property
    def suffix(self) -> str:
        """For file names: ``-on-DATA-by-SUMMARIZER``; empty for the usual ones."""
        if self.is_usual:
            return ""
        data, summarizer = (re.sub(r"[^\w.]+", "-", name).strip("-") for name in (self.data_name, self.summarizer))
        return f"-on-{data}-by-{summarizer}"

    def source(self) -> Source:
        """The texts of a folder.

        Raises:
            xpert.errors.DataError: There is no such folder, or it does not hold what it should; or the data are the zoo's.
        """
        if self.kind != "texts":
            raise DataError(f"data: expected FOLDER, style_qa:FOLDER or genres:FOLDER, got {self.data}")
        kind, folder = self._folder
        if not folder.is_dir():
            raise DataError(
                f"data: no folder {folder}: expected {ZOO}, FOLDER, style_qa:FOLDER, genres:FOLDER or pool:FILE.json"
            )
        return read_genres(folder.resolve()) if kind == _GENRES else FolderAnswers(folder.resolve())

    def fitted(self, preset: Preset) -> Preset:
        """The preset with one's own models for the zoo's, and no more users than the data have; itself for other data.

        Of 50 texts a model every draw would have the same user: there is one user and one draw, for intervals take each for another.
        Passages of genres that are recorded, not trained on, have a user a style and draw (`xpert.evaluation.unpaired`).

        Raises:
            xpert.errors.DataError: The data cannot be read.
        """
        if self.genres is not None and preset.pools is None:
            return replace(preset, users_a_style=min(preset.users_a_style, 1))
        if (own := self.own) is None:
            return preset
        n = len(own.models)
        sizes = (*(size for size in preset.pool_sizes if size < n), n)
        fewest = min(map(len, own.texts.values()))
        fitted = replace(preset, styles=tuple(own.models), pool_sizes=sizes, trainees=min(preset.trainees, n))
        return fitted if fewest > N_PAIRS else replace(fitted, draws=1, users_a_style=1)

    def spec(self) -> Mapping[str, Any]:
        """What of a result's spec depends on the setting; nothing for the usual one.

        Raises:
            xpert.errors.DataError: As `source`.
        """
        if self.is_usual:
            return {}
        if self.kind in ("hub", "zoo"):
            return {"data": self.data_name, "summarizer": self.summarizer}
        if (own := self.own) is not None:
            return {"data": own.name, "texts": own.fingerprint, "summarizer": self.summarizer}
        source = self.source()
        return {
            "data": self.data_name,
            "texts": fingerprint(source),
            "models": len(source.styles),
            "summarizer": self.summarizer,
        }

    @property
    def _folder(self) -> tuple[str, Path]:
        kind, colon, rest = self.data.partition(":")
        known = bool(colon) and kind in (_GENRES, _POOL, *_ANSWERS)
        return (kind, Path(rest)) if known else ("answers", Path(self.data))


USUAL = Setting()
"""The zoo and its summarizer."""
