"""What an experiment is: its name, what the paper has, and the function that runs it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from xpert.errors import MissingDependencyError, SettingsError
from xpert.evaluation.cast import OwnCast
from xpert.evaluation.presets import PRESETS, Preset
from xpert.evaluation.setting import ZOO, Kind, Setting
from xpert.evaluation.suite.context import Context, Findings

__all__ = ["Experiment"]

_SUITE = __name__.rpartition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment.

    Attributes:
        name: As the command line has it.
        title: As the page of results has it.
        paper: What the paper reports.
        here: What differs in the setting.
        function: ``module:attribute`` of what runs it on the zoo, within this package, imported at use; empty: nothing does.
        spec: From the preset: what it is run on.
        trained: What runs it at presets that train pools on named models (``paper``); empty: it is not one of theirs.
        elsewhere: What differs from the paper on other data than the zoo's; empty: it runs on the zoo and by its summarizer alone.
        own: What runs it on one's own models, and ``own_spec`` on what, where these are not `function` and `spec`.
        trained_here: What differs from the paper at presets that train pools on named models.
        on: On whose data it runs beside the zoo's (`xpert.evaluation.setting.Kind`).
        trained_on: The same at presets that train pools on named models.
        cells: What several workers share of what runs on the zoo, one of it; empty: it runs in one process.
        needs: Packages beside the core's, and the extra that brings them.
    """

    name: str
    title: str
    paper: str
    here: str
    function: str
    spec: Callable[[Preset], Mapping[str, Any]]
    needs: Mapping[str, str]
    elsewhere: str = ""
    on: tuple[Kind, ...] = ()
    trained_on: tuple[Kind, ...] = ()
    trained: str = ""
    trained_here: str = ""
    own: str = ""
    own_spec: Callable[[Preset, OwnCast], Mapping[str, Any]] | None = None
    cells: str = ""

    def runs_at(self, preset: Preset) -> bool:
        """Whether it is one of a preset's."""
        return bool(self.trained if preset.pools else self.function)

    def check_preset(self, preset: Preset) -> None:
        """Whether it is one of a preset's.

        Raises:
            xpert.errors.SettingsError: It is not.
        """
        if not self.runs_at(preset):
            told = (
                "runs on the zoo, at the presets tiny and small"
                if self.function
                else "trains pools, at the preset paper"
            )
            raise SettingsError(f"{self.name} {told}: it cannot run at the preset {preset.name}")

    def runs_on(self, setting: Setting, preset: Preset | None = None) -> bool:
        """Whether it runs on such data, and by another summarizer, at a preset; None: at any. Pools that are trained on named models are not the zoo's."""
        if preset and preset.pools:
            return setting.kind in self.trained_on
        on = (*self.on, *self.trained_on) if preset is None else self.on
        return setting.is_usual or (bool(self.elsewhere) and setting.kind in ("zoo", *on))

    def check(self) -> None:
        """Whether what it needs is installed.

        Raises:
            xpert.errors.MissingDependencyError: It is not.
        """
        for package, extra in self.needs.items():
            if find_spec(package) is None:
                raise MissingDependencyError.of(package.replace("_", "-"), extra, f"the experiment {self.name}")

    def spec_on(self, setting: Setting, preset: Preset) -> Mapping[str, Any]:
        """What it is run on in a setting; the preset is fitted to it."""
        if self.own_spec is None or preset.pools or (own := setting.own) is None:
            return self.spec(preset)
        return self.own_spec(preset, own)

    def differs(self, preset: str, on: str, data: str) -> str:
        """What differs from the paper's setting in a result.

        Args:
            preset: The result's.
            on: Data and summarizer as the result tells them; empty for the usual ones.
            data: The data's name.
        """
        known = PRESETS.get(preset)
        if known is not None and known.pools:
            return self.trained_here
        if on and data != ZOO:
            return self.elsewhere
        return (
            f"{self.here} Here another summarizer read the texts than the zoo's: {on.rpartition(', ')[2]}."
            if on
            else self.here
        )

    def run(self, context: Context) -> Findings:
        """Run it."""
        function = self.own if self.own and context.setting.own is not None else self.function
        module, attribute = (self.trained if context.preset.pools else function).split(":")
        return getattr(importlib.import_module(f"{_SUITE}.{module}"), attribute)(context)
