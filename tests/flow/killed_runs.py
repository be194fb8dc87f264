"""Trains in child processes that are killed at random moments, until one of them gets to the end. Run by ``test_killed.py``.

python killed_runs.py START OUT SEED KILLS
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import torch

import xpert
from xpert.trainers.torch import TorchTrainer

EXAMPLES = [xpert.Example(prompt=f"tell me {i}", response=f"the quick brown fox {i} jumps") for i in range(12)]
STEPS = 24


def trainer(**more: Any) -> TorchTrainer:
    return TorchTrainer(
        max_steps=STEPS,
        lr=1e-2,
        batch_size=2,
        accumulation=2,
        bucketing=True,
        rank=4,
        schedule="cosine",
        warmup=3,
        weight_decay=0.01,
        checkpoint_every=2,
        eval_every=5,
        **more,
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_steps(n: int) -> None:
    """Between two steps."""
    left = [n]

    def callback(event: xpert.TrainingEvent) -> None:
        left[0] -= event.kind == "step"
        if not left[0]:
            die()

    child(trainer(callbacks=[callback]))


def die_at_renaming(n: int) -> None:
    """While a checkpoint, or the result, is put in its place."""
    real, left = os.rename, [n]

    def rename(*names: Any) -> None:
        left[0] -= 1
        if not left[0]:
            die()
        real(*names)

    os.rename = rename  # type: ignore[assignment]
    child(trainer())


def child(one: TorchTrainer) -> None:
    one.fit(START, EXAMPLES, out=OUT, resume=True)
    os._exit(0)


def attempt(draw: random.Random | None) -> bool:
    """One child; whether it got to the end."""
    point = (lambda: child(trainer())) if draw is None else _point(draw)
    if not (pid := os.fork()):
        try:
            point()
        finally:
            os._exit(3)  # never back into the parent's code
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"a child failed: {status}"
    return not os.WIFSIGNALED(status)


def _point(draw: random.Random) -> Any:
    steps, renaming = draw.randint(1, 6), draw.randint(1, 4)
    return draw.choice([lambda: die_after_steps(steps), lambda: die_at_renaming(renaming)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    START, OUT = Path(sys.argv[1]), Path(sys.argv[2])
    draws = random.Random(int(sys.argv[3]))
    killed = sum(not attempt(draws) for _ in range(int(sys.argv[4])))
    print(killed, "killed")
    if not (OUT / "report.json").is_file():
        assert attempt(None)
