"""Prompts that ship with xpert, written for it: 200 general ones, 100 about law, 100 about science, 200 captions of images."""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import files

from xpert.errors import DataError, ReferenceNotFoundError

__all__ = ["DOMAINS", "shipped_prompts"]

DOMAINS = ("general", "law", "science", "captions")


def shipped_prompts(domain: str = "general", n: int | None = None, seed: int = 0) -> list[str]:
    """The prompts of a domain, or a sample of them.

    Args:
        domain: One of `DOMAINS`.
        n: How many; None: all, in the file's order.
        seed: Of the sample and its order.

    Raises:
        xpert.errors.ReferenceNotFoundError: No such domain.
        xpert.errors.DataError: The domain has fewer than ``n``, or ``n`` is below 1.

    >>> len(shipped_prompts()), len(shipped_prompts("law", 50))
    (200, 50)
    """
    if domain not in DOMAINS:
        raise ReferenceNotFoundError(f"unknown domain of prompts {domain!r}: expected one of {', '.join(DOMAINS)}")
    prompts = _read(domain)
    if n is None:
        return list(prompts)
    if not 1 <= n <= len(prompts):
        raise DataError(
            f"expected 1 to {len(prompts)} prompts of the domain {domain!r}, got {n}: give your own for more"
        )
    return random.Random(seed).sample(prompts, n)


@cache
def _read(domain: str) -> tuple[str, ...]:
    text = (files(__name__) / f"{domain}.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)
