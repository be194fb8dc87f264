"""What an LLM summarizer is asked: the wording of its three uses, and how much it reads and writes.

A model's folder may bring its own as ``xpert_instruction.json``, the wording that it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from string import Formatter
from typing import Any

from xpert.errors import SettingsError

__all__ = ["INSTRUCTION_FILE", "LANGUAGE_STYLE", "Instruction", "load_instruction"]

INSTRUCTION_FILE = "xpert_instruction.json"

_NEEDED: Mapping[str, frozenset[str]] = {
    "compare": frozenset({"a", "b"}),
    "write": frozenset({"word", "prompt"}),
    "meaning": frozenset({"word"}),
}
_ALLOWED: Mapping[str, frozenset[str]] = {**_NEEDED, "compare": frozenset({"a", "b", "prompt"})}


def _check_template(what: str, template: str, needed: frozenset[str], allowed: frozenset[str]) -> None:
    try:
        found = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise SettingsError(f"instruction {what}: expected a template ({error}): write {{{{ for a brace") from None
    if not needed <= found <= allowed:
        listed = ", ".join(f"{{{name}}}" for name in sorted(needed))
        raise SettingsError(f"instruction {what}: expected {listed} in it, got {template!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """The wording of the three uses of a summarization LLM; each is put through the tokenizer's chat template.

    Attributes:
        name: What it is called, e.g. ``language-style``.
        compare: Asks for one adjective for what is more characteristic of ``{b}`` than of ``{a}``; may show ``{prompt}``.
        write: Asks for an answer to ``{prompt}`` in the style that ``{word}`` names.
        meaning: Asks for one adjective for the meaning of ``{word}``.
        answer_prefix: What the model's turn begins with, before the adjective.
        max_answer_tokens: Each of the two answers is cut to so many of the summarizer's tokens.
        max_new_tokens: Longest text that it writes.
        eps_orth: The summarizer's own default of the largest ``|cos|`` between two sub-vectors.
        eps_dec: Its own default of the residual at which a decomposition stops.
        max_candidates: Its own default of how many candidate words are examined a model.

    Source: Wang et al. 2025 (arXiv 2504.13938), Figure 6 and section 4.3; the wording is ours.
    """

    name: str
    compare: str
    write: str
    meaning: str
    answer_prefix: str = ""
    max_answer_tokens: int = 256
    max_new_tokens: int = 192
    eps_orth: float = 0.1
    eps_dec: float = 0.2
    max_candidates: int = 32

    def __post_init__(self) -> None:
        for part, needed in _NEEDED.items():
            _check_template(f"{self.name}: {part}", getattr(self, part), needed, _ALLOWED[part])
        for part in ("max_answer_tokens", "max_new_tokens", "max_candidates"):
            if getattr(self, part) < 1:
                raise SettingsError(f"instruction {self.name}: {part}: expected 1 or more, got {getattr(self, part)}")
        for part in ("eps_orth", "eps_dec"):
            if not 0 < getattr(self, part) <= 1:
                raise SettingsError(
                    f"instruction {self.name}: {part}: expected above 0 and at most 1, got {getattr(self, part)}"
                )

    @property
    def provenance(self) -> str:
        """What a catalog stores: name, question and how much of an answer is read."""
        prefix = f" [the reply begins: {self.answer_prefix!r}]" if self.answer_prefix else ""
        return f"{self.name} (first {self.max_answer_tokens} tokens of each answer): {self.compare}{prefix}"


LANGUAGE_STYLE = Instruction(
    name="language-style",
    compare=(
        "Two answers to the same question differ in their language style.\n\n"
        "Answer A:\n{a}\n\nAnswer B:\n{b}\n\n"
        "Which language style is more characteristic of answer B than of answer A? "
        "Reply with exactly one adjective in lower case, and nothing else."
    ),
    write=(
        "Answer the following in a strongly {word} language style. Do not mention the style; write the answer only.\n\n"
        "{prompt}"
    ),
    meaning=(
        'Summarize the meaning of the word "{word}" when it describes a language style. '
        "Reply with exactly one adjective in lower case, and nothing else."
    ),
)
"""The default wording, for instruction-tuned LLMs."""


def load_instruction(folder: str | Path) -> Instruction | None:
    """The wording that a model's folder brings, or None.

    Raises:
        xpert.errors.SettingsError: The file is no JSON object of an `Instruction`'s fields.
    """
    file = Path(folder) / INSTRUCTION_FILE
    if not file.is_file():
        return None
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f"{file}: expected JSON ({error}): write the file again") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: expected a JSON object, got {type(values).__name__}: write the file again")
    kinds = {"max": int, "eps": float}
    types = {field.name: kinds.get(field.name.split("_")[0], str) for field in fields(Instruction)}
    for key, value in values.items():
        if key not in types:
            raise SettingsError(f"{file}: unknown key {key!r}: expected some of {', '.join(types)}")
        if type(value) is not types[key]:
            raise SettingsError(f"{file}: {key}: expected {types[key].__name__}, got {type(value).__name__}")
    missing = [key for key in ("name", *_NEEDED) if key not in values]
    if missing:
        raise SettingsError(f"{file}: {missing[0]!r} is missing: expected at least name, {', '.join(_NEEDED)}")
    return Instruction(**values)
