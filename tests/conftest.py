"""What every test shares: tiny models made once a session, no network, one thread."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import shutil
import socket
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each test has a cache of its own, and never the user's."""
    monkeypatch.setenv("XPERT_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{uuid4().hex[:12]}"))


@pytest.fixture(autouse=True)
def _no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails."""

    def guarded(real: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family != getattr(socket, "AF_UNIX", None):
                raise AssertionError(f"a test tried to connect to {address!r}: tests use no network")
            return real(self, address)

        return connect

    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with a chat template."""
    from xpert.testing.tiny import tiny_causal_lm

    return tiny_causal_lm(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def tiny_adapters(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three LoRA adapters of `tiny_base` by name."""
    from xpert.testing.tiny import tiny_adapter

    folder = tmp_path_factory.mktemp("adapters")
    return {
        name: tiny_adapter(tiny_base, folder / name, seed=seed) for seed, name in enumerate(("tutor", "poet", "clerk"))
    }


@pytest.fixture(scope="session")
def tiny_full(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full fine-tune of `tiny_base`."""
    from xpert.testing.tiny import tiny_full

    return tiny_full(tiny_base, tmp_path_factory.mktemp("full") / "full", seed=1)


@pytest.fixture(scope="session")
def tiny_summarizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tiny Llama, wider than `tiny_base`, to summarize with."""
    from xpert.testing.tiny import tiny_causal_lm

    return tiny_causal_lm(tmp_path_factory.mktemp("summarizer") / "summarizer", seed=7, hidden_size=48)


@pytest.fixture(scope="session")
def tiny_pipelines(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function: family -> folders of a tiny pipeline (``base``), and of an ``adapter`` and a ``full`` personalization of it."""
    pytest.importorskip("diffusers")
    from xpert.testing.tiny_pipelines import tiny_pipeline, tiny_pipeline_adapter, tiny_pipeline_full

    root, made = tmp_path_factory.mktemp("pipelines"), dict[str, dict[str, Path]]()

    def of(family: Any = "sd15") -> dict[str, Path]:
        if family not in made:
            base = tiny_pipeline(root / family / "base", family=family)
            adapter = tiny_pipeline_adapter(base, root / family / "adapter", seed=1)
            full = tiny_pipeline_full(base, root / family / "full", seed=1)
            made[family] = {"base": base, "adapter": adapter, "full": full}
        return made[family]

    return of


@pytest.fixture(scope="session")
def picture_examples(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Eight small pictures of several shapes with captions, as files."""
    image = pytest.importorskip("PIL.Image")
    import numpy as np

    from xpert.types import Example

    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    examples: list[Any] = []
    for i in range(8):
        colour = random.integers(0, 255, 3)
        values = np.clip(colour + random.integers(-40, 40, (32 + 4 * (i % 3), 36, 3)), 0, 255)
        image.fromarray(values.astype(np.uint8)).save(folder / f"{i}.png")
        examples.append(Example(prompt=f"the sun {i % 4}", response=str(folder / f"{i}.png")))
    return examples


@pytest.fixture(scope="session")
def pipeline_of(tiny_pipelines: Any) -> Any:
    """The tiny base pipeline of a family (`xpert.testing.tiny_pipelines.FAMILIES`), made at first use."""
    return lambda family: tiny_pipelines(family)["base"]


@pytest.fixture(scope="session")
def exported(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training artifacts of `tiny_base` with a new adapter of rank 4. Not to be changed."""
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    from xpert.trainers.export import OnnxExporter

    out = tmp_path_factory.mktemp("exported") / "artifacts"
    return OnnxExporter(rank=4, alpha=8, max_length=64).export(tiny_base, out)


@pytest.fixture
def artifacts(exported: Path, tmp_path: Path) -> Path:
    """A copy of `exported` that a test may damage."""
    return Path(shutil.copytree(exported, tmp_path / "artifacts"))
