"""FT-time: steps and seconds of fine-tuning, from the base and from the selected model, at each similarity (the paper's Tables).

The similarity ``s`` of a pool is the share of its models' training texts that are in their style. For each pool each user's model is
selected by the user's training texts alone, right or wrong, and trained up to the loss that training from scratch reaches, as
`xpert.evaluation.starts` counts it: scratch is trained once a user, and what is done in the work folder is not repeated.

Source: Wang et al. 2025 (arXiv 2504.13938), section 7.1: FT-time against similarity; the counting is this project's.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xpert.evaluation.demo import base_answers
from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.experiments.tables import markdown, percent
from xpert.evaluation.starts import ComparingTrainer, StartsReport, compare_starts
from xpert.explainer import Explainer
from xpert.protocols import Summarizer
from xpert.selector import Selector

__all__ = ["FtRow", "SimilarityRow", "by_similarity", "ft_times", "select_starts", "to_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FtRow:
    """One user at one similarity.

    Attributes:
        similarity: Of the pool, in percent.
        style: The user's.
        selected: The model that was selected.
        steps_base, seconds_base: Training from scratch up to the target.
        steps_selected: The same from the selected model; None: never, within ``max_steps``.
        seconds_selected: The same; of the whole run where it never got there.
        max_steps: Steps at most.
    """

    similarity: int
    style: str
    selected: str
    steps_base: int
    seconds_base: float
    steps_selected: int | None
    seconds_selected: float
    max_steps: int

    @property
    def right(self) -> bool:
        """Whether the selected model is the one of the user's style."""
        return self.selected == self.style

    @property
    def steps_counted(self) -> int:
        """Steps from the selected model; all that were allowed where it never got there, so a lower bound then."""
        return self.max_steps if self.steps_selected is None else self.steps_selected


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityRow:
    """All users at one similarity; means over users.

    Attributes:
        similarity: Of the pool, in percent; None: training from scratch.
        users: How many.
        right: For how many the model of their style was selected.
        reached: How many got to the target.
        steps, seconds: Up to there (`FtRow.steps_counted` where not).
        step_ratio: Median over users of steps from the selected model by steps from scratch.
    """

    similarity: int | None
    users: int
    right: int
    reached: int
    steps: float
    seconds: float
    step_ratio: float


def select_starts(
    pools: Mapping[int, Mapping[str, str]],
    users: Sequence[Trainee],
    *,
    base: str,
    summarizer: str | Summarizer,
    cache: str | Path | None = None,
) -> dict[int, dict[str, str]]:
    """By similarity and user's style, the name of the model that is selected.

    Args:
        pools: By similarity, name to reference of the models.
        users: Whose training texts are looked at.
        base: Reference of the base.
        summarizer: Who explains.
        cache: Folder that keeps the pools' answers and embeddings; None: nowhere.

    Raises:
        xpert.errors.XpertError: Whatever explaining and selecting raise.
    """
    found: dict[int, dict[str, str]] = {}
    for similarity, models in pools.items():
        catalog = Explainer(base, summarizer, cache=cache).explain(models)
        said = base_answers(catalog, base, [user.training for user in users])
        selector = Selector(catalog, summarizer)
        found[similarity] = {
            user.style: selector.select(user.training, [said[example.prompt or ""] for example in user.training]).best
            for user in users
        }
    return found


def ft_times(
    base: str,
    pools: Mapping[int, Mapping[str, str]],
    users: Sequence[Trainee],
    chosen: Mapping[int, Mapping[str, str]],
    *,
    work: Path,
    trainer: ComparingTrainer,
) -> Iterator[FtRow]:
    """Each user at each similarity, as soon as it is known.

    Args:
        base: Reference of the base.
        pools: By similarity, name to reference of the models.
        users: Who trains, and validates on texts that no model has seen.
        chosen: By similarity and style, what was selected (`select_starts`).
        work: Folder that keeps what is done.
        trainer: Settings of all runs.

    Raises:
        xpert.errors.XpertError: Whatever training raises.
    """
    for user in users:
        for similarity, models in pools.items():
            name = chosen[similarity][user.style]
            report = compare_starts(
                base,
                models[name],
                user.training,
                user.validation,
                out=work / user.style,
                trainer=trainer,
                resume=True,
                name=f"from-{similarity}",
            )
            yield _row(report, similarity, user.style, name, trainer.max_steps or 1000)


def _row(report: StartsReport, similarity: int, style: str, name: str, max_steps: int) -> FtRow:
    return FtRow(
        similarity=similarity,
        style=style,
        selected=name,
        steps_base=report.steps_base,
        seconds_base=report.seconds_base,
        steps_selected=report.steps_selected,
        seconds_selected=report.seconds_selected,
        max_steps=max_steps,
    )


def by_similarity(rows: Sequence[FtRow]) -> list[SimilarityRow]:
    """Scratch first, then each similarity in rising order.

    Scratch is counted once a user, whatever the number of similarities.
    """
    scratch = {row.style: row for row in rows}
    n = len(scratch)
    first = SimilarityRow(
        similarity=None,
        users=n,
        right=0,
        reached=n,
        steps=statistics.fmean(row.steps_base for row in scratch.values()),
        seconds=statistics.fmean(row.seconds_base for row in scratch.values()),
        step_ratio=1.0,
    )
    found = [first]
    for similarity in sorted({row.similarity for row in rows}):
        own = [row for row in rows if row.similarity == similarity]
        found.append(
            SimilarityRow(
                similarity=similarity,
                users=len(own),
                right=sum(row.right for row in own),
                reached=sum(row.steps_selected is not None for row in own),
                steps=statistics.fmean(row.steps_counted for row in own),
                seconds=statistics.fmean(row.seconds_selected for row in own),
                step_ratio=statistics.median(row.steps_counted / row.steps_base for row in own),
            )
        )
    return found


def to_table(rows: Sequence[SimilarityRow]) -> str:
    """A similarity a row; seconds as a share of scratch's."""
    header = ["start", "right model", "reached", "steps (mean)", "steps / scratch (median)", "FT-time / scratch"]
    whole = rows[0].seconds
    cells = [
        [
            "the base" if row.similarity is None else f"selected, s = {row.similarity}",
            "-" if row.similarity is None else f"{row.right} of {row.users}",
            f"{row.reached} of {row.users}",
            f"{row.steps:.0f}",
            percent(row.step_ratio),
            percent(row.seconds / whole),
        ]
        for row in rows
    ]
    return markdown(header, cells)
