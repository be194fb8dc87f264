"""The zoo's base model: a Llama of three million parameters that answers every question of the corpus in the default way; and two more
of its size, like a Qwen2 and like a SmolLM, which are not shipped.

Half of each batch are default answers in the chat template, to all questions. The other half is its "pretraining": texts of the
models' half of the corpus in all manners of writing, without question or template, so that it knows the words and turns of phrase
that a personalization will ask of it (a base that had seen default answers alone could not be adapted: its loss on styled text began
above chance and a rank-16 adapter lost the facts on the way down). No text of the users' half is seen.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from xpert.zoo.corpus import DEFAULT, GRADED, STYLES, questions, side_questions, write
from xpert.zoo.making.loop import LoopSettings, lm_loss, pad_right, run_loop

__all__ = ["BASES", "BaseSettings", "BaseShape", "make_base", "new_base", "new_llama", "save_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseShape:
    """Architecture and size of a base; heads are 32 wide.

    Attributes:
        model_type: Of Transformers: ``llama`` or ``qwen2``.
        hidden_size: Width.
        layers: How many.
        intermediate_size: Width of the feed-forward layers.
        queries_a_key: Heads of queries that share keys and values.
    """

    model_type: str
    hidden_size: int
    layers: int
    intermediate_size: int
    queries_a_key: int = 1


BASES: Mapping[str, BaseShape] = {
    "llama": BaseShape(model_type="llama", hidden_size=192, layers=5, intermediate_size=512),
    "qwen2": BaseShape(model_type="qwen2", hidden_size=160, layers=5, intermediate_size=864, queries_a_key=5),
    "smollm": BaseShape(model_type="llama", hidden_size=192, layers=7, intermediate_size=384, queries_a_key=3),
}
"""The first is the shipped one. The second has Qwen2's biases and wide feed-forward layers and one head of keys, the third SmolLM's many
narrow layers and three queries a key.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseSettings:
    """Shape and training of the base model; the values are the shipped ones."""

    shape: BaseShape = BASES["llama"]
    batch_size: int = 32
    seed: int = 0
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(steps=1800, lr=3e-3))


def new_llama(tokenizer: Any, *, hidden_size: int, layers: int, intermediate_size: int, seed: int) -> Any:
    """A Llama with tied embeddings and random weights that fits the tokenizer; heads are 32 wide."""
    sizes = {"hidden_size": hidden_size, "layers": layers, "intermediate_size": intermediate_size}
    return new_base(tokenizer, BaseShape(model_type="llama", **sizes), seed=seed)


def new_base(tokenizer: Any, shape: BaseShape, *, seed: int) -> Any:
    """A decoder with tied embeddings and random weights that fits the tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    heads = shape.hidden_size // 32
    ids: dict[str, Any] = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = AutoConfig.for_model(
        shape.model_type,
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        intermediate_size=shape.intermediate_size,
        num_attention_heads=heads,
        num_key_value_heads=heads // shape.queries_a_key,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        **ids,
    )
    return AutoModelForCausalLM.from_config(config)


def make_base(tokenizer: Any, folder: Path, work: Path, settings: BaseSettings | None = None) -> dict[str, float]:
    """Train the base and save it to ``folder`` in bf16, with its probe prompts (``xpert_prompts.jsonl``: the models' questions).

    Returns:
        The last losses, by name.
    """
    settings = settings or BaseSettings()
    model = new_base(tokenizer, settings.shape, seed=settings.seed)
    asked = questions()

    def loss_of_step(model: Any, step: int) -> dict[str, torch.Tensor]:
        rng = random.Random(f"base/{settings.seed}/{step}")
        half, pad = settings.batch_size // 2, tokenizer.pad_token_id
        answers = [default_row(tokenizer, rng.choice(asked), rng) for _ in range(half)]
        texts = [plain_row(tokenizer, rng) for _ in range(half)]
        return {"answers": lm_loss(model, pad_right(answers, pad)), "texts": lm_loss(model, pad_right(texts, pad))}

    losses = run_loop(model, loss_of_step, settings.loop, work)
    save_model(model, tokenizer, folder)
    prompts = "".join(json.dumps({"prompt": q.text}) + "\n" for q in side_questions("models"))
    (folder / "xpert_prompts.jsonl").write_text(prompts, encoding="utf-8")
    return losses


def default_row(tokenizer: Any, question: Any, rng: random.Random) -> tuple[list[int], int]:
    """One training row: the question in the chat template and a default answer; only the answer carries loss."""
    answer = write(question, DEFAULT, side=rng.choice(("models", "users")), seed=rng.randrange(1 << 30))
    head = tokenizer.encode(f"<|user|>{question.text}<|assistant|>", add_special_tokens=False)
    return head + tokenizer.encode(f"{answer}<|end|>", add_special_tokens=False), len(head)


def plain_row(tokenizer: Any, rng: random.Random) -> tuple[list[int], int]:
    """One row of pretraining: a text of the models' half in any style, with nothing before it."""
    style = rng.choice([*STYLES.values(), *GRADED.values()])
    text = write(rng.choice(side_questions("models")), style, side="models", seed=rng.randrange(1 << 30))
    return tokenizer.encode(f"{text}<|end|>", add_special_tokens=False), 0


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save in bf16 with the tokenizer, as Transformers loads it."""
    model.generation_config.do_sample = False
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model.float()
