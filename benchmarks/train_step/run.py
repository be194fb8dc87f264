"""What a step of TorchTrainer costs, against the bare PEFT loop of ``peer.py`` on the same batches.

    python benchmarks/train_step/run.py [zoo 50m] [--steps 60] [--threads 1]

A whole `TorchTrainer.fit` runs; after each of its steps a callback does the same step in the peer, so that both see the same machine.
Losses must agree. Adds its parts to ``result.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peer import Peer
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from xpert import Example, TrainingEvent
from xpert.progress import say
from xpert.references import resolve
from xpert.tensors.files import write_text
from xpert.testing.tiny import tiny_tokenizer
from xpert.trainers.data import batch_of, encode
from xpert.trainers.order import training_order
from xpert.trainers.torch import TorchTrainer
from xpert.zoo.corpus import STYLES, examples

HERE = Path(__file__).resolve().parent
WARM_UP, RANK, LR, SEED = 5, 16, 1e-4, 0


class Beside:
    """Times our steps and does each one in the peer as well."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.apart: list[float] = []
        self.last = time.perf_counter()

    def __call__(self, event: TrainingEvent) -> None:
        """Called by `TorchTrainer` after each of its steps."""
        now = time.perf_counter()
        if event.kind == "step":
            self.ours.append(now - self.last)
            loss = self.peer.step(event.step - 1)
            self.theirs.append(time.perf_counter() - now)
            self.apart.append(abs(loss - (event.loss or 0.0)) / loss)
        self.last = time.perf_counter()


def batches_of(base: str, data: list[Example], trainer: TorchTrainer) -> list[dict[str, torch.Tensor]]:
    settings, tokenizer = trainer.settings, AutoTokenizer.from_pretrained(base)
    rows = encode(tokenizer, data, settings.max_length, end_id=tokenizer.eos_token_id)
    order = training_order(len(rows), settings.batch_size, settings.seed)
    found = []
    for chosen in islice(order, settings.max_steps):
        batch = batch_of([rows[i] for i in chosen], tokenizer.pad_token_id)
        own = {"input_ids": torch.from_numpy(batch.ids), "labels": torch.from_numpy(batch.labels)}
        found.append(own if batch.mask is None else {**own, "attention_mask": torch.from_numpy(batch.mask)})
    return found


def base_50m(folder: Path) -> str:
    """A Llama of 8 layers, width 512 and 32,000 tokens with random weights: 50 M parameters."""
    tokenizer = tiny_tokenizer(folder)
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def case(name: str, steps: int, tmp: Path) -> dict[str, Any]:
    if name == "zoo":
        base, batch_size, style, longest = "zoo:base", 8, "expert-informative-poetic", 512
    else:
        base, batch_size, style, longest = base_50m(tmp / "base"), 2, "expert-informative-poetic", 128
    data = examples(STYLES[style], side="users", n=200, seed=SEED)
    options: dict[str, Any] = {"lr": LR, "batch_size": batch_size, "rank": RANK, "target_modules": "all-linear"}
    trainer = TorchTrainer(max_steps=steps, max_length=longest, eval_fraction=0.0, seed=SEED, **options)
    folder = str(resolve(base))
    beside = Beside(Peer.load(folder, batches_of(folder, data, trainer), rank=RANK, lr=LR, seed=SEED))
    TorchTrainer(max_steps=steps, max_length=longest, eval_fraction=0.0, seed=SEED, callbacks=[beside], **options).fit(
        base, data, out=tmp / "out"
    )
    ours, theirs = beside.ours[WARM_UP:], beside.theirs[WARM_UP:]
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return {
        "steps": len(ours),
        "batch_size": batch_size,
        "ratio_of_sums": round(sum(ours) / sum(theirs), 3),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_quartiles": [round(q, 3) for q in statistics.quantiles(ratios, n=4)],
        "ms_a_step": {
            "ours": round(1e3 * statistics.median(ours), 2),
            "peer": round(1e3 * statistics.median(theirs), 2),
        },
        "losses_apart_at_most": max(beside.apart),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["zoo", "50m"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    file = HERE / "result.json"
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for name in options.cases:
        with TemporaryDirectory() as tmp:
            found = case(name, options.steps + WARM_UP, Path(tmp))
        machine = {"python": platform.python_version(), "cores": os.cpu_count(), "threads": options.threads}
        versions = {package: version(package) for package in ("torch", "transformers", "peft")}
        result[name] = {**found, **machine, **versions, "load": [round(x, 1) for x in os.getloadavg()]}
        say(json.dumps({name: result[name]}))
        if found["losses_apart_at_most"] > 1e-4:
            sys.exit(f"{name}: the losses of the two loops differ: they did not do the same steps")
        write_text(file, json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
