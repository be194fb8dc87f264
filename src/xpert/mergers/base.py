"""What a merge method is, and what all of them need: members that are checked, and a folder to write to."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from xpert.errors import SettingsError
from xpert.references import kind_of, portable, require_weights
from xpert.tensors.files import write_text
from xpert.weights import digest, weight_files

__all__ = [
    "RECORD",
    "Member",
    "MergeMethod",
    "Source",
    "check_target",
    "copy_side_files",
    "open_sources",
    "write_notes",
]

RECORD = "xpert_merge.json"
"""File of a merged model that tells what it was made of."""

_MODEL_FILES = ("config.json", "generation_config.json")
_TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "chat_template.*",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of a merge.

    Attributes:
        name: Its name, for messages and the card.
        reference: Where it is.
        weight: What its task vector is multiplied by.
        sha256: Digest over its weight files, where it is known, for the record.
    """

    name: str
    reference: str
    weight: float
    sha256: str | None = None


@runtime_checkable
class MergeMethod(Protocol):
    """How task vectors are summed; `xpert.Merger` takes one by name or as an object."""

    @property
    def name(self) -> str:
        """As the command line and cards call it."""
        ...

    def merge(
        self, base: str | Path, members: Sequence[Member], out: str | Path, *, words: Sequence[tuple[str, float]] = ()
    ) -> Path:
        """Write the merged model to ``out``, a folder that Transformers or PEFT load, whole or not at all.

        Args:
            base: The base of all members.
            members: At least one.
            out: A new or empty folder, or an earlier merge's.
            words: The merged model in words, for its card.

        Raises:
            xpert.errors.RecordedModelError: A member has no weights.
            xpert.errors.IncompatibleModelError: A member is not of this base.
            xpert.errors.WeightsError: Weights are missing, truncated or not finite.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A member whose weights are here.

    Attributes:
        member: What was asked for.
        folder: Where it lies.
        kind: ``full``, ``pipeline`` or ``adapter``.
        sha256: Digest over its weight files; None for a large model whose digest nobody has told.
    """

    member: Member
    folder: Path
    kind: str
    sha256: str | None


def open_sources(members: Sequence[Member]) -> list[Source]:
    """Find the members' folders; nothing is loaded.

    Raises:
        xpert.errors.SettingsError: No members, one twice, or a weight that is not finite.
        xpert.errors.RecordedModelError: A member has answers only.
    """
    if not members:
        raise SettingsError("nothing to merge: expected at least one model with a weight")
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise SettingsError(f"models to merge: {next(n for n in names if names.count(n) > 1)!r} is there twice")
    sources: list[Source] = []
    for member in members:
        if not math.isfinite(member.weight):
            raise SettingsError(f"weight of {member.name!r}: expected a finite number, got {member.weight!r}")
        folder = require_weights(member.reference, "merge")
        kind, files = kind_of(member.reference), weight_files(folder)
        known = member.sha256 or (digest(folder, files) if kind == "adapter" else None)
        sources.append(Source(member=member, folder=folder, kind=kind, sha256=known))
    return sources


def check_target(out: str | Path) -> Path:
    """The folder to write to: it may be new, empty, or an earlier merge's.

    Raises:
        xpert.errors.SettingsError: It holds something else, or is a file.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"out: {folder} is a file: give a folder")
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if names and RECORD not in names:
        raise SettingsError(f"out: {folder} holds something else ({names[0]}): give a new or empty folder")
    return folder


def copy_side_files(source: Path, folder: Path, *, model: bool) -> None:
    """Copy the tokenizer's files, and with ``model`` the model's configuration."""
    for pattern in (*_TOKENIZER_FILES, *(_MODEL_FILES if model else ())):
        for file in sorted(source.glob(pattern)):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)


def write_notes(
    folder: Path,
    *,
    method: str,
    base: str | Path,
    sources: Sequence[Source],
    words: Sequence[tuple[str, float]],
    kind: str,
    library: str,
    options: Mapping[str, object],
    notes: Sequence[str] = (),
) -> None:
    """Write the card and the record of what the model was made of, how, and what is to be known of it."""
    record: Mapping[str, object] = {
        "method": method,
        "options": dict(options),
        "base": portable(base),
        "kind": kind,
        "models": [
            {"name": s.member.name, "reference": s.member.reference, "weight": s.member.weight, "sha256": s.sha256}
            for s in sources
        ],
        "words": [{"word": word, "value": value} for word, value in words],
        "notes": list(notes),
    }
    write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
    front = ["---", f"base_model: {json.dumps(portable(base))}", f"library_name: {library}"]
    lines = [*front, "tags:", "- merge", "- xpert", "---", "", "# Merged start model", ""]
    lines += [
        f"Merged with xpert by {method}; base: `{portable(base)}`.",
        "",
        "| model | weight | reference |",
        "|---|---|---|",
    ]
    lines += [f"| {s.member.name} | {s.member.weight:.4f} | `{s.member.reference}` |" for s in sources]
    lines += ["", *notes] if notes else []
    if words:
        lines += ["", "In words: " + ", ".join(f"{word} {value:+.2f}" for word, value in words[:12]) + "."]
    write_text(folder / "README.md", "\n".join([*lines, ""]))
