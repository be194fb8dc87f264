"""The demo as a function: explain a pool, select for users whose data no model saw, fine-tune one of them from two starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xpert.catalog import Catalog
from xpert.embedding import open_summarizer
from xpert.evaluation.demo_users import DemoUser, MixedUser, Trainee
from xpert.evaluation.starts import ComparingTrainer, StartsReport, compare_starts
from xpert.explainer import Explainer
from xpert.merger import Merger
from xpert.meters import Meter
from xpert.modalities import load_modality
from xpert.progress import say, track
from xpert.protocols import Modality, SubvectorSource, Summarizer
from xpert.selector import Selector
from xpert.space import AXES, AxesName
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, Generation, MergePlan, Selection

__all__ = ["Choice", "DemoReport", "DemoSettings", "base_answers", "choose", "run_demo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """How the demo is run.

    Attributes:
        n_prompts: Probe prompts.
        seed: Of prompts and answers.
        generation: How base and models answer; None: as `Explainer` has it.
        trainer: Settings of both fine-tunings; patience and target are those of `xpert.evaluation.starts`.
        modality: What base and models are, with its options; None: told from the base.
        subvectors: Where words' sub-vectors come from; None: the summarizer's own way.
        n_shown: So many answers of base and models to the first prompts are kept in the report.
    """

    n_prompts: int = 50
    seed: int = 0
    generation: Generation | None = None
    trainer: ComparingTrainer = field(
        default_factory=lambda: TorchTrainer(
            max_steps=400, eval_every=1, lr=7e-4, batch_size=8, rank=8, alpha=16, target_modules="all-linear"
        )
    )
    modality: Modality | None = None
    subvectors: SubvectorSource | None = None
    n_shown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen for one user.

    Attributes:
        user: Who.
        style: The right choice.
        best: By choice of axes (``all``, ``named``, ``named+measured``), the model that was chosen; axes that the catalog
            does not have are left out.
    """

    user: str
    style: str
    best: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What the demo found.

    Attributes:
        catalog: The pool in words.
        choices: One a user.
        trainee: Style of the user who was fine-tuned.
        selection: What was selected for that user.
        mixed: Styles of the user of several styles, and the merge that was planned for that user; None: there was none.
        starts: Fine-tuning from the base and from the selected model.
        shown: ``base`` and each model to its answers to the first prompts, as many as were asked for.
        seconds: The whole demo. stage_seconds: Its stages.
        peak_mb: Peak memory of the process.
    """

    catalog: Catalog
    choices: tuple[Choice, ...]
    trainee: str
    selection: Selection
    mixed: tuple[tuple[str, ...], MergePlan] | None
    starts: StartsReport
    shown: Mapping[str, Sequence[str]]
    seconds: float
    stage_seconds: Mapping[str, float]
    peak_mb: float

    def correct(self, axes: str = "all") -> int:
        """Users for whom the model of their style was chosen by these axes."""
        return sum(choice.best.get(axes) == choice.style for choice in self.choices)

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        users = len(self.choices)
        compared = [axes for axes in AXES if self.choices and axes in self.choices[0].best]
        starts = self.starts.to_dict()
        return {
            "models": {name: _words(self.catalog[name].words) for name in self.catalog},
            "users": users,
            "correct": self.correct(),
            "accuracy": {axes: self.correct(axes) / users for axes in compared},
            "wrong": [
                {"user": choice.user, "style": choice.style, "best": choice.best["all"]}
                for choice in self.choices
                if choice.best["all"] != choice.style
            ],
            "trainee": {"style": self.trainee, "selected": self.selection.best, "matched": self.selection.matched},
            "mixed": _mixed_json(self.mixed),
            "steps_base": self.starts.steps_base,
            "steps_selected": self.starts.steps_selected,
            "target_loss": self.starts.target_loss,
            "starts": {name: value for name, value in starts.items() if not name.startswith("out_")},
            "seconds": self.seconds,
            "stage_seconds": dict(self.stage_seconds),
            "peak_mb": self.peak_mb,
        }


def run_demo(
    *,
    base: str,
    summarizer: str | Summarizer,
    models: Mapping[str, str],
    users: Sequence[DemoUser],
    trainee: Trainee,
    out: Path,
    mixed: MixedUser | None = None,
    settings: DemoSettings | None = None,
) -> DemoReport:
    """Run the whole flow.

    Args:
        base: Reference of the base model.
        summarizer: The summarizer's name, or an object (the caller's to close).
        models: Name to reference of the pool; a user's style is the name of the right one.
        users: For whom to select.
        trainee: Who is fine-tuned, from the selected model and from the base.
        out: Folder that gets ``catalog`` and the fine-tuned models in ``starts``.
        mixed: A user of several styles, for whom a merge is planned.
        settings: How.

    Raises:
        xpert.errors.XpertError: Whatever the steps raise.
    """
    settings = settings or DemoSettings()
    stages: dict[str, float] = {}
    with Meter() as whole:
        say(f"Explaining {len(models)} models of {base} ...")
        with Meter() as meter:
            catalog = _explain(base, summarizer, models, settings)
            catalog.save_pretrained(out / "catalog")
            shown = _shown(catalog, base, models, settings.n_shown)
        stages["explain"] = meter.seconds
        say(f"Selecting for {len(users)} users whose data no model saw ...")
        with Meter() as meter:
            texts = [user.examples for user in (*users, mixed) if user] + [trainee.training]
            answers = base_answers(catalog, base, texts)
            with open_summarizer(summarizer) as loaded:
                choices = tuple(
                    choose(catalog, loaded, user, answers) for user in track(users, "Selecting", unit="user")
                )
                selection = _select(catalog, loaded, trainee.training, answers)
                planned = mixed and _planned(catalog, loaded, mixed, answers)
        stages["select"] = meter.seconds
        say(f"Fine-tuning a user of style {trainee.style} from the base and from {selection.best} ...")
        with Meter() as meter:
            start, data = models[selection.best], (trainee.training, trainee.validation)
            starts = compare_starts(base, start, *data, out=out / "starts", trainer=settings.trainer)
        stages["train"] = meter.seconds
    return DemoReport(
        catalog=catalog,
        choices=choices,
        trainee=trainee.style,
        selection=selection,
        mixed=planned,
        starts=starts,
        shown=shown,
        seconds=whole.seconds,
        stage_seconds=stages,
        peak_mb=whole.peak_mb,
    )


def base_answers(catalog: Catalog, base: str, groups: Iterable[Sequence[Example]]) -> dict[str, str]:
    """The base's answers to all prompts of all examples, each prompt asked once and all of them together."""
    prompts = dict.fromkeys(example.prompt for examples in groups for example in examples if example.prompt)
    modality = load_modality(catalog.provenance.modality, catalog.provenance.settings)
    with modality.open(base) as prober:
        answers = prober.answer(None, list(prompts), catalog.provenance.generation)
    return dict(zip(prompts, answers, strict=True))


def choose(catalog: Catalog, summarizer: Summarizer, user: DemoUser, answers: Mapping[str, str]) -> Choice:
    """Select for a user by every choice of axes that the catalog has; the text is summarized once."""
    place = Selector(catalog, summarizer).locate(user.examples, _paired(user.examples, answers))
    kinds = {axis.kind for axis in catalog.basis.axes}
    choices: list[AxesName] = [axes for axes in AXES if axes == "all" or "word" in kinds]
    best = {axes: Selector(catalog, summarizer, axes=axes).rank(place).best for axes in choices}
    return Choice(user=user.name, style=user.style, best=best)


def _explain(base: str, summarizer: str | Summarizer, models: Mapping[str, str], settings: DemoSettings) -> Catalog:
    explainer = Explainer(
        base,
        summarizer,
        n_prompts=settings.n_prompts,
        seed=settings.seed,
        generation=settings.generation,
        modality=settings.modality,
        subvectors=settings.subvectors,
    )
    return explainer.explain(models)


def _shown(catalog: Catalog, base: str, models: Mapping[str, str], n: int) -> Mapping[str, Sequence[str]]:
    """Answers of base and models to the first ``n`` probe prompts, for people to look at."""
    if not n:
        return {}
    first = catalog.base_answers[:n]
    prompts = [example.prompt or "" for example in first]
    made = catalog.provenance
    with load_modality(made.modality, made.settings).open(base) as prober:
        answers = {name: prober.answer(reference, prompts, made.generation) for name, reference in models.items()}
    return {"base": [example.response for example in first], **answers}


def _select(
    catalog: Catalog, summarizer: Summarizer, examples: Sequence[Example], answers: Mapping[str, str]
) -> Selection:
    return Selector(catalog, summarizer).select(examples, _paired(examples, answers))


def _planned(
    catalog: Catalog, summarizer: Summarizer, mixed: MixedUser, answers: Mapping[str, str]
) -> tuple[tuple[str, ...], MergePlan]:
    return mixed.styles, Merger(catalog).plan(_select(catalog, summarizer, mixed.examples, answers))


def _paired(examples: Sequence[Example], answers: Mapping[str, str]) -> list[str]:
    return [answers[example.prompt or ""] for example in examples]


def _words(words: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"word": word, "value": float(value)} for word, value in words]


def _mixed_json(mixed: tuple[tuple[str, ...], MergePlan] | None) -> dict[str, Any] | None:
    if mixed is None:
        return None
    styles, plan = mixed
    distances = {"distance_before": plan.distance_before, "distance_after": plan.distance_after}
    return {"styles": list(styles), "weights": dict(plan.weights), **distances}
