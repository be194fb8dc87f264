"""The training loop: losses a token, one optimizer step after another, evaluations, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch

from xpert.errors import TrainingError
from xpert.meters import Meter
from xpert.progress import bar
from xpert.trainers.checkpoint import Progress
from xpert.trainers.data import IGNORE, Batch, Row, batch_of, training_order
from xpert.trainers.settings import TrainSettings, learning_rate

__all__ = ["Run", "StopReason", "make_optimizer", "run", "token_losses", "validation_loss"]

StopReason: TypeAlias = Literal["max_steps", "target_loss", "no_improvement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the loop works on.

    Attributes:
        model: The model, in evaluation mode.
        parameters: Name to parameter that trains.
        optimizer: Over these parameters.
        rows: Training rows.
        validation: Batches of the validation rows; none: no validation.
        pad_id: Token of the padding.
        settings: The run's settings.
        save: Called with the progress at every checkpoint.
        checkpoint_every: Steps between checkpoints.
    """

    model: Any
    parameters: Mapping[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    rows: Sequence[Row]
    validation: Sequence[Batch]
    pad_id: int
    settings: TrainSettings
    save: Callable[[Progress], None]
    checkpoint_every: int


def make_optimizer(parameters: Mapping[str, torch.nn.Parameter], settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, as is usual."""
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    vectors = [p for p in parameters.values() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    device = next(iter(parameters.values())).device.type
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr, fused=device in ("cpu", "cuda"))


def token_losses(model: Any, batch: Batch, precision: str) -> tuple[torch.Tensor, int]:
    """Summed cross entropy of the labelled tokens in nats, and their number."""
    device = next(model.parameters()).device
    wanted = batch.labels[:, 1:] != IGNORE
    labels = batch.labels[:, 1:][wanted].to(device)
    mask = None if batch.mask is None else batch.mask.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = model(input_ids=batch.ids.to(device), attention_mask=mask, use_cache=False).logits
    chosen = logits[:, :-1][wanted.to(device)].float()
    return torch.nn.functional.cross_entropy(chosen, labels, reduction="sum"), len(labels)


def validation_loss(model: Any, batches: Sequence[Batch], precision: str) -> float:
    """Cross entropy in nats a token, over all labelled tokens of all batches together."""
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            loss, n = token_losses(model, batch, precision)
            total, count = total + float(loss), count + n
    return total / count


def run(job: Run, progress: Progress, meter: Meter) -> StopReason:
    """Train until a stop rule holds; ``progress`` is kept up to date.

    Args:
        job: Model, data, settings.
        progress: Where to begin; changed in place.
        meter: Entered by the caller; tells the time since the run, or its resumption, began.

    Raises:
        xpert.errors.TrainingError: A loss is not finite.
    """
    settings, before = job.settings, progress.seconds
    order = training_order(len(job.rows), settings.batch_size, settings.seed, start=progress.step)
    if progress.step == 0 and job.validation and _evaluate(job, progress, meter, before):
        first, n = _first_loss(job)
        progress.losses.append((0, first / n))
        progress.seconds = before + meter.elapsed()
        return "target_loss"
    with bar("training", settings.max_steps, progress.step) as moved:
        while progress.step < settings.max_steps:
            loss = _step(job, progress, next(order))
            moved(f"loss {loss:.3f}")
            stop: StopReason | None = None
            if job.validation and (progress.step % settings.interval == 0 or progress.step == settings.max_steps):
                reached = _evaluate(job, progress, meter, before)
                patient = settings.patience is None or progress.stale < settings.patience[0]
                stop = "target_loss" if reached else None if patient else "no_improvement"
            progress.seconds = before + meter.elapsed()
            if stop:
                return stop
            if progress.step % job.checkpoint_every == 0 and progress.step < settings.max_steps:
                job.save(progress)
    return "max_steps"


def _step(job: Run, progress: Progress, chosen: Sequence[int]) -> float:
    for group in job.optimizer.param_groups:
        group["lr"] = learning_rate(progress.step, job.settings)
    batch = batch_of([job.rows[i] for i in chosen], job.pad_id)
    total, n = token_losses(job.model, batch, job.settings.precision)
    loss = total / n
    value = float(loss.detach())
    progress.step += 1
    _finite(value, f"training loss at step {progress.step}")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(job.parameters.values()), job.settings.clip)
    job.optimizer.step()
    job.optimizer.zero_grad(set_to_none=True)
    progress.samples += len(chosen)
    progress.losses.append((progress.step, value))
    return value


def _evaluate(job: Run, progress: Progress, meter: Meter, before: float) -> bool:
    """Note the validation loss and when it was known; whether it is at most the target."""
    value = validation_loss(job.model, job.validation, job.settings.precision)
    _finite(value, f"validation loss at step {progress.step}")
    progress.eval_losses.append((progress.step, value))
    progress.eval_seconds.append(before + meter.elapsed())
    share = 0.0 if job.settings.patience is None else job.settings.patience[1]
    if progress.best is None or value < progress.best * (1 - share):
        progress.best, progress.stale = value, 0
    else:
        progress.stale += 1
    return job.settings.target_loss is not None and value <= job.settings.target_loss


def _first_loss(job: Run) -> tuple[float, int]:
    """Loss of the first batch, untrained: what a run that needs no step has to tell."""
    chosen = next(training_order(len(job.rows), job.settings.batch_size, job.settings.seed))
    batch = batch_of([job.rows[i] for i in chosen], job.pad_id)
    with torch.no_grad():
        loss, n = token_losses(job.model, batch, job.settings.precision)
    return float(loss), n


def _finite(value: float, what: str) -> None:
    if not math.isfinite(value):
        raise TrainingError(f"{what} is not finite: lower the learning rate, or use precision='float32'")
