"""Models at a similarity: recorded answers of which s% are in the model's style and the others are the base's.

Nothing may profit from the others being identical to the base's: reordered, their sentences stand in another order.

Source: Wang et al. 2025 (arXiv 2504.13938), section 7.1: similarity is the share of a model's training data in its style; here it is the share
of its recorded answers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

from xpert.catalog import Catalog
from xpert.evaluation.sources import Draw, Source, User
from xpert.explainer import Explainer
from xpert.modalities.recorded import reorder
from xpert.protocols import SubvectorSource, Summarizer
from xpert.tensors.files import write_text
from xpert.types import Example

__all__ = ["explained", "mixed_user", "mixture_answers", "recorded_models", "styled_places", "unstyled"]


def unstyled(source: Source, prompt: str, *, reordered: bool = False) -> str:
    """What is said without a style; reordered once, in the same way in every draw."""
    answer = source.unstyled[prompt]
    return reorder(answer, f"reordered/{prompt}") if reordered else answer


def styled_places(n: int, similarity: int, *parts: object) -> set[int]:
    """Which of ``n`` answers are in the style: an exact count, places drawn by the parts of the seed.

    >>> len(styled_places(50, 30, "model", 0, "poetic")), styled_places(4, 100, 0) == {0, 1, 2, 3}
    (15, True)
    """
    return set(random.Random("/".join(map(str, parts))).sample(range(n), round(n * similarity / 100)))


def mixture_answers(
    source: Source, draw: Draw, style: str, *, similarity: int, seed: int, reordered: bool = False
) -> dict[str, str]:
    """What the model of a style says at a similarity: prompt to answer, in the draw's order."""
    styled = styled_places(len(draw.prompts), similarity, "model", seed, style)
    return {
        prompt: source.answers[style][prompt] if i in styled else unstyled(source, prompt, reordered=reordered)
        for i, prompt in enumerate(draw.prompts)
    }


def mixed_user(
    source: Source, user: User, number: int, *, similarity: int, seed: int, reordered: bool = False
) -> list[Example]:
    """A user's texts, mixed at the models' similarity."""
    styled = styled_places(len(user.examples), similarity, "user", seed, number)
    return [
        example
        if i in styled
        else Example(prompt=example.prompt, response=unstyled(source, str(example.prompt), reordered=reordered))
        for i, example in enumerate(user.examples)
    ]


def explained(
    source: Source,
    draw: Draw,
    summarizer: Summarizer,
    *,
    similarity: int,
    seed: int,
    folder: Path,
    reordered: bool = False,
    subvectors: SubvectorSource | None = None,
) -> Catalog:
    """The catalog of one model a style, each a recorded mixture, by the public API and the summarizer's own defaults.

    Args:
        source: Of the answers.
        draw: Of the prompts.
        summarizer: Who explains.
        similarity: Percent of a model's answers in its style.
        seed: Of the draw.
        folder: Gets the recorded models.
        reordered: Whether unstyled answers have their sentences in another order than the base's.
        subvectors: Where words' sub-vectors come from; None: the summarizer's own way.
    """
    mixed = {
        style: mixture_answers(source, draw, style, similarity=similarity, seed=seed, reordered=reordered)
        for style in source.styles
    }
    base, models = recorded_models(folder, {prompt: source.base[prompt] for prompt in draw.prompts}, mixed)
    explainer = Explainer(base, summarizer, prompts=draw.prompts, seed=seed, subvectors=subvectors)
    return explainer.explain(models)


def recorded_models(
    folder: Path, base: Mapping[str, str], models: Mapping[str, Mapping[str, str]]
) -> tuple[str, dict[str, str]]:
    """Write a base and models as recorded ones. The base lies in a folder of its own, so that a model may have any name.

    Args:
        folder: Gets ``NAME.jsonl`` of each model, and ``base/answers.jsonl``.
        base: Prompt to the base's answer.
        models: Name to answers, prompt to answer.

    Returns:
        Reference of the base, and name to reference of the models.
    """
    of_base = folder / "base" / "answers.jsonl"
    files = {name: folder / f"{name}.jsonl" for name in models}
    _write_answers(of_base, base)
    for name, answers in models.items():
        _write_answers(files[name], answers)
    return f"answers:{of_base}", {name: f"answers:{file}" for name, file in files.items()}


def _write_answers(file: Path, answers: Mapping[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"prompt": p, "response": r}, ensure_ascii=False) + "\n" for p, r in answers.items()]
    write_text(file, "".join(lines))
