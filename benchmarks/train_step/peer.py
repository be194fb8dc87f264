"""The other side: the loop that one writes with Transformers and PEFT, without anything of xpert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


@dataclass(frozen=True)
class Peer:
    """A PEFT model, its optimizer, and batches that are ready: ``input_ids``, ``attention_mask``, ``labels``."""

    model: Any
    optimizer: torch.optim.Optimizer
    batches: Sequence[dict[str, torch.Tensor]]
    clip: float = 1.0

    @classmethod
    def load(cls, base: str, batches: Sequence[dict[str, torch.Tensor]], *, rank: int, lr: float, seed: int) -> Peer:
        """As a PEFT tutorial loads it; the seed makes the adapter the same as ours."""
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        peft = get_peft_model(model, config).train()
        trained = [p for p in peft.parameters() if p.requires_grad]
        return cls(peft, torch.optim.AdamW(trained, lr=lr, weight_decay=0.0, fused=True), batches)

    def step(self, number: int) -> float:
        """One optimizer step; the loss before it."""
        loss = self.model(**self.batches[number], use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())
