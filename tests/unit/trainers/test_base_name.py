"""A trained adapter names its base as its start did, not the folder where the base happened to lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import xpert


def test_an_adapter_of_a_zoo_model_stays_one(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_base, tmp_path / "zoo" / "base")
    monkeypatch.setattr("xpert.zoo.WEIGHTS", tmp_path / "zoo")
    start = shutil.copytree(tiny_adapters["poet"], tmp_path / "start")
    config = json.loads((start / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = "zoo:base"
    (start / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    examples = [xpert.Example(prompt=f"Count to {n}.", response="one, two") for n in range(4)]
    xpert.TorchTrainer(max_steps=1).fit(start, examples, out=tmp_path / "out")
    written = json.loads((tmp_path / "out" / "adapter_config.json").read_text(encoding="utf-8"))
    assert written["base_model_name_or_path"] == "zoo:base"
