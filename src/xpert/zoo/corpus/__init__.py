"""The style corpus: questions with known facts, and answers to them in any of the zoo's styles.

Two halves never meet: the zoo's models are trained on side "models", users write with side "users" (other questions,
other phrases, the same manner). Everything is a function of its arguments and a seed.
"""

from __future__ import annotations

from xpert.zoo.corpus._facts import ASPECTS, DOMAINS, Fact, Question, Side, questions, side_questions
from xpert.zoo.corpus.dataset import examples, mixture
from xpert.zoo.corpus.properties import PROPERTIES
from xpert.zoo.corpus.styles import DEFAULT, GRADED, STYLES, TONES, Style, properties_of
from xpert.zoo.corpus.writer import length_range, write

__all__ = [
    "ASPECTS",
    "DEFAULT",
    "DOMAINS",
    "GRADED",
    "PROPERTIES",
    "STYLES",
    "TONES",
    "Fact",
    "Question",
    "Side",
    "Style",
    "examples",
    "length_range",
    "mixture",
    "properties_of",
    "questions",
    "side_questions",
    "write",
]
