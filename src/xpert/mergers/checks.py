"""Whether members belong to the base: told from configurations and headers, before anything is written."""

from __future__ import annotations

from pathlib import Path

from xpert.errors import IncompatibleModelError
from xpert.mergers.base import Source
from xpert.mergers.layouts import Layout
from xpert.mergers.vectors import HEAD, BaseTensors
from xpert.mergers.whole import is_tied
from xpert.tensors.checkpoint import LazyCheckpoint

__all__ = ["check_kind", "check_same"]


def check_kind(source: Source, base: Path, layout: Layout) -> None:
    """A member is an adapter, or a whole model laid out as the base.

    Raises:
        xpert.errors.IncompatibleModelError: It is neither.
    """
    if source.kind == "adapter":
        return
    name = source.member.name
    if source.kind != layout.kind:
        raise IncompatibleModelError(
            f"{name!r} ({source.folder}) is of kind {source.kind}, the base {base} of kind {layout.kind}: "
            "expected an adapter or a model of this base"
        )
    layout.check(source.folder, base, name)


def check_same(base: BaseTensors, other: LazyCheckpoint, member: str, *, tied: bool) -> None:
    """Both hold the same tensors in the same shapes; a tied output layer that is stored once more does not count.

    Args:
        base: The base.
        other: The member.
        member: Its name.
        tied: Whether the base's embeddings are tied.

    Raises:
        xpert.errors.IncompatibleModelError: They differ in names, shapes, or in whether their embeddings are tied.
    """
    own = base.checkpoint
    refused = f"{member!r} ({other.where}) is no fine-tune of base {own.where}"
    names = own.shapes.keys() - ({HEAD} if base.shared is not None else set())
    others = other.shapes.keys() - ({HEAD} if base.shared is not None and is_tied(other.where) else set())
    has_head = any(name == HEAD for name in (*own.shapes, *other.shapes))
    if has_head and tied != is_tied(other.where):
        said = {True: "tied", False: "untied"}
        raise IncompatibleModelError(
            f"{refused}: its embeddings are {said[not tied]} (tie_word_embeddings), the base's {said[tied]}: "
            "save one of them as the other is"
        )
    kept = {name for name, dtype in (*own.dtypes.items(), *other.dtypes.items()) if dtype is None}
    if missing := sorted(names - others - kept):
        raise IncompatibleModelError(f"{refused}: it lacks {len(missing)} tensor(s), first {missing[0]}")
    if extra := sorted(others - names - kept):
        raise IncompatibleModelError(f"{refused}: it has {len(extra)} tensor(s) more, first {extra[0]}")
    for name in sorted(names & others):
        if other.shapes[name] != own.shapes[name]:
            raise IncompatibleModelError(
                f"{refused}: tensor {name} has shape {other.shapes[name]}, the base's {own.shapes[name]} "
                "(another width or vocabulary)"
            )
