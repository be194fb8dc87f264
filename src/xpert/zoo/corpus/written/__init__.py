"""Texts written by hand: a few everyday questions answered plainly, in each property alone, and in some combinations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from xpert.types import AnswerPair

__all__ = ["WrittenQuestion", "written_questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenQuestion:
    """A question with its answers.

    Attributes:
        prompt: The question.
        default: The answer in no style.
        styles: Properties, joined by dashes (``expert``, ``expert-concise-friendly``), to the answer that has them.
    """

    prompt: str
    default: str
    styles: Mapping[str, str]

    def pair(self, style: str) -> AnswerPair:
        """The plain answer and the one in a style."""
        return AnswerPair(prompt=self.prompt, base=self.default, other=self.styles[style])


@cache
def written_questions() -> tuple[WrittenQuestion, ...]:
    """All questions. They are richer in manner than the composed corpus, and few: what is learnt from both carries over."""
    lines = files(__name__).joinpath("texts.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(WrittenQuestion(**json.loads(line)) for line in lines)
