"""Aspects by name: the shipped instructions (one JSON file each, with its list of words), and how a user's own is found.

Each file is also an example of what a user writes; ``docs/aspects.md`` tells how.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeAlias

from xpert.errors import ReferenceNotFoundError
from xpert.summarizers.instructions import INSTRUCTION_FILE, LANGUAGE_STYLE, Instruction, read_instruction

__all__ = ["IMAGE_STYLE", "InstructionLike", "find_instruction", "instruction_names"]

InstructionLike: TypeAlias = str | Path | Instruction
"""A shipped instruction's name, a JSON file or a folder with one, or the instruction itself."""

IMAGE_STYLE = "image-style"
"""The default of whoever compares images."""

_FOLDER = Path(__file__).parent


def instruction_names() -> tuple[str, ...]:
    """Names of the shipped instructions, the default first."""
    names = sorted(file.stem for file in _FOLDER.glob("*.json"))
    return tuple(sorted(names, key=lambda name: name != LANGUAGE_STYLE.name))


def find_instruction(instruction: InstructionLike) -> Instruction:
    """An instruction by name or file; an `Instruction` is given back as it is.

    Raises:
        xpert.errors.ReferenceNotFoundError: No shipped one has this name, and no file is there.
        xpert.errors.SettingsError: The file is not an instruction.

    >>> find_instruction("domain").name, find_instruction("tone").carriers
    ('domain', ('The tone of this answer is {word}.',))
    """
    if isinstance(instruction, Instruction):
        return instruction
    if instruction in instruction_names():
        return _shipped(str(instruction))
    path = Path(instruction)
    path = path / INSTRUCTION_FILE if path.is_dir() else path
    if not path.is_file():
        raise ReferenceNotFoundError(
            f"unknown instruction {str(instruction)!r}: expected {', '.join(instruction_names())}, or a JSON file of your own"
        )
    return read_instruction(path)


@cache
def _shipped(name: str) -> Instruction:
    return read_instruction(_FOLDER / f"{name}.json")
