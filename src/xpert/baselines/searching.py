"""What a search of a pool by losses does, counted: who was looked into, with how many samples, at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from xpert.baselines.pool import Losses, OpenPool, SearchedPool
from xpert.baselines.ranked import ranked
from xpert.energy import estimated, profile
from xpert.errors import SettingsError
from xpert.meters import Meter
from xpert.types import Array, CostedSelection, Energy, Example, SelectionCost

__all__ = ["Search", "check_budget", "check_phone", "energy_of", "searched", "told"]


@dataclass(slots=True, kw_only=True)
class Search:
    """A search that goes on.

    Attributes:
        opened: The pool.
        inferences: Samples x models so far.
        losses: Mean loss of each model that saw all samples.
        stopped: Model to samples and mean loss, of those that were stopped early.
    """

    opened: OpenPool
    inferences: int = 0
    losses: dict[str, float] = field(default_factory=dict[str, float])
    stopped: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    @contextmanager
    def scoring(self, name: str) -> Iterator[Losses]:
        """A model's losses, each counted as an inference."""
        with self.opened.scoring(name) as losses:

            def counted(examples: Sequence[Example]) -> Array:
                self.inferences += len(examples)
                return losses(examples)

            yield counted

    def whole(self, name: str, examples: Sequence[Example]) -> float:
        """A model's mean loss over all samples, remembered."""
        with self.scoring(name) as losses:
            self.losses[name] = float(losses(examples).mean())
        return self.losses[name]

    @property
    def tried(self) -> list[str]:
        """Models that were looked into."""
        return [*self.losses, *self.stopped]

    def ranking(self, names: Sequence[str]) -> list[tuple[str, float]]:
        """Who saw all samples, by loss; who was stopped, the later the better; who was never tried, last.

        A loss over fewer samples is not comparable: those further down have at least the loss of whoever stands above them.
        """
        found = sorted(self.losses.items(), key=lambda item: item[1])
        for name, (_, loss) in sorted(self.stopped.items(), key=lambda item: (-item[1][0], item[1][1])):
            found.append((name, max(loss, found[-1][1])))
        return found + [(name, found[-1][1]) for name in names if name not in self.losses and name not in self.stopped]


@contextmanager
def searched(pool: SearchedPool) -> Iterator[tuple[Search, Meter]]:
    """A search of a pool, metered from when its base is in memory."""
    with pool.open() as opened, Meter() as meter:
        yield Search(opened=opened), meter


def told(
    search: Search, meter: Meter, pool: SearchedPool, *, n_samples: int, phone: str | None, how: str
) -> CostedSelection:
    """The outcome of a finished search."""
    selection = ranked(search.ranking(pool.names), n_samples)
    best, loss = selection.ranking[0]
    why = [f"{best} has the lowest loss on the data, {loss:.3f} nats a token, {how}."]
    full = sorted(search.losses.items(), key=lambda item: item[1])
    if len(full) > 1:
        why.append(f"The next, {full[1][0]}, has {full[1][1]:.3f}.")
    cost = SelectionCost(
        downloaded_bytes=sum(pool.bytes_of(name) for name in search.tried),
        models=len(search.tried),
        inferences=search.inferences,
        readings=0,
        seconds=meter.seconds,
        energy=energy_of(meter, phone),
    )
    return CostedSelection(selection=selection, cost=cost, why=tuple(why))


def energy_of(meter: Meter, phone: str | None) -> tuple[Energy, ...]:
    """What the machine's counters measured, and what a phone would take by its power where one is named.

    Raises:
        xpert.errors.SettingsError: There is no profile of that name.
    """
    return meter.energy if phone is None else (*meter.energy, estimated(meter.seconds, phone))


def check_phone(phone: str | None) -> None:
    """Refuse an unknown phone before the work.

    Raises:
        xpert.errors.SettingsError: There is no profile of that name.
    """
    if phone is not None:
        profile(phone)


def check_budget(budget: int | None, pool: SearchedPool) -> int:
    """How many models may be looked into; None: all.

    Raises:
        xpert.errors.SettingsError: Fewer than one, or more than there are.
    """
    n = len(pool.names)
    if budget is not None and not 1 <= budget <= n:
        raise SettingsError(f"budget: expected 1 to {n}, the models of the pool, got {budget}")
    return budget or n
