from __future__ import annotations

import time
from pathlib import Path

import pytest

from xpert.energy import counters
from xpert.meters import Meter


def package(root: Path, name: str, microjoules: int, largest: int = 1_000_000) -> Path:
    zone = root / name
    zone.mkdir(parents=True)
    (zone / "energy_uj").write_text(str(microjoules))
    (zone / "max_energy_range_uj").write_text(str(largest))
    return zone


def test_time_and_memory() -> None:
    with Meter() as meter:
        time.sleep(0.02)
        assert 0.02 <= meter.elapsed() < 5
    assert 0.02 <= meter.seconds < 5
    status = Path("/proc/self/status")
    if status.exists():
        peak = int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
        assert meter.peak_mb == pytest.approx(peak * 1024 / 1e6, rel=0.05)


def test_energy_is_summed_over_packages_and_their_wraps(tmp_path: Path) -> None:
    first, second = package(tmp_path, "intel-rapl:0", 100), package(tmp_path, "intel-rapl:1", 999_000)
    package(tmp_path, "intel-rapl:0:0", 5)
    with Meter(counters=counters(powercap=tmp_path)) as meter:
        (first / "energy_uj").write_text("500100")
        (second / "energy_uj").write_text("1000")
        (tmp_path / "intel-rapl:0:0/energy_uj").write_text("400005")
    assert meter.energy_j == pytest.approx(0.5 + 0.002)


def test_no_counter_no_figure(tmp_path: Path) -> None:
    with Meter(counters=counters(powercap=tmp_path / "none")) as meter:
        pass
    assert meter.energy_j is None


def test_it_measures_what_fails_as_well(tmp_path: Path) -> None:
    meter = Meter(counters=counters(powercap=tmp_path))
    with pytest.raises(KeyError), meter:
        raise KeyError
    assert meter.seconds > 0
