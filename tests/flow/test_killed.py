"""A training that is killed (SIGKILL) between steps and while it writes, again and again, ends as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import killed_runs
import pytest
from safetensors.torch import load_file

from xpert.tensors.files import sha256_file

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which this system has not")


def test_killed_at_random_and_resumed_it_ends_with_the_same_weights(tiny_base: Path, tmp_path: Path) -> None:
    undisturbed = killed_runs.trainer().fit(tiny_base, killed_runs.EXAMPLES, out=tmp_path / "a")
    said = subprocess.run(
        [sys.executable, killed_runs.__file__, str(tiny_base), str(tmp_path / "b"), "0", "7"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert int(said.stdout.split()[0]) >= 4
    resumed = killed_runs.trainer().fit(tiny_base, killed_runs.EXAMPLES, out=tmp_path / "b", resume=True)
    assert resumed.losses == undisturbed.losses
    assert resumed.eval_losses == undisturbed.eval_losses
    name = "adapter_model.safetensors"
    assert sha256_file(tmp_path / "b" / name) == sha256_file(tmp_path / "a" / name)
    assert load_file(tmp_path / "b" / name)
    assert not list((tmp_path / "b").glob(".*"))
