"""The protocol: models at a similarity, explained; users, selected for; right choices, counted."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sources import Draw, Source, User

from xpert import Catalog, Example, Explainer, Selector
from xpert.modalities.recorded import reorder
from xpert.protocols import SubvectorSource, Summarizer
from xpert.tensors.files import write_text

__all__ = ["AXES", "CONDITIONS", "Cell", "explained", "right_choices"]

AXES = ("all", "named+measured", "named")
CONDITIONS: Mapping[str, tuple[int, bool, bool]] = {
    "50 pairs": (50, True, False),
    "20 pairs": (20, True, False),
    "10 pairs": (10, True, False),
    "5 pairs": (5, True, False),
    "50 texts without base answers": (50, False, False),
    "50 pairs, mixed as the models": (50, True, True),
}
"""Name to: pairs, whether the user's base answers are given, whether the user's text is mixed at the models' similarity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One measurement.

    Attributes:
        seed: Of the draw.
        similarity: Percent of a model's answers that are in its style.
        reordered: Whether the unstyled answers of models and users have their sentences in another order than the base's.
    """

    seed: int
    similarity: int
    reordered: bool

    @property
    def file(self) -> str:
        """Name of the cell's result in the work folder."""
        return f"{self.seed}-{self.similarity}-{'reordered' if self.reordered else 'same'}.json"


def unstyled(source: Source, prompt: str, cell: Cell) -> str:
    """The base's answer; reordered once, in the same way in every draw."""
    answer = source.base[prompt]
    return reorder(answer, f"reordered/{prompt}") if cell.reordered else answer


def styled_places(n: int, similarity: int, *parts: object) -> set[int]:
    """Which of ``n`` answers are in the style: an exact count, places drawn by the seed."""
    return set(random.Random("/".join(map(str, parts))).sample(range(n), round(n * similarity / 100)))


def explained(
    source: Source, draw: Draw, cell: Cell, summarizer: Summarizer, subvectors: SubvectorSource | None, folder: Path
) -> Catalog:
    """The catalog of one model a style, each a recorded mixture, by the public API and the summarizer's own defaults."""
    _record(folder / "base.jsonl", {prompt: source.base[prompt] for prompt in draw.prompts})
    for style in source.styles:
        styled = styled_places(len(draw.prompts), cell.similarity, "model", cell.seed, style)
        lines = {
            prompt: source.answers[style][prompt] if i in styled else unstyled(source, prompt, cell)
            for i, prompt in enumerate(draw.prompts)
        }
        _record(folder / f"{style}.jsonl", lines)
    explainer = Explainer(
        f"answers:{folder / 'base.jsonl'}", summarizer, prompts=draw.prompts, seed=cell.seed, subvectors=subvectors
    )
    return explainer.explain({style: f"answers:{folder / f'{style}.jsonl'}" for style in source.styles})


def right_choices(
    source: Source, draw: Draw, cell: Cell, catalog: Catalog, summarizer: Summarizer
) -> dict[str, dict[str, int]]:
    """Condition to axes to the number of users for whom the model of their style was chosen."""
    selectors = {axes: Selector(catalog, summarizer, axes=axes) for axes in AXES}
    right = {condition: dict.fromkeys(AXES, 0) for condition in CONDITIONS}
    for number, user in enumerate(draw.users):
        for condition, (n, paired, mixed) in CONDITIONS.items():
            texts = _mixed(source, user, cell, number) if mixed else user.examples[:n]
            place = selectors["all"].locate(texts, user.base[:n] if paired else None)
            for axes, selector in selectors.items():
                right[condition][axes] += selector.rank(place, paired=paired).best == user.style
    return right


def _mixed(source: Source, user: User, cell: Cell, number: int) -> list[Example]:
    styled = styled_places(len(user.examples), cell.similarity, "user", cell.seed, number)
    return [
        example if i in styled else Example(prompt=example.prompt, response=unstyled(source, str(example.prompt), cell))
        for i, example in enumerate(user.examples)
    ]


def _record(file: Path, answers: Mapping[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"prompt": p, "response": r}, ensure_ascii=False) + "\n" for p, r in answers.items()]
    write_text(file, "".join(lines))
