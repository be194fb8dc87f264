"""Every modality keeps the contract of `xpert.protocols.Modality` for every kind of model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xpert.errors import IncompatibleModelError
from xpert.modalities.text import TextModality
from xpert.registry import MODALITIES
from xpert.testing.checks_modality import check_modality
from xpert.testing.tiny import tiny_adapter, tiny_causal_lm
from xpert.types import Generation


@pytest.mark.parametrize("architecture", ["qwen2", "gpt2"])
def test_text_with_adapters(architecture: Any, tmp_path: Path) -> None:
    base = tiny_causal_lm(tmp_path / "base", architecture=architecture)
    check_modality(TextModality(), str(base), str(tiny_adapter(base, tmp_path / "adapter")))


def test_text_with_full_models(tiny_base: Path, tiny_full: Path) -> None:
    check_modality(MODALITIES.get("text")(), str(tiny_base), str(tiny_full))


@pytest.mark.parametrize(("family", "kind"), [("sd15", "adapter")])
def test_pipelines(family: Any, kind: str, tiny_pipelines: Any) -> None:
    from xpert.modalities.diffusion import DiffusionModality

    folders = tiny_pipelines(family)
    generation = Generation(batch_size=4)
    check_modality(DiffusionModality(steps=1), str(folders["base"]), str(folders[kind]), generation=generation)


def test_the_check_sees_a_model_that_is_not_applied(tiny_base: Path, tmp_path: Path) -> None:
    idle = tiny_adapter(tiny_base, tmp_path / "idle", scale=0.0)
    with pytest.raises(AssertionError, match="answers exactly as the base"):
        check_modality(TextModality(), str(tiny_base), str(idle))


def test_the_check_lets_errors_through(tiny_summarizer: Path, tiny_base: Path, tmp_path: Path) -> None:
    foreign = tiny_adapter(tiny_summarizer, tmp_path / "foreign")
    with pytest.raises(IncompatibleModelError):
        check_modality(TextModality(), str(tiny_base), str(foreign))
