"""The seams: what a modality, a summarizer, a sub-vector source, a selection method and a trainer must offer.

Any object that matches is accepted wherever a name is; `xpert.testing` holds the contract checks. Built-ins and installed
plugins (entry points) are found by name through `xpert.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from xpert.types import (
    AnswerPair,
    Array,
    Candidate,
    CostedSelection,
    Example,
    Generation,
    ModelCard,
    Selection,
    Summary,
    TrainingEvent,
    TrainingReport,
)

if TYPE_CHECKING:
    import torch

__all__ = [
    "BatchWriter",
    "CostedMethod",
    "DeviceTrainer",
    "EnergyCounter",
    "FingerprintedProber",
    "GroupProber",
    "Modality",
    "Prober",
    "PromptSpace",
    "PromptTunable",
    "ReferenceModality",
    "ScoringProber",
    "SelectionMethod",
    "SubvectorContext",
    "SubvectorSource",
    "Summarizer",
    "SummarizerDefaults",
    "TextEncoder",
    "TrainingCallback",
    "Unembedding",
    "WordProposer",
    "Writer",
]


class Prober(Protocol):
    """One base model, held in memory, that answers prompts as itself or as any of its personalized models."""

    def card(self, name: str, reference: str) -> ModelCard:
        """The catalog entry of a model; checks that it belongs to this base, without loading its weights."""
        ...

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        """The answers of ``reference`` (None: of the base) to the prompts, in their order.

        Raises:
            xpert.errors.IncompatibleModelError: The model is not one of this base.
            xpert.errors.WeightsError: Its weights are not finite or cannot be read.
        """
        ...

    def prompts(self, references: Sequence[str]) -> list[str] | None:
        """Prompts that base and models must share because they are recorded, or come with the base; None: any will do."""
        ...

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        """Another base answer to each prompt, for the null embedding, and how they were made (stored with the catalog)."""
        ...


@runtime_checkable
class GroupProber(Prober, Protocol):
    """A prober that lets several models answer in one batch, which fills its batches."""

    def answer_many(
        self,
        references: Sequence[str],
        prompts: Sequence[str],
        generation: Generation,
        *,
        on_finished: Callable[[str, list[str]], None] | None = None,
    ) -> Iterator[tuple[str, list[str]]]:
        """Each reference with what `answer` gives for it, in any order.

        ``on_finished`` is called with a reference and its answers as soon as they are there, which may be before their turn to
        be yielded: a whole group's, when the group is done.
        """
        ...


@runtime_checkable
class FingerprintedProber(Prober, Protocol):
    """A prober that says what a model's answers depend on beside prompts and generation: what they are cached by."""

    def fingerprint(self, reference: str | None) -> str | None:
        """Identity of a model (None: of the base) as it answers here: weights, tokenizer, number type. None: do not cache it."""
        ...


@runtime_checkable
class ScoringProber(Prober, Protocol):
    """A prober that tells how well a model foresees texts: what searching a pool by its losses needs."""

    def scoring(self, reference: str | None) -> AbstractContextManager[Callable[[Sequence[Example]], Array]]:
        """Hold a model (None: the base) and give a function: examples to ``(N,)``, the mean loss of each in nats a token.

        An example's loss is that of its response after its prompt, as trainers count it, and does not depend on the others.

        Raises:
            xpert.errors.RecordedModelError: The model has answers only.
            xpert.errors.IncompatibleModelError: The model is not one of this base.
            xpert.errors.WeightsError: Its weights cannot be read, or a loss is not finite.
        """
        ...


@runtime_checkable
class Modality(Protocol):
    """What a model, a prompt and an answer are: text or images.

    One with an attribute ``measured`` (names of `xpert.measured`) has these quantities measured beside the summarizer. One whose
    answers depend on options is a dataclass with the options as fields, and its probers have an attribute ``settings``: option to
    value (JSON) as they were decided, which the catalog stores, and with which it is made again.
    """

    name: str

    def open(self, base: str, *, device: str | None = None, dtype: str | None = None) -> AbstractContextManager[Prober]:
        """Load the base once; the weights are gone when the context is left, after an error too."""
        ...


@runtime_checkable
class ReferenceModality(Modality, Protocol):
    """A modality that knows its own models, so that it need not be named."""

    def accepts(self, reference: str) -> bool:
        """Whether a reference names a base of this modality; told from file names and small files.

        Raises:
            xpert.errors.ReferenceNotFoundError: It names nothing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarizerDefaults:
    """What suits a summarizer when the user does not say.

    Attributes:
        eps_orth: Largest ``|cos|`` between two accepted sub-vectors; what a source begins with (`anchors`) is accepted whatever its angles.
        eps_dec: Largest residual, as a fraction of the embedding's norm, at which the decomposition stops.
        subvectors: Name of the sub-vector source.
        centering: ``null`` for summarizers whose embeddings share a common direction (LLMs), ``none`` for encoders.
        max_candidates: Candidate words examined per model at most.
    """

    eps_orth: float = 0.1
    eps_dec: float = 0.2
    subvectors: str = "contrastive"
    centering: Literal["null", "none"] = "null"
    max_candidates: int = 128


@runtime_checkable
class Summarizer(Protocol):
    """Turns pairs of answers into embeddings, and into words that may name the difference.

    One with an attribute ``fingerprint`` (a str: everything that its rows and words depend on: weights, tokenizer, instruction,
    number type) has its results for the server's models cached; one without never has.
    """

    @property
    def name(self) -> str:
        """Provenance, e.g. ``hf:meta-llama/Llama-3.1-8B-Instruct``: stored with the catalog."""
        ...

    @property
    def instruction(self) -> str:
        """What it is asked (a template), or how it encodes: stored with the catalog."""
        ...

    @property
    def width(self) -> int:
        """``D``, the width of its embeddings."""
        ...

    @property
    def defaults(self) -> SummarizerDefaults:
        """Thresholds and choices that suit it."""
        ...

    def summarize(self, pairs: Sequence[AnswerPair], *, n_candidates: int = 0) -> Summary:
        """Embed each pair; with ``n_candidates``, also that many words for their common difference, best first.

        Row ``p`` depends on pair ``p`` alone: the same pairs in any order and batch size give the same rows (1e-5).

        Raises:
            xpert.errors.DataError: No pairs.
            xpert.errors.WeightsError: A result is not finite.
        """
        ...

    def close(self) -> None:
        """Free weights and files. Called when the work is done; a second call does nothing."""
        ...


@runtime_checkable
class Writer(Protocol):
    """Writes texts in a style: what contrastive sub-vectors need (an LLM summarizer does it itself)."""

    def write(self, word: str, prompts: Sequence[str], *, seed: int = 0) -> list[str]:
        """One answer per prompt, in the style that ``word`` names."""
        ...


@runtime_checkable
class BatchWriter(Writer, Protocol):
    """A writer that writes for several words at once, which fills its batches."""

    def write_all(self, words: Sequence[str], prompts: Sequence[str], *, seed: int = 0) -> list[list[str]]:
        """Per word what `write` gives for it."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Encodes texts: what described sub-vectors need (an encoder summarizer does it itself)."""

    def encode(self, texts: Sequence[str]) -> Array:
        """``(N, D)`` embeddings of whole texts, each of unit norm before chunks are pooled."""
        ...


@runtime_checkable
class Unembedding(Protocol):
    """A language model whose output layer can be read: what unembedded sub-vectors need (an LLM or VLM summarizer is one)."""

    @property
    def width(self) -> int:
        """``D``."""
        ...

    def unembedding(self, words: Sequence[str]) -> Array:
        """``(W, D)`` rows of the output layer, each of the token that a word begins with."""
        ...


@runtime_checkable
class WordProposer(Protocol):
    """Proposes words for what pairs have in common: what an encoder, which cannot say words itself, may rank."""

    def propose(self, pairs: Sequence[AnswerPair], n: int) -> tuple[Candidate, ...]:
        """At most ``n`` words, the most often proposed first; a score is the share of the pairs that a word was proposed for."""
        ...


class PromptSpace(Protocol):
    """A summarization LLM as prompt tuning sees it. Tensors are torch's, float32: gradients must flow.

    Attributes:
        summarizer: The summarizer's provenance.
        folder: Where the model lies, and a tuned prompt of its own may.
        text: The question for a word's meaning as the model reads it, with ``{word}``.
    """

    summarizer: str
    folder: Path
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the weight files."""
        ...

    def text_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Input embeddings ``(p, E)`` and ``(s, E)`` of what stands before and after the word."""
        ...

    def word_embeddings(self, words: Sequence[str]) -> list[torch.Tensor]:
        """Per word the input embeddings ``(t, E)`` of its tokens."""
        ...

    def hidden(self, prefix: torch.Tensor, words: Sequence[torch.Tensor], suffix: torch.Tensor) -> torch.Tensor:
        """Last hidden states ``(W, D)`` of ``[prefix, word, suffix]``; a word's row depends on itself alone."""
        ...


@runtime_checkable
class PromptTunable(Protocol):
    """A summarizer that takes input embeddings: what prompt-tuned sub-vectors need."""

    def prompt_space(self) -> PromptSpace:
        """Its model, ready for prompt tuning."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SubvectorContext:
    """What a sub-vector source works with.

    Attributes:
        summarizer: The summarizer in whose space the sub-vectors lie.
        prompts: The probe prompts (``P``).
        base_answers: The base's answers to them.
        null: ``(D,)`` the null embedding that was subtracted from the models' embeddings (zeros: none).
        seed: Seed of whatever is sampled.
    """

    summarizer: Summarizer
    prompts: Sequence[str]
    base_answers: Sequence[str]
    null: Array
    seed: int = 0


@runtime_checkable
class SubvectorSource(Protocol):
    """Turns words into sub-vectors.

    One with an attribute ``fingerprint`` (a str: its settings and whatever it computes with beside the context) has them cached.

    A source whose sub-vectors are cheap may have an attribute ``chunk``: how many words it wants to be asked for at once, though
    not all may be needed. Without it, it is asked for 8. One may have a method ``anchors(context)``: words that a basis begins with,
    whatever the angles between them.
    """

    name: str

    def vectors(self, words: Sequence[str], context: SubvectorContext) -> Array:
        """``(W, D)`` sub-vectors ``v_w`` in the centred space, one row a word; a word's row does not depend on the others asked for."""
        ...


@runtime_checkable
class SelectionMethod(Protocol):
    """Chooses a model for a user's data. `xpert.Selector` is one; the baselines are others."""

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The choice; ``ranking`` holds every model of the pool, best first."""
        ...


@runtime_checkable
class CostedMethod(SelectionMethod, Protocol):
    """A selection method that tells what its choice took. The baselines of `xpert.baselines` that search a pool are such."""

    def run(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> CostedSelection:
        """What `select` gives, with its cost."""
        ...


@runtime_checkable
class DeviceTrainer(Protocol):
    """Fine-tunes a start model on personal data, where the data is."""

    def fit(
        self,
        start: str | Path,
        examples: Sequence[Example],
        *,
        out: str | Path,
        validation: Sequence[Example] | None = None,
        resume: bool = False,
    ) -> TrainingReport:
        """Train and write the result to ``out``, a folder that PEFT or Transformers load.

        Raises:
            xpert.errors.RecordedModelError: ``start`` has no weights.
            xpert.errors.TrainingError: The loss is not finite, or a checkpoint belongs to another run.
        """
        ...


class TrainingCallback(Protocol):
    """Told what a training does while it does it; any function of one `xpert.TrainingEvent` is one."""

    def __call__(self, event: TrainingEvent) -> bool | None:
        """Called in the training's own thread, between its steps, which wait for it.

        Returns:
            True ends the run after this step as if it were its last: the result is written. Anything else lets it go on.
        """
        ...


class EnergyCounter(Protocol):
    """Something that has counted the energy of a part of this machine from some moment on."""

    @property
    def source(self) -> str:
        """What it counts, in words: the counter, the part, and what else is in it."""
        ...

    def joules(self) -> float | None:
        """Joules since that moment, never fewer than before; None: it cannot be read."""
        ...
