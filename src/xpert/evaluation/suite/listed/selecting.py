"""How well and how cheaply models are selected."""

from __future__ import annotations

from xpert.evaluation.suite.experiment import Experiment
from xpert.evaluation.suite.listed.shared import ELSEWHERE, models

__all__ = ["SELECTING"]

SELECTING: tuple[Experiment, ...] = (
    Experiment(
        name="table-7",
        title="Table 7 and Figure 12: what selecting costs",
        paper="Llama-3.2-1B, 28 models, download / compute / energy: exhaustive search 1.26 h / 48.3 min / 13.1 kJ; Bayesian optimization 1.26 h / 45.5 min / 12.1 kJ; HyperBand 1.26 h / "
        "40.0 min / 10.3 kJ; XPerT 2.7 min / 13.8 min / 3.7 kJ. With more models the baselines grow linearly, XPerT stays flat.",
        here="The shipped zoo (every answer in its style), users whose text no model saw, the same in all pools, on this machine: a summarizer of 1.4 million parameters reads 50 pairs, where the paper streams one "
        "of 8 billion. A pool larger than the number of styles holds the same adapters again at 0.8 and 0.6 of their strength; a choice is right when the style is the user's, at whatever strength. Seconds begin when base or "
        "summarizer are in memory, and were taken beside whatever else the machine did; processor seconds are this process's, all threads together, and shares of exhaustive search are of these; the encoder's are not told, for its run holds the server's work. A summarizer that has just been loaded "
        "reads for each selection. Downloads are bytes, without the summarizer. Energy is a Pixel 7's by its power times this machine's seconds: an estimate. What is reckoned at the paper's sizes was not run: the "
        "zoo's texts, counted by the tokenizer of its base, which needs more tokens for the same text than a large model's.",
        elsewhere=ELSEWHERE
        + " Seconds begin when base or summarizer are in memory; energy is a Pixel 7's by its power times this machine's seconds: an estimate.",
        on=("pool",),
        function="costs:table_7",
        spec=lambda p: (
            models(p) | {"pool_sizes": list(p.pool_sizes), "users_at_most": p.cost_users, "texts_a_user": 50}
        ),
        needs={"optuna": "eval", "sentence_transformers": "encoder"},
    ),
    Experiment(
        name="table-4",
        title="Table 4: streaming the summarizer",
        paper="Llama-3.1-8B, 50 prompts of 200 tokens, OnePlus 12R / Pixel 9 Pro: inference 10.1 / 14.2 min, loading and switching layers 9.87 / 12.24 s (under 2%); peak memory 2.8 GB, 23% of the "
        "model held whole; the same sub-vectors.",
        here="Random weights of a true small shape, on this machine's CPU, the files in the page cache; the shipped questions on the corpus's texts. Peak memory is resident memory above what the imports take, looked at every "
        "10 ms, mapped pages of the file included; the bytes of the model read whole are its files'. Other work ran on the machine. Times in turns, on larger models and from an empty page cache: [Streaming](streaming.md).",
        function="streaming:table_4",
        spec=lambda p: {"shape": p.streamed_shape.name, "questions": list(p.streamed_questions)},
        needs={},
    ),
    Experiment(
        name="accuracy",
        title="Accuracy against similarity (the first column of Table 5)",
        paper="Right model, Llama-3.2-1B, 28 models, s = 30 / 50 / 70 / 80 / 90: 25.0 / 53.6 / 85.7 / 96.4 / 96.4%.",
        here="Recorded mixtures of what the zoo's models say: the answers that are not in the style are the base's. Users write in their style alone. The paper trains its models on such mixtures.",
        elsewhere="Recorded mixtures, not trained models: what is not in a model's style is the base's answer or, of passages that answer nothing, a passage of any style that no style has. Users write in their "
        "style alone, on other prompts; where no base answers these, the stored base answers stand beside their texts, unpaired.",
        on=("texts", "pool", "recorded"),
        function="accuracy:accuracy",
        cells="a draw and similarity",
        spec=lambda p: (
            models(p)
            | {"draws": p.draws, "users_a_style_and_draw": p.users_a_style, "similarities": list(p.similarities)}
        ),
        needs={"sentence_transformers": "encoder"},
    ),
    Experiment(
        name="figure-13",
        title="Figure 13: the size of the summarizer",
        paper="With Llama-3.2-1B as the summarizer the accuracy is noticeably lower than with Llama-3.1-8B; Llama-3.1-70B adds little.",
        here="Summarizers of the zoo's recipe in several sizes, trained on the same corpus for the same steps, and beside them an encoder of sentences that was trained on other texts for another purpose. Recorded mixtures as in "
        "`accuracy`, the same draws for all. All are far below the paper's smallest, and made for this corpus.",
        function="sizes:figure_13",
        cells="a summarizer, draw and similarity",
        spec=lambda p: (
            models(p)
            | {"draws": p.draws, "users_a_style_and_draw": p.users_a_style, "similarities": list(p.similarities)}
        ),
        needs={"sentence_transformers": "encoder"},
    ),
)
