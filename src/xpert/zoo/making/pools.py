"""Pools of personalized models: one LoRA adapter of the base a style (or several), at a given similarity."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from xpert.errors import SettingsError
from xpert.progress import say
from xpert.trainers.torch import TorchTrainer
from xpert.zoo.corpus import STYLES, examples

__all__ = ["PoolSettings", "make_pool"]

KEPT = ("adapter_config.json", "adapter_model.safetensors", "README.md")
"""What stays of a training run's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What the models of a pool are trained on; the values are the shipped pool's.

    Attributes:
        similarity: Share of styled text in a model's training set; the rest are default answers.
        per_style: Models a style; the k-th of ``per_style`` sees every ``per_style``-th question from k on.
        n_examples: Training examples a model.
        steps, batch_size, lr, rank: Of the LoRA training.
    """

    similarity: float = 1.0
    per_style: int = 1
    n_examples: int = 2400
    steps: int = 120
    batch_size: int = 16
    lr: float = 4e-3
    rank: int = 8
    seed: int = 0


def make_pool(
    base: str,
    out: Path,
    settings: PoolSettings,
    *,
    shard: tuple[int, int] = (0, 1),
    styles: Collection[str] | None = None,
) -> dict[str, float]:
    """Train the pool's adapters that are not there yet.

    Args:
        base: Reference of the base model.
        out: Folder that gets one sub-folder a model, named for its style (``<style>.<k>`` with several a style).
        settings: What they are trained on.
        shard: ``(i, n)``: only every n-th model from the i-th on, so that several processes share the work.
        styles: Only these, each the same model as in the whole pool; None: all.

    Returns:
        The last training loss of each model trained now.

    Raises:
        xpert.errors.SettingsError: A style that is none.
    """
    if unknown := sorted(set(styles or ()) - set(STYLES)):
        raise SettingsError(f"styles: expected names of the corpus, such as {next(iter(STYLES))}, got {unknown[0]!r}")
    jobs = [(style, k) for style in STYLES for k in range(settings.per_style)]
    losses: dict[str, float] = {}
    for number, (style, k) in enumerate(jobs):
        name = style if settings.per_style == 1 else f"{style}.{k}"
        wanted = number % shard[1] == shard[0] and (styles is None or style in styles)
        if not wanted or (out / name / "adapter_config.json").is_file():
            continue
        texts = examples(
            STYLES[style],
            side="models",
            n=settings.n_examples,
            seed=settings.seed + 1000 * k + number,
            similarity=settings.similarity,
        )
        texts = texts if settings.per_style == 1 else _own_questions(texts, k, settings.per_style)
        trainer = TorchTrainer(
            max_steps=settings.steps,
            lr=settings.lr,
            schedule="cosine",
            warmup=10,
            batch_size=settings.batch_size,
            rank=settings.rank,
            alpha=2 * settings.rank,
            target_modules="all-linear",
            eval_fraction=0.0,
            precision="auto",
            seed=settings.seed,
        )
        work = out / ".part" / name
        shutil.rmtree(work, ignore_errors=True)
        report = trainer.fit(base, texts, out=work)
        _slim(work)
        work.rename(out / name)
        with suppress(OSError):  # another process trains there
            work.parent.rmdir()
        losses[name] = round(report.last_loss, 4)
        say(
            f"{name}: {report.steps} steps, loss {report.first_loss:.3f} -> {report.last_loss:.3f}, {report.seconds:.0f} s"
        )
    return losses


def _slim(folder: Path) -> None:
    """Keep the adapter alone, in bf16: tokenizer and template are the base's."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            path.unlink()
    weights = folder / "adapter_model.safetensors"
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(weights).items()}
    save_file(tensors, folder / "slim.tmp", metadata={"format": "pt"})
    os.replace(folder / "slim.tmp", weights)


def _own_questions(texts: list, k: int, per_style: int) -> list:
    asked = sorted({text.prompt for text in texts})
    own = set(asked[k::per_style])
    return [text for text in texts if text.prompt in own]
