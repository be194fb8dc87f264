"""The training loop of the zoo's from-scratch models: one loss a step, cosine schedule, checkpoints that resume exactly."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xpert.progress import say
from xpert.trainers.checkpoint import restore_optimizer
from xpert.trainers.hardware import has_fast_bf16

__all__ = ["LoopSettings", "TextBatch", "lm_loss", "pad_right", "run_loop"]

IGNORE = -100
WIDTH_STEP = 16
HEAD_STEP = 512
"""Shapes are rounded up: bf16 kernels are compiled for each new shape, which costs more than the padding (measured: 3x a step)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How long and how a model is trained.

    Attributes:
        steps: Optimizer steps. warmup: Of them, with rising learning rate; then a cosine down to a tenth.
        lr: Peak learning rate. weight_decay: AdamW's, on matrices only.
        bf16: Forward pass under bfloat16 autocast (parameters stay float32); None: where the processor multiplies it faster than
            float32 (elsewhere it is five times slower).
        checkpoint_every: Steps between checkpoints.
    """

    steps: int
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.05
    bf16: bool | None = None
    checkpoint_every: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBatch:
    """A right-padded batch: ``ids`` and ``labels`` are ``(B, T)``; ``lengths`` is ``(B,)``. Labels of -100 carry no loss."""

    ids: torch.Tensor
    labels: torch.Tensor
    lengths: torch.Tensor


def pad_right(rows: Sequence[tuple[list[int], int]], pad: int) -> TextBatch:
    """Batch token rows; each comes with the number of leading tokens that carry no loss."""
    longest = _ceil(max(len(ids) for ids, _ in rows), WIDTH_STEP)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORE, dtype=torch.long)
    for i, (row, skip) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, skip : len(row)] = torch.tensor(row[skip:])
    return TextBatch(ids=ids, labels=labels, lengths=torch.tensor([len(row) for row, _ in rows]))


def lm_loss(model: Any, batch: TextBatch) -> torch.Tensor:
    """Shifted cross entropy on the labelled tokens only (the output layer runs on those positions alone), nats a token."""
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
    labels = batch.labels[:, 1:].flatten()
    wanted = torch.nonzero(labels != IGNORE).squeeze(1)
    spare = torch.nonzero(labels == IGNORE).squeeze(1)[: -len(wanted) % HEAD_STEP]
    rows = torch.cat([wanted, spare])
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[rows]).float(), labels[rows], ignore_index=IGNORE)


def _ceil(n: int, step: int) -> int:
    return -(-n // step) * step


def run_loop(
    model: Any, loss_of_step: Callable[[Any, int], dict[str, torch.Tensor]], settings: LoopSettings, checkpoint: Path
) -> dict[str, float]:
    """Train ``model`` in place; the sum of the losses that ``loss_of_step(model, step)`` returns is minimised.

    A run that was interrupted resumes from ``checkpoint`` (a folder) exactly: batches depend on the step alone.

    Returns:
        The losses averaged over the last 50 steps, by name.
    """
    bf16 = has_fast_bf16() if settings.bf16 is None else settings.bf16
    optimizer = _optimizer(model, settings)
    start = _resume(model, optimizer, checkpoint)
    recent: list[dict[str, float]] = []
    begun = time.perf_counter()
    model.train()
    for step in range(start, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * _schedule(step, settings)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = loss_of_step(model, step)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent = [*recent[-49:], {name: float(loss.detach()) for name, loss in losses.items()}]
        if (step + 1) % 50 == 0:
            rate = (step + 1 - start) / (time.perf_counter() - begun)
            left = (settings.steps - step - 1) / rate
            say(f"step {step + 1}/{settings.steps}  {_means(recent)}  {rate:.2f} steps/s  {left / 60:.1f} min left")
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            _save(model, optimizer, step + 1, checkpoint)
    return _means(recent)


def _means(recent: list[dict[str, float]]) -> dict[str, float]:
    if not recent:
        return {}
    return {name: round(sum(r[name] for r in recent) / len(recent), 4) for name in recent[-1]}


def _schedule(step: int, settings: LoopSettings) -> float:
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * share))


def _optimizer(model: Any, settings: LoopSettings) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True)


def _save(model: Any, optimizer: torch.optim.AdamW, step: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": p.detach().contiguous() for name, p in model.named_parameters()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value.contiguous() for key, value in state.items()}
    save_file(tensors, folder / "state.tmp", metadata={"step": str(step)})
    os.replace(folder / "state.tmp", folder / "state.safetensors")
    (folder / "step.tmp").write_text(json.dumps({"step": step}))
    os.replace(folder / "step.tmp", folder / "step.json")


def _resume(model: Any, optimizer: torch.optim.AdamW, folder: Path) -> int:
    if not (folder / "step.json").is_file():
        return 0
    step = int(json.loads((folder / "step.json").read_text())["step"])
    tensors = load_file(folder / "state.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
    restore_optimizer(optimizer, tensors)
    say(f"resuming at step {step}")
    return step
