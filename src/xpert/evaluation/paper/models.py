"""The paper's language models: their shapes, from which parameters, bytes and operations follow without the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["BASES", "MODELS", "SUMMARIZER", "ModelShape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A decoder of the Llama family, as its published ``config.json`` has it.

    Attributes:
        reference: Hub id.
        family: Of its architecture.
        vocab_size: Rows of the embeddings.
        hidden_size: Width.
        intermediate_size: Width of the feed-forward layers.
        layers: How many.
        key_value_share: Key-value heads for each query head.
        tied: Whether output layer and input embeddings are one matrix.
        biased: Whether queries, keys and values have a bias.
    """

    reference: str
    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    key_value_share: float
    tied: bool = True
    biased: bool = False

    @property
    def parameters(self) -> int:
        """All of them; tied matrices count once."""
        width, narrow = self.hidden_size, round(self.hidden_size * self.key_value_share)
        attention = 2 * width * width + 2 * width * narrow + (width + 2 * narrow if self.biased else 0)
        layer = attention + 3 * width * self.intermediate_size + 2 * width
        return self.layers * layer + width + self.vocab_size * width * (1 if self.tied else 2)

    @property
    def multiplied(self) -> int:
        """Parameters that every token is multiplied by: all but the input embeddings, which are looked up."""
        return self.parameters - (0 if self.tied else self.vocab_size * self.hidden_size)

    @property
    def bytes(self) -> int:
        """Of its weights in bfloat16."""
        return 2 * self.parameters


_SHAPES = (
    ModelShape(
        reference="meta-llama/Llama-3.2-1B",
        family="llama",
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        layers=16,
        key_value_share=8 / 32,
    ),
    ModelShape(
        reference="Qwen/Qwen2-0.5B",
        family="qwen2",
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        layers=24,
        key_value_share=2 / 14,
        biased=True,
    ),
    ModelShape(
        reference="HuggingFaceTB/SmolLM-360M",
        family="smollm",
        vocab_size=49152,
        hidden_size=960,
        intermediate_size=2560,
        layers=32,
        key_value_share=5 / 15,
    ),
    ModelShape(
        reference="meta-llama/Llama-3.1-8B-Instruct",
        family="llama",
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        layers=32,
        key_value_share=8 / 32,
        tied=False,
    ),
)

MODELS: Mapping[str, ModelShape] = {shape.reference: shape for shape in _SHAPES}
"""By Hub id."""

BASES: tuple[str, ...] = tuple(MODELS)[:3]
"""The three base models (the paper's text has Qwen2.5-0.5B, its tables Qwen2-0.5B: the shapes are the same)."""

SUMMARIZER = f"hf:{_SHAPES[3].reference}"
"""The paper's summarization LLM."""
