from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xpert.energy import PROFILES, NvmlCounter, RaplCounter, counters, estimated
from xpert.errors import SettingsError
from xpert.meters import Meter


class Counted:
    source = "a counter"

    def __init__(self, *values: float | None) -> None:
        self.values = list(values)

    def joules(self) -> float | None:
        return self.values.pop(0)


def fake_nvml(monkeypatch: pytest.MonkeyPatch, millijoules: list[int], *, broken: bool = False) -> list[Any]:
    """The five names of ``pynvml`` that are used."""
    module: Any = ModuleType("pynvml")
    asked: list[Any] = []

    class NVMLError(Exception):
        pass

    def handle(uuid: str) -> str:
        asked.append(uuid)
        return "handle"

    def energy(handle: str) -> int:
        if broken:
            raise NVMLError("not supported")
        return millijoules.pop(0)

    module.NVMLError, module.nvmlInit = NVMLError, lambda: None
    module.nvmlDeviceGetHandleByUUID, module.nvmlDeviceGetTotalEnergyConsumption = handle, energy
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return asked


def test_a_phones_energy_is_its_power_times_the_time_and_told_as_an_estimate() -> None:
    found = estimated(10.0, "oneplus-12r")
    assert found.joules == pytest.approx(26.8)
    assert found.kind == "estimated"
    assert "2.68 W of a OnePlus 12R" in found.source
    assert {name: one.watts for name, one in PROFILES.items()} == {
        "oneplus-12r": 2.68,
        "pixel-9-pro": 3.9,
        "pixel-7": 3.2,
    }
    with pytest.raises(SettingsError, match=r"phone: expected one of .*, got 'pixel-8' \(did you mean 'pixel-7'\?\)"):
        estimated(1.0, "pixel-8")


def test_packages_are_counted_over_many_wraps(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "energy_uj").write_text("100")
    (zone / "max_energy_range_uj").write_text("1000")
    counter = RaplCounter(tmp_path)
    for value in (900, 200, 100):  # +800, wrapped +300, wrapped +900
        (zone / "energy_uj").write_text(str(value))
        last = counter.joules()
    assert last == pytest.approx(2000e-6)
    assert RaplCounter(tmp_path / "none").joules() is None


def test_a_gpu_is_counted_where_its_library_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_nvml(monkeypatch, [1000, 2500, 7500])
    (gpu,) = counters("GPU-1", powercap=tmp_path)
    with Meter(counters=[gpu]) as meter:
        pass
    assert asked == ["GPU-1"]
    assert [(one.joules, one.kind) for one in meter.energy] == [(5.0, "measured")]
    assert meter.energy[0].source.startswith("NVML")
    assert meter.energy_j == 5.0


def test_a_gpu_without_counter_or_library_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml(monkeypatch, [], broken=True)
    assert NvmlCounter("GPU-1").joules() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert NvmlCounter("GPU-1").joules() is None
    assert counters("GPU-1", powercap=tmp_path) == []


def test_a_counter_that_fails_on_the_way_gives_no_figure() -> None:
    with Meter(counters=[Counted(1.0, None), Counted(2.0, 5.5)]) as meter:
        pass
    assert [one.joules for one in meter.energy] == [3.5]
