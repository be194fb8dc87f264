"""The experiments by name."""

from __future__ import annotations

from collections.abc import Mapping

from xpert.errors import SettingsError, did_you_mean
from xpert.evaluation.presets import Preset
from xpert.evaluation.setting import Setting
from xpert.evaluation.suite.experiment import Experiment
from xpert.evaluation.suite.listed.explaining import EXPLAINING
from xpert.evaluation.suite.listed.selecting import SELECTING
from xpert.evaluation.suite.listed.starting import STARTING

__all__ = ["ALL", "EXPERIMENTS", "Experiment", "check_setting", "experiments_of"]

ALL = "all"
"""What names all experiments together."""

EXPERIMENTS: Mapping[str, Experiment] = {one.name: one for one in (*SELECTING, *STARTING, *EXPLAINING)}
"""In the order of the page of results."""


def check_setting(experiment: Experiment, setting: Setting) -> None:
    """Whether an experiment runs in a setting.

    Raises:
        xpert.errors.SettingsError: It runs on the zoo alone.
    """
    if not setting.is_usual and not experiment.elsewhere:
        others = ", ".join(one.name for one in EXPERIMENTS.values() if one.elsewhere)
        raise SettingsError(
            f"{experiment.name} runs on the zoo and by its summarizer alone, got {setting.told}: leave data and summarizer out, "
            f"or ask for {others}"
        )


def experiments_of(name: str, preset: Preset | None = None) -> list[Experiment]:
    """The experiment of a name, or all of them: those of a preset, where one is given.

    Raises:
        xpert.errors.SettingsError: There is none of that name, or it is not one of the preset's.
    """
    if name == ALL:
        return [one for one in EXPERIMENTS.values() if preset is None or one.trains == (preset.pools is not None)]
    if name not in EXPERIMENTS:
        near = did_you_mean(name, [*EXPERIMENTS, ALL])
        raise SettingsError(f"no experiment {name!r}: expected {ALL} or one of {', '.join(EXPERIMENTS)}{near}")
    if preset is not None:
        EXPERIMENTS[name].check_preset(preset)
    return [EXPERIMENTS[name]]
