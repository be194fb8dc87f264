"""xpert's own selection as a method that tells its cost, to stand beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from xpert.baselines.searching import check_phone, energy_of
from xpert.catalog import Catalog
from xpert.meters import Meter
from xpert.protocols import Prober, Summarizer
from xpert.references import describe
from xpert.selector import Selector
from xpert.types import CostedSelection, Example, Selection, SelectionCost

__all__ = ["XpertMethod", "device_bytes"]


@dataclass(frozen=True, slots=True)
class XpertMethod:
    """`xpert.Selector` with its cost; matches `xpert.protocols.CostedMethod`.

    The device downloads the catalog and the chosen model; the summarizer is not counted, since it is there once for all catalogs
    (`xpert.references.describe` tells what it weighs).

    Attributes:
        catalog: Of the pool.
        summarizer: The catalog's, in memory.
        models: Name to reference.
        base: The base in memory, which answers the user's prompts as a part of selecting; None: the user's base answers where they
            are given, else the catalog's stored ones.
        phone: Also estimate the energy on this phone (`xpert.energy.PROFILES`).
    """

    catalog: Catalog
    summarizer: Summarizer
    models: Mapping[str, str]
    _: KW_ONLY
    base: Prober | None = None
    phone: str | None = None

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """As `xpert.Selector.select`."""
        return self.run(examples, base_answers).selection

    def run(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> CostedSelection:
        """The same, with its cost: no model of the pool is looked into but the chosen one, which is downloaded."""
        check_phone(self.phone)
        with Meter() as meter:
            answers = base_answers
            if self.base is not None and base_answers is None and examples:
                prompts = [example.prompt or "" for example in examples]
                answers = self.base.answer(None, prompts, self.catalog.provenance.generation)
            selection = Selector(self.catalog, self.summarizer).select(examples, answers)
        cost = SelectionCost(
            downloaded_bytes=device_bytes(self.catalog) + describe(self.models[selection.best]).bytes,
            models=1,
            inferences=0,
            readings=len(examples),
            seconds=meter.seconds,
            energy=energy_of(meter, self.phone),
        )
        words = ", ".join(word for word, _ in selection.reasons[:3])
        why = (f"{selection.best} is nearest" + (f" for being {words}." if words else "."),)
        return CostedSelection(selection=selection, cost=cost, why=why)


def device_bytes(catalog: Catalog) -> int:
    """What a device downloads to have a catalog: its files but the server's."""
    with TemporaryDirectory() as folder:
        saved = catalog.save_pretrained(Path(folder) / "catalog", server_files=False)
        return sum(file.stat().st_size for file in saved.rglob("*") if file.is_file())
