"""Optuna (extra ``eval``), quiet: its messages, and its warnings that a sampler is experimental, stay inside."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from xpert.errors import MissingDependencyError

__all__ = ["STUDY", "check_optuna", "optuna_quiet"]

STUDY = "xpert"
"""The name of every study. Optuna's Hyperband draws a trial's bracket from the study's name: another name is another result."""


def check_optuna(feature: str) -> None:
    """Check that it is there, before models are loaded.

    Raises:
        xpert.errors.MissingDependencyError: It is not.
    """
    if find_spec("optuna") is None:
        raise MissingDependencyError.of("optuna", "eval", feature)


@contextmanager
def optuna_quiet() -> Iterator[Any]:
    """The module ``optuna``, silent within; its level of messages is as before afterwards."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(level)
