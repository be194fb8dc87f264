"""Figure 16 of the paper: users who write in 1, 2 or 3 styles; steps to the target from scratch, from the best single model, merged.

The protocol is that of `xpert.evaluation.starts`: scratch sets the target; every start trains on the same data in the same order,
with the same optimizer and evaluations. The start is chosen before training: the single model by the `Selector`, the merge by
`Merger.plan`, also for users of one style. Where the plan is the single model at weight 1, both are the same run.

An exact merge of several adapters has the sum of their ranks, and a larger adapter learns in fewer steps by itself. So the
merge is trained a second time, compressed to the rank of the single model: what that start saves is owed to the merge alone.

Source: Wang et al., MobiSys 2025 (arXiv 2504.13938), Figure 16; the counting rule is this project's.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert.catalog import Catalog
from xpert.evaluation.experiments.tables import markdown, percent
from xpert.evaluation.starts import PATIENCE, SLACK, reached
from xpert.merger import Merger
from xpert.mergers.linear import LinearMerger
from xpert.protocols import Summarizer
from xpert.selector import Selector
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, MergePlan, TrainingReport
from xpert.zoo.corpus import STYLES, mixture

__all__ = [
    "KINDS",
    "MixedStarts",
    "MixedTrainee",
    "mean_steps",
    "mixed_starts",
    "mixed_starts_table",
    "mixed_starts_users",
    "mixed_trainee",
]

KINDS = ("scratch", "single", "merged", "compressed")
"""The starts, as `MixedStarts.steps` has them."""
_SEEDS = 910_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedTrainee:
    """A user of one or several styles, in equal parts, who is fine-tuned.

    Attributes:
        styles: Names of the styles; of each there is a model in the zoo.
        training: What to select by and to train on.
        validation: Other texts of the user, on other questions.
    """

    styles: tuple[str, ...]
    training: tuple[Example, ...]
    validation: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedStarts:
    """One user's steps to the target.

    Attributes:
        styles: The user's.
        single: The model that was selected.
        weights: The merge that was planned.
        distance_before: From the user to the nearest single model, as a fraction of the user's length.
        distance_after: To the planned merge.
        steps: Steps to the target from ``scratch``, ``single``, ``merged``, and ``compressed``, the merge at the rank of the
            single model; None: not within the bound.
        first_losses: Validation loss before the first step, by start.
        target_loss: Best validation loss of scratch x 1.01.
        stopped_by: Why scratch stopped; ``no_improvement``, as the protocol wants it.
    """

    styles: tuple[str, ...]
    single: str
    weights: Mapping[str, float]
    distance_before: float
    distance_after: float
    steps: Mapping[str, int | None]
    first_losses: Mapping[str, float]
    target_loss: float
    stopped_by: str

    def to_dict(self) -> dict[str, Any]:
        """The row for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MixedStarts:
        """The row that `to_dict` gave."""
        return cls(**{**values, "styles": tuple(values["styles"])})


def mixed_trainee(n_styles: int, seed: int, *, n_training: int = 40, n_validation: int = 20) -> MixedTrainee:
    """A user of the zoo's corpus who writes in ``n_styles`` styles that the seed draws."""
    drawn = random.Random(f"mixed trainee {n_styles} {seed}").sample(list(STYLES), n_styles)
    texts = mixture(
        [(STYLES[name], 1.0) for name in drawn],
        side="users",
        n=n_training + n_validation,
        seed=_SEEDS + 10 * seed + n_styles,
    )
    return MixedTrainee(styles=tuple(drawn), training=tuple(texts[:n_training]), validation=tuple(texts[n_training:]))


def mixed_starts(
    user: MixedTrainee,
    *,
    catalog: Catalog,
    summarizer: str | Summarizer,
    base: str,
    base_answers: Sequence[str] | None,
    out: Path,
    trainer: TorchTrainer,
    max_models: int = 3,
    rank: int | None = None,
) -> MixedStarts:
    """Select, plan and merge for a user, and count the steps from each start.

    Args:
        user: Who.
        catalog: The pool; its references are trained and merged.
        summarizer: The catalog's.
        base: Reference of the base: scratch.
        base_answers: The base's answers to the user's training prompts; None: unpaired.
        out: Folder for the models; it is emptied afterwards.
        trainer: Settings of all runs; ``max_steps`` bounds each.
        max_models: At most so many are merged.
        rank: Of the single models, to which the merge is compressed for a start of its own; None: there is none.

    Raises:
        xpert.errors.XpertError: Whatever the steps raise.
    """
    selection = Selector(catalog, summarizer).select(user.training, base_answers)
    plan = Merger(catalog, max_models=max_models, base=base).plan(selection)
    methods = {"merged": LinearMerger()} | ({} if rank is None else {"compressed": LinearMerger(rank=rank)})
    reports: dict[str, TrainingReport] = {}

    def train(kind: str, start: str | Path, settings: TorchTrainer) -> TrainingReport:
        reports[kind] = settings.fit(start, user.training, validation=user.validation, out=out / kind)
        return reports[kind]

    try:
        scratch = train("scratch", base, replace(trainer, patience=PATIENCE, target_loss=None))
        target = min(loss for _, loss in scratch.eval_losses) * SLACK
        later = replace(trainer, patience=None, target_loss=target)
        single = train("single", catalog.card(selection.best).reference, later)
        for kind, method in methods.items():
            if _is_single(plan, selection.best):
                reports[kind] = single
            else:
                train(kind, Merger(catalog, method, base=base).merge(plan, out / "start"), later)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return _row(user, selection.best, plan, reports, every=trainer.eval_every or 1)


def mean_steps(rows: Sequence[MixedStarts], n_styles: int) -> Mapping[str, float] | None:
    """By start, over the users of so many styles whose starts all met the target; None: there is no such user."""
    whole = [row for row in _of(rows, n_styles) if None not in row.steps.values()]
    kinds = whole[0].steps if whole else ()
    return {kind: fmean(row.steps[kind] or 0 for row in whole) for kind in kinds} or None


def mixed_starts_table(rows: Sequence[MixedStarts]) -> str:
    """Means by the number of styles, as Markdown, over the users whose starts all met the target; how many others is told."""
    kinds = [kind for kind in KINDS if rows and kind in rows[0].steps]
    lines: list[list[object]] = []
    for n in sorted({len(row.styles) for row in rows}):
        some = _of(rows, n)
        whole = [row for row in some if None not in row.steps.values()]
        means = mean_steps(rows, n)
        saved = [percent(1 - means[kind] / means["single"]) if means else "-" for kind in kinds[2:]]
        worse = [sum((row.steps[kind] or 0) > (row.steps["single"] or 0) for row in whole) for kind in kinds[2:]]
        told = [f"{means[kind]:.1f}" if means else "-" for kind in kinds]
        lines.append([n, f"{len(whole)} of {len(some)}", *told, *saved, *worse])
    header = ["styles", "users who got there", *kinds]
    header += [f"{kind}: saved of single's" for kind in kinds[2:]] + [f"{kind}: took longer" for kind in kinds[2:]]
    return markdown(header, lines)


def mixed_starts_users(rows: Sequence[MixedStarts]) -> str:
    """One line a user, as Markdown: the styles, the distance before and after merging, how many are merged, the steps."""
    kinds = [kind for kind in KINDS if rows and kind in rows[0].steps]
    lines: list[list[object]] = []
    for row in sorted(rows, key=lambda row: len(row.styles)):
        steps = ["-" if row.steps[kind] is None else row.steps[kind] for kind in kinds]
        told = [f"{row.distance_before:.2f}", f"{row.distance_after:.2f}", len(row.weights)]
        lines.append([", ".join(row.styles), row.single, *told, *steps])
    return markdown(["the user's styles", "selected", "distance to it", "to the merge", "models merged", *kinds], lines)


def _of(rows: Sequence[MixedStarts], n_styles: int) -> list[MixedStarts]:
    return [row for row in rows if len(row.styles) == n_styles]


def _is_single(plan: MergePlan, best: str) -> bool:
    return list(plan.weights) == [best] and abs(plan.weights[best] - 1.0) < 1e-6


def _row(
    user: MixedTrainee,
    best: str,
    plan: MergePlan,
    reports: Mapping[str, TrainingReport],
    *,
    every: int,
) -> MixedStarts:
    target = min(loss for _, loss in reports["scratch"].eval_losses) * SLACK
    return MixedStarts(
        styles=user.styles,
        single=best,
        weights=dict(plan.weights),
        distance_before=plan.distance_before,
        distance_after=plan.distance_after,
        steps={kind: reached(report, target, every)[0] for kind, report in reports.items()},
        first_losses={kind: report.eval_losses[0][1] for kind, report in reports.items()},
        target_loss=target,
        stopped_by=reports["scratch"].stopped_by,
    )
