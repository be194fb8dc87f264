"""FT-time: steps and seconds of fine-tuning, from the base and from the selected model, at each similarity (the paper's Tables).

The similarity ``s`` of a pool is the share of its models' training texts that are in their style. For each pool each user's model is
selected by the user's training texts alone, right or wrong, and trained up to the loss that training from scratch reaches, as
`xpert.evaluation.starts` counts it: scratch is trained once a user, and what is done in the work folder is not repeated.

Both backends of training take part: `xpert.TorchTrainer` from the models themselves, `xpert.OnnxTrainer` from what `exported_starts`
made of the same models.

Source: Wang et al. 2025 (arXiv 2504.13938), section 7.1: FT-time against similarity; the counting is this project's.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xpert.artifacts.header import kind_of_artifacts
from xpert.evaluation.demo import base_answers
from xpert.evaluation.demo_users import Trainee
from xpert.evaluation.experiments.tables import markdown, percent
from xpert.evaluation.starts import ComparingTrainer, StartsReport, compare_starts
from xpert.explainer import Explainer
from xpert.protocols import Summarizer
from xpert.selector import Selector
from xpert.trainers.export import OnnxExporter

__all__ = [
    "FtRow",
    "SimilarityRow",
    "by_similarity",
    "exported_starts",
    "ft_times",
    "select_starts",
    "to_table",
]


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
        met_at_start: Whether the selected model met the target before its first step, which counts as one evaluation interval.
        scratch_stopped_by: ``no_improvement``, as the protocol wants it, or ``max_steps``: then it was cut short.
    """

    similarity: int
    style: str
    selected: str
    steps_base: int
    seconds_base: float
    steps_selected: int | None
    seconds_selected: float
    max_steps: int
    met_at_start: bool
    scratch_stopped_by: str

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


def exported_starts(
    base: str,
    pools: Mapping[int, Mapping[str, str]],
    chosen: Mapping[int, Mapping[str, str]],
    *,
    exporter: OnnxExporter,
    out: Path,
) -> tuple[str, dict[int, dict[str, str]]]:
    """Base and pools as training artifacts, which `xpert.OnnxTrainer` begins from: each model that was selected, exported once.

    Args:
        base: Reference of the base; ``exporter`` gives it a new adapter.
        pools: By similarity, name to reference of the models.
        chosen: By similarity and style, what was selected (`select_starts`).
        exporter: How; rank, alpha and modules as the trainer of the other backend has them.
        out: Folder that gets ``base`` and ``<similarity>/<name>``; what is there is not exported again.

    Raises:
        xpert.errors.XpertError: Whatever exporting raises.
    """

    def export(start: str, folder: Path) -> str:
        if kind_of_artifacts(folder) is None:  # it appears whole
            exporter.export(start, folder)
        return str(folder)

    selected = {similarity: sorted(set(names.values())) for similarity, names in chosen.items()}
    exported = {
        similarity: {name: export(models[name], out / f"{similarity}" / name) for name in selected[similarity]}
        for similarity, models in pools.items()
    }
    return export(base, out / "base"), exported


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
        met_at_start=report.met_at_start,
        scratch_stopped_by=report.scratch_stopped_by,
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


def to_table(backends: Mapping[str, Sequence[SimilarityRow]]) -> str:
    """A start and a backend a row, as Markdown; steps and seconds also as shares of the backend's own scratch.

    Args:
        backends: Name to `by_similarity` of its rows, all for the same similarities.
    """
    header = ["start", "backend", "right model", "reached", "steps (mean)", "steps / scratch (median)"]
    header += ["FT-time (mean, s)", "FT-time / scratch"]
    cells: list[list[object]] = []
    for rows in zip(*backends.values(), strict=True):
        for name, row in zip(backends, rows, strict=True):
            whole = backends[name][0].seconds
            cells.append([*_told(row, name), f"{row.seconds:.1f}", percent(row.seconds / whole)])
    return markdown(header, cells)


def _told(row: SimilarityRow, backend: str) -> list[object]:
    from_base = row.similarity is None
    return [
        "the base" if from_base else f"selected, s = {row.similarity}",
        backend,
        "-" if from_base else f"{row.right} of {row.users}",
        f"{row.reached} of {row.users}",
        f"{row.steps:.0f}",
        percent(row.step_ratio),
    ]
