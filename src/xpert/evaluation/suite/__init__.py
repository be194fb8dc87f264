"""The experiments by name."""

from __future__ import annotations

from collections.abc import Mapping

from xpert.errors import SettingsError, did_you_mean
from xpert.evaluation.presets import Preset
from xpert.evaluation.setting import USUAL, Setting
from xpert.evaluation.suite.experiment import Experiment
from xpert.evaluation.suite.listed.explaining import EXPLAINING
from xpert.evaluation.suite.listed.selecting import SELECTING
from xpert.evaluation.suite.listed.starting import STARTING

__all__ = ["ALIASES", "ALL", "EXPERIMENTS", "Experiment", "check_setting", "experiments_of"]

ALL = "all"
"""What names all experiments together."""

EXPERIMENTS: Mapping[str, Experiment] = {one.name: one for one in (*SELECTING, *STARTING, *EXPLAINING)}
"""In the order of the page of results."""

ALIASES: Mapping[str, str] = {"figure-3": "table-5", "figure-4": "table-7", "figure-12": "table-7"}
"""Figures of the paper that are in another experiment."""


def check_setting(experiment: Experiment, setting: Setting, preset: Preset | None = None) -> None:
    """Whether an experiment runs in a setting, at a preset; None: at any.

    Raises:
        xpert.errors.SettingsError: It does not: it runs on the zoo alone, or on other data than these.
    """
    if (instead := _instead(setting, preset)) is not None:
        raise SettingsError(f"{experiment.name} cannot run on {setting.data_name}: {instead}")
    if not experiment.runs_on(setting, preset):
        others = ", ".join(one.name for one in EXPERIMENTS.values() if one.runs_on(setting, preset))
        alone = "on the zoo and by its summarizer alone" if not experiment.elsewhere else "on no such data"
        raise SettingsError(
            f"{experiment.name} runs {alone}, got {setting.told}: leave data and summarizer out, or ask for {others or 'none'}"
        )


def _instead(setting: Setting, preset: Preset | None) -> str | None:
    """What to do where no experiment of a preset runs on the data; None where some does."""
    if preset is None or any(one.runs_at(preset) and one.runs_on(setting, preset) for one in EXPERIMENTS.values()):
        return None
    if preset.pools:
        return f"the preset {preset.name} expects data hub, hub:NAME,NAME, FOLDER or genres:FOLDER"
    if setting.kind == "hub":
        return f"hub needs --preset paper, at which table-5 runs, got {preset.name}"
    return f"no experiment of the preset {preset.name} runs on such data: leave data and summarizer out"


def experiments_of(name: str, preset: Preset | None = None, setting: Setting | None = None) -> list[Experiment]:
    """The experiment of a name (`ALIASES` too), or all of them: those of a preset, where one is given, that run in the setting.

    Args:
        name: Of one, or ``all``.
        preset: None: any.
        setting: None: the preset's own, or the zoo.

    Raises:
        xpert.errors.SettingsError: There is none of that name, or it is not one of the preset's, or does not run in the setting, or
            none does.
    """
    usual = preset.pools if preset and preset.pools else USUAL
    setting = setting or Setting(data=usual.data, summarizer=usual.summarizer)
    name = ALIASES.get(name, name)
    if name == ALL:
        own = [one for one in EXPERIMENTS.values() if preset is None or one.runs_at(preset)]
        if (instead := _instead(setting, preset)) is not None:
            raise SettingsError(f"no experiment runs on {setting.data_name}: {instead}")
        return [one for one in own if one.runs_on(setting, preset)]
    if name not in EXPERIMENTS:
        near = did_you_mean(name, [*EXPERIMENTS, ALL])
        told = ", ".join([*EXPERIMENTS, *(f"{alias} (in {where})" for alias, where in ALIASES.items())])
        raise SettingsError(f"no experiment {name!r}: expected {ALL} or one of {told}{near}")
    if preset is not None:
        EXPERIMENTS[name].check_preset(preset)
    check_setting(EXPERIMENTS[name], setting, preset)
    return [EXPERIMENTS[name]]
