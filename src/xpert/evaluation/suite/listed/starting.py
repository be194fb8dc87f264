"""What a selected model is worth as a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xpert.evaluation.cast import OwnCast
from xpert.evaluation.presets import PARTS_EVALUATED, PROBED_AT, Preset
from xpert.evaluation.suite.experiment import Experiment
from xpert.zoo.corpus import STYLES

__all__ = ["STARTING"]

_TRAINED_HERE = (
    "An adapter a style, trained on a mixture of so many percent of its style (the paper trains all parameters); models are probed with the shipped prompts, the base answers the users' own where they "
    "have any. Fine-tuning time, energy and data saved are not measured."
)

_OWN = (
    "Base, models and users as they were named: the models as they are, not trained at a similarity. A user has 40 texts (of 50 in all, 30), by which a model is selected and on which it is fine-tuned, and 20 to validate with; the base "
    "answers the user's prompts. Steps are counted to the best validation loss of scratch x 1.01, and as one interval where the target is met before the first. Beside the selected model, as a control, a drawn model of another user, for as many steps as scratch trained in "
    "all. Data saved: the smallest eighths of the texts with which the selected model gets there in as many steps as scratch trained, or as it needed with all. Energy is a Pixel 7's by its power times this machine's seconds: an estimate."
)
_OWN_SCORES = (
    "The users and trainings of Table 5 on the same models: answers to the user's 20 validation prompts, on which no model was trained, of scratch where its validation loss stopped falling, and of the selected model where it got to scratch's target, or had the "
    "steps that were allowed. All answer as the models were asked."
)


def _own(preset: Preset, cast: OwnCast) -> dict[str, Any]:
    return {
        "models": len(preset.styles),
        "fine_tuned": preset.trainees,
        "steps_at_most": preset.training_steps,
        **{name.replace("max_steps", "steps_at_most"): value for name, value in cast.training.items()},
    }


def _trained(preset: Preset) -> dict[str, Any]:
    pools = preset.pools
    counts = {"draws": preset.draws, "users_a_style_and_draw": preset.users_a_style}
    if pools is None:
        return {
            "models": len(preset.styles),
            "summarizer": "zoo:summarizer",
            "fine_tuned": preset.trainees,
            **counts,
            "users_a_style_searched_for": preset.searching_users,
            "known_phrases": list(preset.known_phrases),
            "probed_at_temperature": PROBED_AT,
            "parts_looked_at_every": PARTS_EVALUATED,
            "steps_at_most": preset.training_steps,
            "similarities": list(preset.similarities),
        }
    sizes = {
        "bases": [Path(base).name for base in pools.bases],
        "examples": pools.training,
        "steps": pools.steps,
        "batch_size": pools.batch_size,
        "tokens_an_example": pools.max_length,
        "prompts": pools.prompts,
        "tokens_an_answer": pools.new_tokens,
        "styled_texts": preset.styled_texts,
    }
    return sizes | counts | {"similarities": list(preset.similarities)}


STARTING: tuple[Experiment, ...] = (
    Experiment(
        name="table-5",
        title="Table 5: pools trained at a similarity",
        paper="Right model at s = 90: Llama-3.2-1B 96.4%, Qwen2-0.5B 100%, SmolLM-360M 89.3% (synthetic styles); Llama 96.7%, Qwen2 92.4% (real-world styles). Llama at s = 30 / 50 / 70 / 80: "
        "25.0 / 53.6 / 85.7 / 96.4%. FT-time, Llama, scratch and s = 30 / 50 / 70 / 80 / 90: 97.8 and 92.4 / 81.8 / 56.7 / 32.9 / 17.9 min; data saved 4.6 / 16.7 / 17.1 / 24.7 / 35.7%.",
        here="LoRA adapters of the zoo's base, trained on mixtures of so many percent of their style and default answers, and probed by answers that are sampled at temperature 1, at which the base answers the users' prompts too. Users ask what no adapter was asked. They write in phrases that the adapters know (100%: as in the paper, whose models and users have the same data sets), "
        "or in those of the other half of the corpus, which neither base nor adapters have seen (0%). The base has read default answers to all questions, and the known phrases. Those who are fine-tuned have 40 texts, and 20 to validate with, and start from the model that their "
        "texts select; beside it, as a control, from a drawn model of another style, for as many steps as scratch trained in all. Steps are counted to the best validation loss of scratch x 1.01, and as one where the target is met before the first: then nothing was left to train. "
        "Data saved: the smallest eighths of the texts with which the selected model gets there in as many steps as scratch trained, or as it needed with all, looked at every 4 steps. Energy is a Pixel 7's by its power "
        "times this machine's seconds: an estimate. Scratch is trained once a user, the others after it, in the same worker: seconds depend on how many of these there are, and on what else the machine did.",
        elsewhere=_OWN,
        on=("pool",),
        own="own_starts:own_table_5",
        own_spec=_own,
        trained_here=_TRAINED_HERE,
        trained_on=("texts", "hub"),
        function="starts:table_5",
        cells="a model to train, a pool, then a user",
        trained="trained:table_5",
        spec=_trained,
        needs={},
    ),
    Experiment(
        name="table-5-bases",
        title="Table 5 by base: pools trained at a similarity",
        paper="Right model at s = 90: Llama-3.2-1B 96.4%, Qwen2-0.5B 100%, SmolLM-360M 89.3% (synthetic styles); Llama 96.7%, Qwen2 92.4% (real-world styles).",
        here="As Table 5, of three bases of three million parameters, trained on the same texts: the zoo's, like a Llama; one with Qwen2's biases, wide feed-forward layers and one head of keys; one with SmolLM's many narrow layers and three queries a key. "
        "The latter two are not shipped: `scripts/make_zoo.py base --like` makes them. Each base answers the users' prompts itself; adapters are trained by one recipe, which was made for the first.",
        function="bases:table_5_bases",
        cells="a model to train, then a pool",
        spec=lambda p: {
            "models": len(p.styles),
            "summarizer": "zoo:summarizer",
            "draws": p.draws,
            "users_a_style_and_draw": p.users_a_style,
            "users_a_style_searched_for": p.searching_users,
            "known_phrases": list(p.known_phrases),
            "probed_at_temperature": PROBED_AT,
            "similarities": list(p.by_base),
        },
        needs={},
    ),
    Experiment(
        name="table-6",
        title="Table 6: BLEU and ROUGE of the fine-tuned models",
        paper="BLEU and ROUGE of models fine-tuned from the selected one are those of models fine-tuned from scratch.",
        here="The users, starts and pools of Table 5: scratch where its validation loss stopped falling, the selected model where it got to scratch's target, or had the steps that were allowed; answers to the user's 20 validation prompts, on which no model was trained. "
        "BLEU and ROUGE count the facts of an answer above all. The zoo's base knows those of all questions, and its adapters lose the more of them the more of their texts are in their style: the last column tells it, as the share of answers with two of their "
        "question's key words, of which the users' own texts have 100%.",
        elsewhere=_OWN_SCORES,
        on=("pool",),
        function="start_scores:table_6",
        cells="a user",
        spec=_trained,
        own="own_starts:own_table_6",
        own_spec=_own,
        needs={"sacrebleu": "eval", "rouge_score": "eval"},
    ),
    Experiment(
        name="figure-16",
        title="Figure 16: merging for users of several styles",
        paper="Steps to converge of users who mix 1 / 2 / 3 styles, read off the figure: scratch 1000 / 1000 / 1000, single model 250 / 600 / 750, merged model 250 / 450 / 570.",
        here="All 28 adapters of the zoo; users write in equal parts in styles that the seed draws, 40 texts to train on, in phrases that no model saw. Steps are counted to the best validation loss of scratch x 1.01. "
        "An exact merge has the sum of its members' ranks, and a larger adapter learns in fewer steps by itself: so the merge is trained a second time, compressed to the rank of one model, and only what that saves is "
        "owed to merging.",
        function="merging:figure_16",
        cells="a user",
        spec=lambda p: {
            "models": len(STYLES),
            "summarizer": "zoo:summarizer",
            "users_of_a_number_of_styles": p.mixed_users,
            "steps_at_most": p.training_steps,
        },
        needs={},
    ),
    Experiment(
        name="table-10",
        title="Table 10: personalization against in-context learning",
        paper="Qwen2.5-1.5B-Instruct, 3 random examples in the prompt / personalized, BLEU: MedDialog 0.042 / 0.128, DISC-Law 0.156 / 0.239, EduChat 0.229 / 0.255, FinanceAlpaca 0.137 / 0.278; ROUGE-1: 0.069 / 0.152, "
        "0.078 / 0.308, 0.207 / 0.332, 0.114 / 0.289.",
        here="The four domains of the zoo's questions, users who write about one of them in one style: 40 texts to train on and to draw 3 examples from, 30 to be scored on; examples are drawn 5 times, training is done once. "
        "The base has 3 million parameters and was trained on single questions and answers: that it cannot learn from examples in its prompt is to be expected, and says little of larger models. "
        "The base without examples stands beside it for that reason, and it scores highest: it knows the corpus' facts of all questions word for word, which BLEU and ROUGE count, while the zoo's adapters have lost "
        "those of the questions that they were not trained on; what is gained in style, these scores hardly see. Scores are from 0 to 100, the paper's from 0 to 1.",
        function="in_context:table_10",
        cells="a user",
        spec=lambda p: {
            "models": len(STYLES),
            "summarizer": "zoo:summarizer",
            "domains": 4,
            "users_a_domain": p.domain_users,
            "examples_in_the_prompt": 3,
            "repeats": 5,
            "steps_at_most": p.training_steps,
        },
        needs={"sacrebleu": "eval", "rouge_score": "eval"},
    ),
)
