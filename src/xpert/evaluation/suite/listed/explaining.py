"""How models are explained: prompts, sub-vectors, thresholds, graded styles."""

from __future__ import annotations

from xpert.evaluation.suite.experiment import Experiment
from xpert.evaluation.suite.listed.shared import ELSEWHERE, POOLED, models

__all__ = ["EXPLAINING"]

EXPLAINING: tuple[Experiment, ...] = (
    Experiment(
        name="table-1",
        title="Table 1: the domain of the prompts",
        paper="Cosine distance of one model's embeddings by prompts of two domains, Llama / Qwen2 / SmolLM: Alpaca against LegalBench 0.042 / 0.054 / 0.060, LegalBench against "
        "SciQ 0.063 / 0.033 / 0.035, SciQ against Alpaca 0.029 / 0.041 / 0.032.",
        here=POOLED + " Beside them two sets of prompts of one domain (noise) and other models on the same prompts.",
        elsewhere=ELSEWHERE,
        on=("pool",),
        function="explanations:table_1",
        spec=lambda p: models(p) | {"models": min(4, len(p.styles)), "prompts_of_a_set": p.set_size},
        needs={},
    ),
    Experiment(
        name="table-2",
        title="Table 2: sub-vectors against models",
        paper="4 / 8 / 16 models gave 12 / 19 / 37 sub-vectors after 92 / 145 / 280 candidate words.",
        here=POOLED,
        elsewhere=ELSEWHERE,
        on=("pool", "recorded"),
        function="explanations:table_2",
        spec=lambda p: models(p) | {"orders": p.orders, "styled_texts_a_word": p.styled_texts},
        needs={},
    ),
    Experiment(
        name="table-3",
        title="Table 3: prompt-tuned sub-vectors",
        paper="Error for 50 / 100 / 200 / 300 / 400 samples: 10 tokens 0.25 / 0.12 / 0.07 / 0.07 / 0.08, 25 tokens 0.19 / 0.09 / 0.06 / 0.05 / 0.06, "
        "50 tokens 0.29 / 0.15 / 0.07 / 0.07 / 0.05.",
        here="The zoo's summarizer; words that no sample is about.",
        function="tuning:table_3",
        spec=lambda p: {
            "words_a_family": p.tuned_words,
            "texts_a_word": p.tuned_texts,
            "steps": p.tuning_steps,
            "summarizer": "zoo:summarizer",
        },
        needs={},
    ),
    Experiment(
        name="table-8",
        title="Table 8: the orthogonality threshold",
        paper="`eps_orth` 0.01 / 0.1 / 0.5: 372 candidates without convergence at 0.01, 185 at 0.1; accuracy 96.4% at 0.1, 60.7% at 0.5.",
        here=POOLED,
        elsewhere=ELSEWHERE,
        on=("pool", "recorded"),
        function="explanations:table_8",
        spec=lambda p: models(p) | {"users": len(p.styles)},
        needs={},
    ),
    Experiment(
        name="table-9",
        title="Table 9: the decomposition threshold",
        paper="`eps_dec` 0.02 / 0.2 / 0.6: 372 candidates at 0.02; accuracy 96.4% at 0.2, 14.3% at 0.6.",
        here=POOLED,
        elsewhere=ELSEWHERE,
        on=("pool", "recorded"),
        function="explanations:table_9",
        spec=lambda p: models(p) | {"users": len(p.styles)},
        needs={},
    ),
    Experiment(
        name="figure-7",
        title="Figure 7: the number of prompts",
        paper="The error to the embedding from 1,000 prompts is negligible at 50.",
        here=POOLED
        + " The error is to the embedding from all prompts of the preset, beside what the scatter of single rows predicts.",
        elsewhere=ELSEWHERE,
        on=("pool",),
        function="explanations:figure_7",
        spec=lambda p: models(p) | {"models": min(4, len(p.styles)), "prompts": p.domain_prompts[0]},
        needs={},
    ),
    Experiment(
        name="figure-15",
        title="Figure 15: graded styles",
        paper="L1 distances between models of four levels of a style, by coordinates: with Llama-3.1-8B as the summarizer they agree with the levels, with Llama-3.2-1B inconsistencies are noticeable.",
        here="Recorded models whose answers are the corpus's, on questions that no model was asked and the zoo's summarizer never saw: once in the phrases that the zoo's models write in, which that summarizer has read, and once in those of users, "
        "which it has not. It was trained to tell the levels of other texts apart. The second summarizer is a general encoder. Distances are of the paper's coordinates (Eq. 2: projections on nearly orthogonal sub-vectors), and of the library's own beside them: least squares on axes that may be at 45 degrees gives large "
        "coordinates of opposite signs, which describe an embedding exactly and whose L1 distance says little (the library itself compares places by the geometry of the axes).",
        function="graded:figure_15",
        cells="phrases and a summarizer",
        spec=lambda p: {"scales": 2, "levels": 4, "texts_a_level": 50, "phrases": ["models", "users"]},
        needs={"sentence_transformers": "encoder"},
    ),
)
