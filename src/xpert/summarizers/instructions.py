"""What a summarizer is asked: the wording of an LLM's three uses, how much it reads and writes, and an encoder's list of words.

A model's folder may bring its own as ``xpert_instruction.json``, the wording that it was trained on. The shipped ones are in
`xpert.summarizers.aspects`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from string import Formatter
from typing import Any

from xpert.errors import SettingsError
from xpert.summarizers.words import STOP_WORDS, WordRules

__all__ = ["INSTRUCTION_FILE", "LANGUAGE_STYLE", "Instruction", "load_instruction", "load_words", "read_instruction"]

INSTRUCTION_FILE = "xpert_instruction.json"

_NEEDED: Mapping[str, frozenset[str]] = {
    "compare": frozenset({"a", "b"}),
    "write": frozenset({"word", "prompt"}),
    "meaning": frozenset({"word"}),
}
_ALLOWED: Mapping[str, frozenset[str]] = {**_NEEDED, "compare": frozenset({"a", "b", "prompt"})}
_LISTS = ("words", "carriers", "stop_words")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One aspect in words: what an LLM is asked (the three templates), what an encoder compares with (words and carriers), or both.

    The templates are put through the tokenizer's chat template. Any language will do.

    Attributes:
        name: What it is called, e.g. ``language-style``.
        compare: Asks for one word for what is more characteristic of ``{b}`` than of ``{a}``; may show ``{prompt}``.
        write: Asks for an answer to ``{prompt}`` of the kind that ``{word}`` names.
        meaning: Asks for one word for the meaning of ``{word}``.
        words: What an encoder chooses from. An LLM is free in its words; of the listed ones, those with one letter count too.
        carriers: Sentences with ``{word}`` that say of a text that the word is true of it, for encoders.
        stop_words: Words that answer nothing, beside the usual English ones, in lower case.
        word_characters: What may stand in a word beside letters, such as ``+#``.
        answer_prefix: What the model's turn begins with, before the word.
        max_answer_tokens: Each of the two answers is cut to so many of the summarizer's tokens.
        max_new_tokens: Longest text that it writes.
        eps_orth: The summarizer's own default of the largest ``|cos|`` between two sub-vectors.
        eps_dec: Its own default of the residual at which a decomposition stops.
        max_candidates: Its own default of how many candidate words are examined a model.

    Raises:
        xpert.errors.SettingsError: A template has other fields than it should, or a number is out of range.

    Source: Wang et al. 2025 (arXiv 2504.13938), Figure 6 and sections 4.3 and 9; the wording is ours.
    """

    name: str
    compare: str = ""
    write: str = ""
    meaning: str = ""
    words: tuple[str, ...] = ()
    carriers: tuple[str, ...] = ()
    stop_words: tuple[str, ...] = ()
    word_characters: str = ""
    answer_prefix: str = ""
    max_answer_tokens: int = 256
    max_new_tokens: int = 192
    eps_orth: float = 0.1
    eps_dec: float = 0.2
    max_candidates: int = 32

    def __post_init__(self) -> None:
        where = f"instruction {self.name}"
        if self.asks or not self.words:
            for part, needed in _NEEDED.items():
                _check_template(f"{where}: {part}", getattr(self, part), needed, _ALLOWED[part])
        if bool(self.words) != bool(self.carriers) or len(set(self.words)) == 1:
            raise SettingsError(f"{where}: expected words (two or more) and carriers, or neither")
        for part in _LISTS:
            if not all(item.strip() for item in getattr(self, part)):
                raise SettingsError(f"{where}: {part}: expected texts that are not empty")
        for part in ("eps_orth", "eps_dec"):
            object.__setattr__(self, part, float(getattr(self, part)))
        for carrier in self.carriers:
            _check_template(f"{where}: carriers", carrier, _NEEDED["meaning"], _NEEDED["meaning"])
        for part in ("max_answer_tokens", "max_new_tokens", "max_candidates"):
            if getattr(self, part) < 1:
                raise SettingsError(f"{where}: {part}: expected 1 or more, got {getattr(self, part)}")
        for part in ("eps_orth", "eps_dec"):
            if not 0 < getattr(self, part) <= 1:
                raise SettingsError(f"{where}: {part}: expected above 0 and at most 1, got {getattr(self, part)}")

    @property
    def asks(self) -> bool:
        """Whether it has wording for an LLM."""
        return bool(self.compare or self.write or self.meaning)

    @property
    def rules(self) -> WordRules:
        """What counts as a word of this aspect."""
        return WordRules(
            stop_words=STOP_WORDS | set(self.stop_words),
            characters=self.word_characters,
            known=frozenset(word.lower() for word in self.words),
        )

    @property
    def provenance(self) -> str:
        """What an LLM is asked, in a line: name, question and how much of an answer is read."""
        prefix = f" [the reply begins: {self.answer_prefix!r}]" if self.answer_prefix else ""
        return f"{self.name} (first {self.max_answer_tokens} tokens of each answer): {self.compare}{prefix}"

    def to_json(self) -> dict[str, Any]:
        """Every field as a JSON value: what a catalog stores."""
        return {key: list(value) if key in _LISTS else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: object, where: str) -> Instruction:
        """The instruction of a JSON object; ``where`` names it in messages.

        Raises:
            xpert.errors.SettingsError: It is no object of an instruction's fields.
        """
        if not isinstance(values, dict):
            raise SettingsError(f"{where}: expected a JSON object, got {type(values).__name__}: write the file again")
        given: dict[str, Any] = dict(values)
        types = {field.name: _type(field.name) for field in fields(cls)}
        for key, value in given.items():
            if key not in types:
                raise SettingsError(f"{where}: unknown key {key!r}: expected some of {', '.join(types)}")
            kinds = (int, float) if types[key] is float else (types[key],)
            if type(value) not in kinds:
                raise SettingsError(f"{where}: {key}: expected {types[key].__name__}, got {type(value).__name__}")
            if key in _LISTS and not all(isinstance(item, str) and item.strip() for item in value):
                raise SettingsError(f"{where}: {key}: expected a list of texts that are not empty")
        parts = ("words", "carriers") if "words" in given and not set(_NEEDED) & set(given) else tuple(_NEEDED)
        if missing := [key for key in ("name", *parts) if key not in given]:
            raise SettingsError(
                f"{where}: {missing[0]!r} is missing: expected at least name and {', '.join(_NEEDED)}, or name, words and carriers"
            )
        lists: dict[str, Any] = {key: tuple(dict.fromkeys(given[key])) for key in _LISTS if key in given}
        return cls(**given | lists)


def read_instruction(file: str | Path) -> Instruction:
    """The instruction in a JSON file; ``"words"`` may name a text file beside it, one word a line.

    Raises:
        xpert.errors.SettingsError: The file, or the list that it names, cannot be read.
    """
    file = Path(file)
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: expected JSON ({error}): write the file again") from None
    if isinstance(values, dict) and isinstance(values.get("words"), str):
        values = {**values, "words": list(load_words(file.parent / values["words"]))}
    return Instruction.from_json(values, str(file))


def load_instruction(folder: str | Path) -> Instruction | None:
    """The wording that a model's folder brings, or None.

    Raises:
        xpert.errors.SettingsError: The file is no JSON object of an `Instruction`'s fields.
    """
    file = Path(folder) / INSTRUCTION_FILE
    return read_instruction(file) if file.is_file() else None


def load_words(file: str | Path) -> tuple[str, ...]:
    """The words of a text file in UTF-8, one a line; empty lines and repeated words are left out.

    Raises:
        xpert.errors.SettingsError: It cannot be read, or has fewer than two different words.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: expected a text file in UTF-8, one word a line ({error})") from None
    words = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(words) < 2:
        raise SettingsError(f"{file}: expected two different words or more, one a line, got {len(words)}")
    return words


def _check_template(what: str, template: str, needed: frozenset[str], allowed: frozenset[str]) -> None:
    """Exactly known fields, plainly: a template may come with a catalog that somebody else made."""
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise SettingsError(f"{what}: expected a template ({error}): write {{{{ for a brace") from None
    if not needed <= {str(name) for _, name, _, _ in parts} <= allowed or any(spec or kind for *_, spec, kind in parts):
        listed = ", ".join(f"{{{name}}}" for name in sorted(needed))
        raise SettingsError(f"{what}: expected {listed} in it, got {template!r}")


def _type(name: str) -> type:
    if name in _LISTS:
        return list
    return {"max": int, "eps": float}.get(name.split("_", maxsplit=1)[0], str)


LANGUAGE_STYLE = read_instruction(Path(__file__).parent / "aspects" / "language-style.json")
"""The default, for instruction-tuned LLMs and for encoders."""
