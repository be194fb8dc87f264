"""A tuned prompt: prefix and suffix embeddings that belong to one summarizer, as a value and as a small file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from xpert.errors import SummarizerError, WeightsError
from xpert.protocols import PromptSpace
from xpert.tensors.files import write_bytes
from xpert.types import Array

__all__ = ["FORMAT_VERSION", "TunedPrompt", "TuningFigures", "load_tuned_prompt"]

FORMAT = "xpert-prompt"
FORMAT_VERSION = 1
_TEXTS = ("summarizer", "digest", "text")
_HEADER = frozenset({"format", "format_version", "training", *_TEXTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningFigures:
    """How a prompt was tuned, and how far it got.

    Attributes:
        n_samples: Pairs (word, sub-vector) that it was trained on.
        n_words: Different words among them.
        steps, lr, batch_size, length_weight, seed: Of the training.
        first_loss: Mean cosine distance over all samples with the text that it started from.
        last_loss: The same at the end.
        validation_loss: The same for the validation words at the end; None: there were none.
    """

    n_samples: int
    n_words: int
    steps: int
    lr: float
    batch_size: int
    length_weight: float
    seed: int
    first_loss: float
    last_loss: float
    validation_loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TunedPrompt:
    """Trained input embeddings around a word.

    Attributes:
        prefix: ``(p, E)`` float32, before the word.
        suffix: ``(s, E)`` float32, after it; ``p + s`` is the number of trainable tokens.
        summarizer: Provenance of the summarizer that it was tuned for.
        digest: SHA-256 of that summarizer's weight files.
        text: The rendered question for a word's meaning that it started from.
        training: How it was tuned.
    """

    prefix: Array
    suffix: Array
    summarizer: str
    digest: str
    text: str
    training: TuningFigures

    @property
    def n_tokens(self) -> int:
        """Trainable tokens in all."""
        return len(self.prefix) + len(self.suffix)

    def check(self, space: PromptSpace) -> None:
        """Make sure that it was tuned for this summarizer.

        Raises:
            xpert.errors.SummarizerError: Other weights, or another wording of the question.
        """
        tuned = f"the prompt was tuned for {self.summarizer}"
        if self.digest != space.digest:
            raise SummarizerError(
                f"{tuned} (weights {self.digest[:12]}), and {space.summarizer} has weights {space.digest[:12]}: "
                "tune one for it (xpert.subvectors.prompt_tuning.tune_prompt), or choose contrastive sub-vectors"
            )
        if self.text != space.text:
            raise SummarizerError(
                f"{tuned} with the question {self.text!r}, and {space.summarizer} now asks {space.text!r}: "
                "use the same instruction, or tune again (xpert.subvectors.prompt_tuning.tune_prompt)"
            )

    def save(self, path: str | Path) -> Path:
        """Write it as safetensors; the file appears whole."""
        header = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "training": json.dumps(asdict(self.training)),
        }
        header |= {key: str(getattr(self, key)) for key in _TEXTS}
        tensors = {"prefix": np.ascontiguousarray(self.prefix), "suffix": np.ascontiguousarray(self.suffix)}
        return write_bytes(path, save(tensors, metadata=header))


def load_tuned_prompt(path: str | Path) -> TunedPrompt:
    """Read a file that `TunedPrompt.save` wrote.

    Raises:
        xpert.errors.WeightsError: There is no such file, it is broken, or it was written by a newer xpert.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"{path}: expected a tuned prompt, there is no such file: xpert.subvectors.prompt_tuning makes one"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            header: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise WeightsError(f"{path}: truncated or no safetensors file ({error}): tune or download it again") from None
    figures = _figures(header, path)
    prefix, suffix = _blocks(tensors, path)
    texts = {key: header[key] for key in _TEXTS}
    return TunedPrompt(prefix=prefix, suffix=suffix, training=figures, **texts)


def _figures(header: Mapping[str, str], path: Path) -> TuningFigures:
    if header.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: expected a tuned prompt (format {FORMAT!r}), its header says {header.get('format')!r}"
        )
    if header.get("format_version") != str(FORMAT_VERSION):
        raise WeightsError(
            f"{path}: format version {header.get('format_version')}, this xpert reads {FORMAT_VERSION}: "
            "install a newer xpert, or tune it again"
        )
    if set(header) != _HEADER:
        odd = sorted(set(header) ^ _HEADER)[0]
        raise WeightsError(f"{path}: expected the header {', '.join(sorted(_HEADER))}, {odd!r} is missing or unknown")
    try:
        values: Any = json.loads(header["training"])
        if set(values) != {field.name for field in fields(TuningFigures)}:
            raise ValueError("unknown or missing keys")
        return TuningFigures(**values)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: its training figures cannot be read ({error}): tune it again") from None


def _blocks(tensors: Mapping[str, Any], path: Path) -> tuple[Array, Array]:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if set(tensors) != {"prefix", "suffix"} or any(tensor.ndim != 2 for tensor in tensors.values()):
        raise WeightsError(f"{path}: expected matrices prefix and suffix, got {shapes}: tune it again")
    prefix, suffix = tensors["prefix"], tensors["suffix"]
    if prefix.shape[1] != suffix.shape[1] or not len(prefix) or not len(suffix):
        raise WeightsError(f"{path}: expected rows of one width in prefix and suffix, got {shapes}: tune it again")
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise WeightsError(f"{path}: tensor {name}: expected finite float32 values: tune it again")
    return prefix, suffix
