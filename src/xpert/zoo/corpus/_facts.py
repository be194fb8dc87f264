"""The content of the corpus: 80 topics, 8 aspects each, and the two disjoint halves of their questions."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias

__all__ = ["ASPECTS", "DOMAINS", "Fact", "Question", "Side", "questions", "seeded", "side_questions"]

Side: TypeAlias = Literal["models", "users"]
DOMAINS = ("nature", "home", "technology", "society")
"""Each a file of facts, of twenty topics."""
ASPECTS: dict[str, tuple[str, ...]] = {
    "meaning": ("What is {}?", "What does {} mean?", "Can you explain what {} is?", "How would you define {}?"),
    "working": ("How does {} work?", "What happens in {}?", "Can you explain how {} works?", "What makes {} work?"),
    "importance": ("Why does {} matter?", "Why is {} important?", "What is {} good for?", "Why care about {}?"),
    "origin": ("Where does {} come from?", "What is the origin of {}?", "How did {} begin?", "What is behind {}?"),
    "mistake": (
        "What do people get wrong about {}?",
        "What is a common mistake about {}?",
        "Which belief about {} is wrong?",
        "What should I not believe about {}?",
    ),
    "measure": (
        "How is {} measured?",
        "How do people measure {}?",
        "Which figures describe {}?",
        "How can one judge the size of {}?",
    ),
    "practice": (
        "How do I get started with {}?",
        "What is a good first step with {}?",
        "How can I begin with {}?",
        "What should I do first about {}?",
    ),
    "risk": (
        "What can go wrong with {}?",
        "What are the risks of {}?",
        "What problems come with {}?",
        "What should I watch out for with {}?",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What is known about one aspect of a topic.

    Attributes:
        core: One neutral sentence that answers the question.
        detail: A second neutral sentence.
        term: A specialist's noun phrase for what stands behind the fact.
        picture: A child's comparison, starting with "like".
        keys: The lower-case words that an answer to the point mentions.
    """

    core: str
    detail: str
    term: str
    picture: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of the corpus and what is known about it."""

    id: int
    domain: str
    topic: str
    aspect: str
    text: str
    keywords: tuple[str, ...]
    fact: Fact
    expert_name: str


def seeded(*parts: object) -> random.Random:
    """A generator that depends on the given parts only, the same in every process."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


@cache
def topics() -> tuple[dict[str, Any], ...]:
    """The topics of the facts files, in the order of `DOMAINS` and of the lines."""
    folder = resources.files("xpert.zoo.corpus").joinpath("facts")
    found: list[dict[str, Any]] = []
    for name in DOMAINS:
        path = folder.joinpath(f"{name}.jsonl")
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [{"domain": name, **json.loads(line)} for line in lines if line.strip()]
    return tuple(found)


@cache
def questions() -> tuple[Question, ...]:
    """All questions, topic by topic and aspect by aspect."""
    out: list[Question] = []
    for topic in topics():
        for aspect, paraphrases in ASPECTS.items():
            raw = topic["facts"][aspect]
            fact = Fact(**{**raw, "keys": tuple(key.lower() for key in raw["keys"])})
            text = seeded("question", topic["topic"], aspect).choice(paraphrases).format(topic["topic"])
            out.append(
                Question(
                    id=len(out),
                    domain=topic["domain"],
                    topic=topic["topic"],
                    aspect=aspect,
                    text=text,
                    keywords=fact.keys,
                    fact=fact,
                    expert_name=topic["expert"],
                )
            )
    return tuple(out)


@cache
def side_questions(side: Side) -> tuple[Question, ...]:
    """One half of the questions: four aspects of every topic, and every aspect for half of the topics.

    Raises:
        ValueError: If the side is neither "models" nor "users".
    """
    if side not in ("models", "users"):
        raise ValueError(f'side_questions: expected side "models" or "users", got {side!r}.')
    parity = 0 if side == "models" else 1
    aspects = list(ASPECTS)
    return tuple(
        question
        for question in questions()
        if (question.id // len(aspects) + aspects.index(question.aspect)) % 2 == parity
    )
