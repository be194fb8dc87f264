"""Pools of the zoo that are trained at a similarity, users who write in more or less known phrases, and which model each of them gets."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xpert.baselines.exhaustive import ExhaustiveBaseline
from xpert.baselines.pool import ModelPool
from xpert.evaluation.bootstrap import estimate, paired_difference
from xpert.evaluation.cast import BASE, zoo_user
from xpert.evaluation.demo_users import DemoUser, Trainee, zoo_trainee
from xpert.evaluation.experiments.tables import AXES_TOLD
from xpert.evaluation.keeping import kept
from xpert.evaluation.presets import N_TRAINING, N_VALIDATION, PROBED_AT
from xpert.evaluation.suite.context import Context, selectors_of
from xpert.evaluation.suite.weights import weights_of
from xpert.evaluation.suite.workers import in_workers, kept_cells
from xpert.explainer import Explainer
from xpert.progress import say, track
from xpert.references import describe
from xpert.selector import Selector
from xpert.space import AxesName
from xpert.types import Example, Generation
from xpert.zoo import pool_names
from xpert.zoo.making.base import BASES
from xpert.zoo.making.pools import PoolSettings, make_pool

__all__ = [
    "ALL",
    "EXHAUSTIVE",
    "LLAMA",
    "by_base_weights",
    "other_bases",
    "other_style",
    "pool_mark",
    "pool_weights",
    "rights_by_base",
    "selected_from",
    "selecting_users",
    "selections",
    "summarized",
    "trained_pool",
    "trainee_folder",
    "trainees",
]

EXHAUSTIVE = "exhaustive search"
LLAMA = "llama"
"""What the zoo's base is like, of `xpert.zoo.making.base.BASES`."""

_FIRST_USER = 50
"""Seed of the first user who is fine-tuned: none of the demo's, whose settings were chosen with users of lower seeds."""
ALL = AXES_TOLD["all"]


def other_bases(work: Path) -> tuple[dict[str, str], list[str]]:
    """Name to reference of the bases beside the zoo's that there are, and the names of those that there are not.

    Args:
        work: They may lie in ``zoo/base-NAME`` of it (``scripts/make_zoo.py base --like NAME --out``).
    """
    folders = {name: work / "zoo" / f"base-{name}" for name in BASES if name != LLAMA}
    found = {name: str(folder) for name, folder in folders.items() if (folder / "config.json").is_file()}
    return found, [name for name in folders if name not in found]


def trained_pool(context: Context, similarity: int, like: str = LLAMA) -> dict[str, str]:
    """Style to reference: shipped where it is, else trained into the work folder, a model a cell in the context's workers.

    Args:
        context: Of the run.
        similarity: Percent of the training texts in the style.
        like: Of which base: the zoo's, or one of `other_bases`.
    """
    base = BASE if like == LLAMA else other_bases(context.work)[0][like]
    shipped = {name.partition("@")[0]: f"zoo:{name}" for name in pool_names(similarity)} if like == LLAMA else {}
    of_base = "" if like == LLAMA else f"{like}-{describe(base).sha256[:8]}-"
    folder = context.work / "pools" / f"{of_base}{similarity}"
    own = {style: folder / style for style in context.preset.styles if style not in shipped}
    if missing := [style for style, model in own.items() if not (model / "adapter_config.json").is_file()]:
        say(f"{like}, s = {similarity}: {len(missing)} of {len(context.preset.styles)} models are trained")
        in_workers(context, _train, [(base, folder, similarity, style) for style in missing], unit="model")
    return {style: shipped.get(style, str(folder / style)) for style in context.preset.styles}


def _train(_context: Context, base: str, folder: Path, similarity: int, style: str) -> None:
    """One model of a pool."""
    make_pool(base, folder, PoolSettings(similarity=similarity / 100), styles=[style])


def pool_mark(context: Context, similarity: int) -> str:
    """Eight hex digits for file names: of the base, the pool's models, and how many texts a word's sub-vector is made from."""
    models = {style: describe(model).sha256 for style, model in trained_pool(context, similarity).items()}
    told = json.dumps([describe(BASE).sha256, models, context.preset.styled_texts])
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def pool_weights(context: Context) -> dict[str, str]:
    """Who computed: base, the models of all similarities, and the summarizer."""
    return _weights(context, context.preset.similarities, [])


def by_base_weights(context: Context) -> dict[str, str]:
    """The same of `rights_by_base`, and the other bases."""
    return _weights(context, context.preset.by_base, list(other_bases(context.work)[0].values()))


def _weights(context: Context, similarities: Sequence[int], others: Sequence[str]) -> dict[str, str]:
    models = [model for s in sorted(similarities) for model in trained_pool(context, s).values()]
    return weights_of(base=BASE, models=models, summarizers=[context.setting.summarizer], others=others)


def trainees(context: Context, known_phrases: int) -> list[Trainee]:
    """One user of each of so many styles, evenly spread over the preset's; those of another percentage ask the same questions."""
    styles, n = context.preset.styles, context.preset.trainees
    return [
        zoo_trainee(
            style=styles[i * len(styles) // n],
            n_training=N_TRAINING,
            n_validation=N_VALIDATION,
            seed=_FIRST_USER + 100 * context.seed + i,
            known_phrases=known_phrases,
        )
        for i in range(n)
    ]


def trainee_folder(context: Context, trainee: Trainee) -> Path:
    """Where a user's trainings lie: by all of the user's texts, for who the user of a style is depends on how many there are."""
    texts = [(one.prompt, one.response) for one in (*trainee.training, *trainee.validation)]
    mark = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:8]
    kind = (
        f"{context.preset.training_steps}-{context.seed}-known-{trainee.known_phrases}-{mark}{context.setting.suffix}"
    )
    return context.work / "starts" / f"{trainee.style}-{kind}"


def other_style(context: Context, trainee: Trainee) -> str:
    """The name of a model that is not of the user's style, drawn by the seed."""
    others = [style for style in context.preset.styles if style != trainee.style]
    return random.Random(f"other than {trainee.style}, {context.seed}").choice(others)


def selections(context: Context, similarities: Sequence[int] | None = None) -> dict[tuple[int, int], dict[str, Any]]:
    """`selected_from` of every percentage of known phrases and these similarities (None: the preset's), in the context's workers."""
    preset = context.preset
    asked = sorted(preset.similarities if similarities is None else similarities)
    places = [(known, similarity) for known in preset.known_phrases for similarity in asked]
    files = {place: _place(context, *place) for place in places}

    def prepare(waiting: Sequence[tuple[Any, ...]]) -> None:
        for known in {known for known, _ in waiting}:
            asking = [
                DemoUser(name=one.style, style=one.style, examples=one.training) for one in trainees(context, known)
            ]
            context.said_by_base([*selecting_users(context, known), *asking], BASE, _generation(context))

    return dict(zip(places, kept_cells(context, _selected_from, files, prepare=prepare), strict=True))


def rights_by_base(context: Context) -> list[dict[str, Any]]:
    """Of the bases beside the zoo's that are there: whether each user got the right model, by known phrases and similarity; kept in files.

    Returns:
        ``base``, ``known_phrases``, ``similarity`` and ``right`` (as `selected_from` has it).
    """
    preset, (bases, _) = context.preset, other_bases(context.work)
    places = [(name, similarity) for name in bases for similarity in sorted(preset.by_base)]
    files = {
        (name, similarity): _file(
            context, name, similarity, *preset.known_phrases, preset.styled_texts, describe(bases[name]).sha256[:8]
        )
        for name, similarity in places
    }

    def prepare(waiting: Sequence[tuple[Any, ...]]) -> None:
        for name, similarity in waiting:
            trained_pool(context, similarity, name)
        for name in dict.fromkeys(name for name, _ in waiting):
            for known in preset.known_phrases:
                context.said_by_base(selecting_users(context, known), bases[name], _generation(context))

    found = dict(zip(places, kept_cells(context, _rights, files, prepare=prepare), strict=True))
    return [
        {"base": name, "known_phrases": known, "similarity": similarity, "right": found[name, similarity][str(known)]}
        for known in preset.known_phrases
        for name, similarity in places
    ]


def _rights(context: Context, like: str, similarity: int) -> dict[str, dict[str, list[bool]]]:
    """By percent of known phrases."""
    base = other_bases(context.work)[0][like]
    models = trained_pool(context, similarity, like)
    selectors = _selectors(context, base, models)
    return {
        str(known): _right(context, base, models, selectors, similarity=similarity, known_phrases=known)
        for known in context.preset.known_phrases
    }


def selected_from(context: Context, known_phrases: int, similarity: int) -> dict[str, Any]:
    """Whether each user got the right model, and which one each trainee gets; kept in a file.

    Returns:
        ``right``, by axes or ``exhaustive search`` user after user, the latter of the first users alone; and ``trainees``, style to name of
        the model.
    """
    file = _place(context, known_phrases, similarity)
    found: dict[str, Any] = kept(file, lambda: _selected_from(context, known_phrases, similarity))
    return found


def _place(context: Context, known_phrases: int, similarity: int) -> Path:
    return _file(context, similarity, known_phrases, pool_mark(context, similarity))


def _file(context: Context, *place: object) -> Path:
    preset = context.preset
    sizes = (preset.draws, preset.users_a_style, preset.searching_users, preset.trainees, context.seed)
    *first, mark = place
    key = "-".join(map(str, (*first, *sizes, f"t{PROBED_AT}", mark)))
    return context.work / "trained-pools" / f"{key}{context.setting.suffix}.json"


def _selected_from(context: Context, known_phrases: int, similarity: int) -> dict[str, Any]:
    models = trained_pool(context, similarity)
    selectors = _selectors(context, BASE, models)
    return {
        "right": _right(context, BASE, models, selectors, similarity=similarity, known_phrases=known_phrases),
        "trainees": {
            one.style: selectors["all"].select(one.training, _base_answers(context, one.style, one.training)).best
            for one in trainees(context, known_phrases)
        },
    }


def _selectors(context: Context, base: str, models: Mapping[str, str]) -> dict[AxesName, Selector]:
    """By choice of axes; the models explained by sampled answers to the questions that come with the base."""
    catalog = Explainer(
        base,
        context.summarizer,
        n_prompts=50,
        seed=context.seed,
        generation=_generation(context),
        cache=context.cache,
        subvectors=context.subvectors,
    ).explain(models)
    return selectors_of(catalog, context.summarizer)


def _right(
    context: Context,
    base: str,
    models: Mapping[str, str],
    selectors: Mapping[AxesName, Selector],
    *,
    similarity: int,
    known_phrases: int,
) -> dict[str, list[bool]]:
    users = selecting_users(context, known_phrases)
    right: dict[str, list[bool]] = {}
    for user in users:
        place = selectors["all"].locate(user.examples, _base_answers(context, user.style, user.examples, base))
        for axes, selector in selectors.items():
            right.setdefault(AXES_TOLD[axes], []).append(selector.rank(place).best == user.style)
    told = f"{Path(base).name}, s = {similarity}, {known_phrases}% known phrases"
    say(f"{told}: {sum(right[ALL])} of {len(users)} right by all axes")
    searching = users[: context.preset.searching_users * len(context.preset.styles)]
    with ModelPool(base=base, models=models).held() as pool:
        for user in track(searching, f"{told}: {EXHAUSTIVE}", unit="user"):
            found = ExhaustiveBaseline(pool).select(user.examples)
            right.setdefault(EXHAUSTIVE, []).append(found.best == user.style)
    return right


def summarized(known_phrases: int, similarity: int, right: Mapping[str, Sequence[bool]]) -> dict[str, Any]:
    """Shares of users who got the right model, and by how much xpert's is above exhaustive search's on the same users."""
    values = {name: [float(one) for one in of_users] for name, of_users in right.items()}
    searched = values[EXHAUSTIVE]
    return {
        "known_phrases": known_phrases,
        "similarity": similarity,
        "right": {name: asdict(estimate(own)) for name, own in values.items()},
        "less_exhaustive": asdict(paired_difference(values[ALL][: len(searched)], searched)),
    }


def _generation(context: Context) -> Generation:
    """How models answer the probes, and the base the users' prompts, as `xpert select --base` lets it."""
    return Generation(temperature=PROBED_AT, seed=context.seed)


def _base_answers(context: Context, style: str, examples: Sequence[Example], base: str = BASE) -> list[str]:
    user = DemoUser(name=style, style=style, examples=tuple(examples))
    said = context.said_by_base([user], base, _generation(context))
    return [said[str(one.prompt)] for one in examples]


def selecting_users(context: Context, known_phrases: int) -> list[DemoUser]:
    """Who is selected for: a user of each style, then the next of each."""
    n = context.preset.draws * context.preset.users_a_style
    seeds = [100 * (context.seed + 1) + k for k in range(n)]
    return [zoo_user(style, seed, known_phrases=known_phrases) for seed in seeds for style in context.preset.styles]
