"""A pool of models that a device searches by their losses on its own data: one base in memory, models put on it one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from xpert.errors import IncompatibleModelError, SettingsError
from xpert.protocols import ScoringProber
from xpert.references import describe
from xpert.registry import MODALITIES
from xpert.types import Array, Example

__all__ = ["Losses", "ModelPool", "OpenPool", "SearchedPool"]

Losses: TypeAlias = Callable[[Sequence[Example]], Array]
"""Examples to ``(N,)``: the mean loss of each, in nats a token."""


class OpenPool(Protocol):
    """A pool whose base is in memory."""

    def scoring(self, name: str) -> AbstractContextManager[Losses]:
        """Hold a model of the pool: its losses are there within the context."""
        ...


class SearchedPool(Protocol):
    """What the searching baselines need of a pool; `ModelPool` is one."""

    @property
    def names(self) -> Sequence[str]:
        """The models."""
        ...

    def bytes_of(self, name: str) -> int:
        """What a device downloads to have a model."""
        ...

    def open(self) -> AbstractContextManager[OpenPool]:
        """Load the base; it is gone when the context is left."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPool:
    """Models of one base, by reference.

    Attributes:
        base: Reference of the base.
        models: Name to reference: adapters, which are put on the base in memory one after another, or full models.
        modality: Registered name of what they are; its prober must tell losses (`xpert.protocols.ScoringProber`).
        device: Where weights go; None: a CUDA device if there is one, else the CPU.
        dtype: The models' number type; None: float32 on the CPU.

    Raises:
        xpert.errors.SettingsError: There are no models.
    """

    base: str
    models: Mapping[str, str]
    modality: str = "text"
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise SettingsError("models: expected at least one, got none")

    @property
    def names(self) -> Sequence[str]:
        """The models, in their order."""
        return list(self.models)

    def bytes_of(self, name: str) -> int:
        """What a device downloads to have a model."""
        return describe(self.models[name]).bytes

    @contextmanager
    def open(self) -> Iterator[OpenPool]:
        """Load the base.

        Raises:
            xpert.errors.IncompatibleModelError: The base's kind of model has no losses.
            xpert.errors.XpertError: Whatever loading raises.
        """
        with MODALITIES.get(self.modality)().open(self.base, device=self.device, dtype=self.dtype) as prober:
            if not isinstance(prober, ScoringProber):
                raise IncompatibleModelError(
                    f"base {self.base!r} of modality {self.modality!r} tells no losses: expected a causal LM with weights"
                )
            yield _Open(prober=prober, models=self.models)

    @contextmanager
    def held(self) -> Iterator[SearchedPool]:
        """The pool with its base in memory from now on, for several searches: to open it again loads nothing."""
        with self.open() as opened:
            yield _Held(pool=self, opened=opened)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    prober: ScoringProber
    models: Mapping[str, str]

    def scoring(self, name: str) -> AbstractContextManager[Losses]:
        return self.prober.scoring(self.models[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    pool: ModelPool
    opened: OpenPool

    @property
    def names(self) -> Sequence[str]:
        return self.pool.names

    def bytes_of(self, name: str) -> int:
        return self.pool.bytes_of(name)

    @contextmanager
    def open(self) -> Iterator[OpenPool]:
        yield self.opened
