"""The frozen values that pass between the steps: probe, summarize, decompose, locate, select, merge, train.

Arrays are NumPy arrays on every seam (ADR 0001): whoever computes with torch, ONNX Runtime or anything else converts at
its own border. Axis letters: ``M`` models, ``P`` pairs (probes), ``D`` embedding width, ``K`` sub-vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "N_SAID",
    "AnswerPair",
    "Array",
    "Axis",
    "AxisKind",
    "Candidate",
    "Coordinates",
    "CostedSelection",
    "Energy",
    "Example",
    "Explanation",
    "Generation",
    "MergePlan",
    "ModelCard",
    "Selection",
    "SelectionCost",
    "StopReason",
    "Summary",
    "TrainingEvent",
    "TrainingReport",
]

Array: TypeAlias = NDArray[np.float32]
N_SAID = 16
"""Words of the summarizer's own that count when words are put in order for people."""
AxisKind: TypeAlias = Literal["word", "measured", "unnamed"]
"""What an axis of the common basis is: a word of the summarizer, a quantity that a program reads off the pairs, or a
direction that no candidate word covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One piece of personal (or recorded) data.

    Attributes:
        prompt: What was asked; None where there was no prompt (notes, chat lines).
        response: The text, or the path of an image.
        response2: A second, independent answer to the same prompt, if one was recorded.
    """

    prompt: str | None = None
    response: str
    response2: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPair:
    """Two answers that are compared: the base model's and another's (a personalized model's, or the user's own text).

    Attributes:
        prompt: What both answer; empty for an unpaired comparison.
        base: The base model's answer (a text, or the path of an image).
        other: The answer whose style is to be named.
    """

    prompt: str
    base: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A word that may name a difference, with its score: a probability for an LLM, a cosine for an encoder."""

    word: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a summarizer says about a list of pairs.

    Attributes:
        embeddings: ``(P, D)`` float32, one row a pair, in the order of the pairs. Their mean is the embedding ``e``.
        candidates: Words that may name the common difference, best first; empty when none were asked for.
    """

    embeddings: Array
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How a model answers a probe.

    Attributes:
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 is greedy decoding; above 0 samples with the seed.
        top_p: Nucleus of the sampling distribution.
        seed: Seed of the sampling; the same seed gives the same answers in any batch size.
        batch_size: Prompts answered at once; None lets the modality choose.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    batch_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of the common basis.

    Attributes:
        word: The word that names it; a measured axis carries its quantity's name, an unnamed one ``unnamed-1`` and so on.
        kind: Whether the name is the summarizer's, a measured quantity's, or none.
    """

    word: str
    kind: AxisKind = "word"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinates:
    """A place in the explainable space.

    Attributes:
        values: ``(K,)`` coefficients ``z``, one per axis.
        stderr: ``(K,)`` standard errors over the pairs.
        n_pairs: Pairs behind them.
    """

    values: Array
    stderr: Array
    n_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One model in words with numbers.

    Attributes:
        name: The model's name in the catalog.
        words: ``(word, coefficient)`` over all axes: words, then measured, then unnamed ones (see `SubvectorBasis.ranked`).
        residual: ``|| e - sum_i z_i v_i || / || e ||`` over the word axes: the left side of Eq. 3 divided by ``|| e ||``, where
            ``e`` is the summarizer's part of the embedding (words say nothing of measured quantities).
        named_share: Norm of the part that the word axes span of the whole embedding (measured quantities included), as a
            fraction of its norm.
        measured_share: The same for the measured axes, after the words.
        unnamed_share: The same for the unnamed axes, after words and measured axes.
        converged: Whether the stop rule of Eq. 3 was met by words.
        stderr: Standard errors of the coefficients over the probe pairs, in the order of ``words``; empty where not known.
    """

    name: str
    words: tuple[tuple[str, float], ...]
    residual: float
    named_share: float
    measured_share: float
    unnamed_share: float
    converged: bool
    stderr: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A catalog's entry for one model.

    Attributes:
        name: Its name in the catalog.
        reference: Where it is (a path, a Hub id, ``answers:FILE``, ``zoo:NAME``).
        revision: Hub commit, or None for a local model.
        kind: ``full``, ``adapter``, ``pipeline`` or ``recorded``.
        base: The base model's reference, as the catalog knows it.
        bytes: What a device must download to have it.
        licence: As its model card states it, or None.
        sha256: Digest over its weight files (a recorded model: over its answers).
        candidates: The first words that the summarizer itself gave for it, best first; of these the axes are read first.
    """

    name: str
    reference: str
    revision: str | None = None
    kind: Literal["full", "adapter", "pipeline", "recorded"]
    base: str
    bytes: int
    licence: str | None = None
    sha256: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the selector chose for a user.

    Attributes:
        best: Name of the nearest model.
        matched: Whether it is near enough to be called a match (distance at most ``threshold``).
        ranking: ``(name, distance)``, nearest first.
        words: The user's own text in words: ``(word, coefficient)``, in the order of `Explanation.words`.
        coordinates: The user's place in the common basis.
        threshold: The distance up to which a model counts as a match.
        axes: Which axes were compared: ``all``, ``named`` or ``named+measured``.
        paired: Whether the base's answers to the same prompts were there.
        stderr: Standard errors of the coefficients over the user's pairs, in the order of ``words``; empty where not known.
        probabilities: In the order of ``ranking``: the share of resamples of the user's pairs in which each model is the nearest
            (see `xpert.confidence.nearest_shares`). None: not known, as with a single pair.
        strength: The length of the user's style over that of ``best``, both freed of sampling noise where it is known: 1 is as
            strong, 0.5 half. Directions, which are ranked, do not depend on it. None: not known.
        likeness: Cosine of the user's style and that of ``best``, freed of sampling noise (see `xpert.matching`); may pass 1 by
            chance. None: not known.
        least_likeness: The likeness from which on the catalog calls it a match; ``threshold`` is the distance that this is for
            this user. None: ``threshold`` holds by itself.
        reliability: The share of the squared length of the user's style that is no sampling noise. None: not known.
        outside: The share of the squared length of the user's style that no axis of the catalog covers. None: not known.
        reasons: ``(word, part)``: axes by which ``best`` is nearer than the base, the largest part of the difference of squared
            distances first. The axis ``longer`` is told as what ``best`` is beside the other: ``brief`` or ``lengthy``, unless an axis has that name.
        over_next: The same, nearer than the second of the ranking. Empty: there is none.
        missing: Words of the user's text that no sum of the nearest models has; empty where ``matched``.
        excluded: How many models of the catalog were left out by constraints.
    """

    best: str
    matched: bool
    ranking: tuple[tuple[str, float], ...]
    words: tuple[tuple[str, float], ...]
    coordinates: Coordinates
    threshold: float
    axes: str = "all"
    paired: bool = True
    stderr: tuple[float, ...] = ()
    probabilities: tuple[float, ...] | None = None
    strength: float | None = None
    likeness: float | None = None
    least_likeness: float | None = None
    reliability: float | None = None
    outside: float | None = None
    reasons: tuple[tuple[str, float], ...] = ()
    over_next: tuple[tuple[str, float], ...] = ()
    missing: tuple[str, ...] = ()
    excluded: int = 0

    @property
    def confidence(self) -> float | None:
        """How sure it is that ``best`` is the nearest of the catalog's models, 0 to 1; whether it is near is ``matched``."""
        return self.probabilities[0] if self.probabilities else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionCost:
    """What choosing a model took on the device.

    Attributes:
        downloaded_bytes: What had to be there: the models that were looked into, the chosen one, and whatever describes the others.
        models: How many models of the pool are among that.
        inferences: Forward passes of models of the pool, one a model and sample of the user's data.
        readings: Texts, or pairs of texts, that an encoder or a summarizer read.
        seconds: Wall-clock time of computing; neither downloading nor loading a base or a summarizer.
        energy: Of that time: each counter's (measured) or a phone's by its power (estimated); empty: nothing could be read.
    """

    downloaded_bytes: int
    models: int
    inferences: int
    readings: int
    seconds: float
    energy: tuple[Energy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CostedSelection:
    """A choice, what it took, and what the method can say about why.

    Attributes:
        selection: The choice.
        cost: What it took.
        why: Sentences for people; empty where the method knows nothing but its choice.
    """

    selection: Selection
    cost: SelectionCost
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePlan:
    """Which models to merge, and with which weights (Eq. 4).

    Attributes:
        weights: Model name to non-negative weight (``alpha``, ``beta`` of Eq. 5).
        distance_before: ``|| e_best - e_user ||`` of the best single model at weight 1, as a fraction of ``|| e_user ||``.
        distance_after: ``|| sum_i w_i e_i - e_user ||``, likewise.
        words: The merged model's words: the union of its members', weighted.
        stderr_before: Standard error of ``distance_before`` by the sampling noise of user and model. stderr_after: Of ``distance_after``.
        gains: By how much each further model lowered the squared distance, as a fraction of ``|| e_user ||^2``; the last one
            perhaps too little to stay.
        needed: By how much it had to, likewise: more than by chance, and the penalty.
        considered: Among how many models weights were looked for.
        brings: Of each of several models, the axes by which the sum is nearer to the user with it than the best sum of the others
            alone, the largest part first, each with what the model changes of the sum's coordinate there. So a model of another style
            may stand in a sum for what it takes away. What makes the sum longer or shorter is told as more ``lengthy`` or ``brief``.
    """

    weights: Mapping[str, float]
    distance_before: float
    distance_after: float
    words: tuple[tuple[str, float], ...] = ()
    stderr_before: float = 0.0
    stderr_after: float = 0.0
    gains: tuple[float, ...] = ()
    needed: tuple[float, ...] = ()
    considered: int = 0
    brings: Mapping[str, tuple[tuple[str, float], ...]] = field(
        default_factory=dict[str, tuple[tuple[str, float], ...]]
    )

    @property
    def helps(self) -> bool:
        """Whether merging is proposed; else one model alone is as good, as far as can be told."""
        return len(self.weights) > 1


StopReason: TypeAlias = Literal["max_steps", "target_loss", "no_improvement", "callback"]
"""Why a training ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What a piece of work took.

    Attributes:
        joules: How much.
        kind: ``measured`` by a counter of the machine, or ``estimated`` from a power profile.
        source: Which counter or profile, and what is in it.
    """

    joules: float
    kind: Literal["measured", "estimated"]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEvent:
    """What a training tells its callbacks.

    Attributes:
        kind: ``begin`` (before the first step, or the first one after resuming), ``step``, ``evaluation``, ``checkpoint`` (it is
            on the disk) or ``end``.
        step: Optimizer steps done.
        max_steps: Optimizer steps at most.
        seconds: Time spent so far, by a run that was resumed in all its parts.
        loss: Of the step (training) or of the evaluation (validation); None with the other kinds.
    """

    kind: Literal["begin", "step", "evaluation", "checkpoint", "end"]
    step: int
    max_steps: int
    seconds: float
    loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What a training run did.

    Attributes:
        steps: Optimizer steps done.
        seconds: Wall-clock time of training, evaluation included, loading not.
        samples: Training examples seen (with repetition).
        losses: ``(step, training loss)``, in nats a token (pipelines: mean squared error of what the denoiser predicts).
        eval_losses: ``(step, validation loss)``; step 0 is before the first step.
        first_loss: First training loss. last_loss: Last training loss.
        trainable_parameters: Number of parameters that were trained.
        stopped_by: ``max_steps``, ``target_loss``, ``no_improvement`` or ``callback``.
        out: Folder of the result.
        energy_j: Energy in joules if it was measured (by all counters together), else None.
        energy: Each counter's and each estimate's own, told as what it is.
    """

    steps: int
    seconds: float
    samples: int
    losses: tuple[tuple[int, float], ...]
    eval_losses: tuple[tuple[int, float], ...] = ()
    first_loss: float
    last_loss: float
    trainable_parameters: int
    stopped_by: StopReason
    out: Path
    energy_j: float | None = None
    energy: tuple[Energy, ...] = ()
    details: Mapping[str, object] = field(default_factory=lambda: {})
