"""Pools of the zoo that are trained at a similarity, users who write in more or less known phrases, and which model each of them gets."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xpert.baselines.exhaustive import ExhaustiveBaseline
from xpert.baselines.pool import ModelPool
from xpert.evaluation.cast import BASE, zoo_user
from xpert.evaluation.demo_users import DemoUser, Trainee, zoo_trainee
from xpert.evaluation.keeping import kept
from xpert.evaluation.suite.context import Context
from xpert.evaluation.suite.workers import kept_cells
from xpert.explainer import Explainer
from xpert.progress import say, track
from xpert.references import describe
from xpert.selector import Selector
from xpert.space import AXES, AxesName
from xpert.types import Example, Generation
from xpert.zoo import pool_names
from xpert.zoo.making.pools import PoolSettings, make_pool

__all__ = [
    "ALL",
    "EXHAUSTIVE",
    "other_style",
    "pool_mark",
    "selected_from",
    "selecting_users",
    "selections",
    "trained_pool",
    "trainee_folder",
    "trainees",
]

EXHAUSTIVE = "exhaustive search"
N_TRAINING, N_VALIDATION = 40, 20
"""Texts of a user who is fine-tuned."""

_TEMPERATURE = 1.0
"""At which models and base answer the probes: greedy answers of a model of half a style show the likelier half alone (`benchmarks/sampled_probes`)."""

_FIRST_USER = 50
"""Seed of the first user who is fine-tuned: none of the demo's, whose settings were chosen with users of lower seeds."""
_NAMES: Mapping[AxesName, str] = {
    "all": "all axes",
    "named": "words alone",
    "named+measured": "words and measured quantities",
}
ALL = _NAMES["all"]


def trained_pool(context: Context, similarity: int) -> dict[str, str]:
    """Style to reference: shipped where it is, else trained into the work folder."""
    shipped = {name.partition("@")[0]: f"zoo:{name}" for name in pool_names(similarity)}
    folder = context.work / "pools" / str(similarity)
    own = {style: folder / style for style in context.preset.styles if style not in shipped}
    if missing := [style for style, model in own.items() if not (model / "adapter_config.json").is_file()]:
        say(f"s = {similarity}: {len(missing)} of {len(context.preset.styles)} models are trained")
        make_pool(BASE, folder, PoolSettings(similarity=similarity / 100), styles=missing)
    return {style: shipped.get(style, str(folder / style)) for style in context.preset.styles}


def pool_mark(context: Context, similarity: int) -> str:
    """Eight hex digits for file names: of the base, the pool's models, and how many texts a word's sub-vector is made from."""
    models = {style: describe(model).sha256 for style, model in trained_pool(context, similarity).items()}
    told = json.dumps([describe(BASE).sha256, models, context.preset.styled_texts])
    return hashlib.sha256(told.encode()).hexdigest()[:8]


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
    """Where a user's trainings lie."""
    kind = f"{context.preset.training_steps}-{context.seed}-known-{trainee.known_phrases}{context.setting.suffix}"
    return context.work / "starts" / f"{trainee.style}-{kind}"


def other_style(context: Context, trainee: Trainee) -> str:
    """The name of a model that is not of the user's style, drawn by the seed."""
    others = [style for style in context.preset.styles if style != trainee.style]
    return random.Random(f"other than {trainee.style}, {context.seed}").choice(others)


def selections(context: Context) -> dict[tuple[int, int], dict[str, Any]]:
    """`selected_from` of every percentage of known phrases and every similarity, in the context's workers."""
    preset = context.preset
    places = [(known, similarity) for known in preset.known_phrases for similarity in sorted(preset.similarities)]
    files = {place: _file(context, *place) for place in places}

    def prepare(waiting: Sequence[tuple[Any, ...]]) -> None:
        for known in {known for known, _ in waiting}:
            asking = [
                DemoUser(name=one.style, style=one.style, examples=one.training) for one in trainees(context, known)
            ]
            context.said_by_base([*selecting_users(context, known), *asking])

    return dict(zip(places, kept_cells(context, _selected_from, files, prepare=prepare), strict=True))


def selected_from(context: Context, known_phrases: int, similarity: int) -> dict[str, Any]:
    """Whether each user got the right model, and which one each trainee gets; kept in a file.

    Returns:
        ``right``, by axes or ``exhaustive search`` user after user, the latter of the first users alone; and ``trainees``, style to name of
        the model.
    """
    file = _file(context, known_phrases, similarity)
    found: dict[str, Any] = kept(file, lambda: _selected_from(context, known_phrases, similarity))
    return found


def _file(context: Context, known_phrases: int, similarity: int) -> Path:
    preset = context.preset
    sizes = (preset.draws, preset.users_a_style, preset.searching_users, preset.trainees, context.seed)
    key = "-".join(map(str, (similarity, known_phrases, *sizes, f"t{_TEMPERATURE}", pool_mark(context, similarity))))
    return context.work / "trained-pools" / f"{key}{context.setting.suffix}.json"


def _selected_from(context: Context, known_phrases: int, similarity: int) -> dict[str, Any]:
    models = trained_pool(context, similarity)
    catalog = Explainer(
        BASE,
        context.summarizer,
        n_prompts=50,
        seed=context.seed,
        generation=Generation(temperature=_TEMPERATURE, seed=context.seed),
        cache=context.cache,
        subvectors=context.subvectors,
    ).explain(models)
    selectors: dict[AxesName, Selector] = {axes: Selector(catalog, context.summarizer, axes=axes) for axes in AXES}
    return {
        "right": _right(context, models, selectors, similarity=similarity, known_phrases=known_phrases),
        "trainees": {
            one.style: selectors["all"].select(one.training, _base_answers(context, one.style, one.training)).best
            for one in trainees(context, known_phrases)
        },
    }


def _right(
    context: Context,
    models: Mapping[str, str],
    selectors: Mapping[AxesName, Selector],
    *,
    similarity: int,
    known_phrases: int,
) -> dict[str, list[bool]]:
    users = selecting_users(context, known_phrases)
    right: dict[str, list[bool]] = {}
    for user in users:
        place = selectors["all"].locate(user.examples, _base_answers(context, user.style, user.examples))
        for axes, selector in selectors.items():
            right.setdefault(_NAMES[axes], []).append(selector.rank(place).best == user.style)
    told = f"s = {similarity}, {known_phrases}% known phrases"
    say(f"{told}: {sum(right[ALL])} of {len(users)} right by all axes")
    searching = users[: context.preset.searching_users * len(context.preset.styles)]
    with ModelPool(base=BASE, models=models).held() as pool:
        for user in track(searching, f"{told}: {EXHAUSTIVE}", unit="user"):
            found = ExhaustiveBaseline(pool).select(user.examples)
            right.setdefault(EXHAUSTIVE, []).append(found.best == user.style)
    return right


def _base_answers(context: Context, style: str, examples: Sequence[Example]) -> list[str]:
    said = context.said_by_base([DemoUser(name=style, style=style, examples=tuple(examples))])
    return [said[str(one.prompt)] for one in examples]


def selecting_users(context: Context, known_phrases: int) -> list[DemoUser]:
    """Who is selected for: a user of each style, then the next of each."""
    n = context.preset.draws * context.preset.users_a_style
    seeds = [100 * (context.seed + 1) + k for k in range(n)]
    return [zoo_user(style, seed, known_phrases=known_phrases) for seed in seeds for style in context.preset.styles]
