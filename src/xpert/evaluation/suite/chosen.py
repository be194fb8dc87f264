"""Pools of the zoo that are trained at a similarity, users who write in more or less known phrases, and which model each of them gets."""

from __future__ import annotations

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
from xpert.explainer import Explainer
from xpert.progress import say, track
from xpert.selector import Selector
from xpert.space import AXES, AxesName
from xpert.types import Example
from xpert.zoo import pool_names
from xpert.zoo.making.pools import PoolSettings, make_pool

__all__ = ["ALL", "EXHAUSTIVE", "other_style", "selected_from", "trained_pool", "trainee_folder", "trainees"]

EXHAUSTIVE = "exhaustive search"
N_TRAINING, N_VALIDATION = 40, 20
"""Texts of a user who is fine-tuned."""

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
    missing = [style for style in context.preset.styles if style not in shipped]
    folder = context.work / "pools" / str(similarity)
    if missing:
        say(f"s = {similarity}: {len(missing)} of {len(context.preset.styles)} models are trained, or there already")
        make_pool(BASE, folder, PoolSettings(similarity=similarity / 100), styles=missing)
    return {style: shipped.get(style, str(folder / style)) for style in context.preset.styles}


def trainees(context: Context, known_phrases: int) -> list[Trainee]:
    """One user of each of so many styles, evenly spread over the preset's; those of other percentages ask the same questions."""
    styles, n = context.preset.styles, context.preset.trainees
    return [
        zoo_trainee(
            style=styles[i * len(styles) // n],
            n_training=N_TRAINING,
            n_validation=N_VALIDATION,
            seed=_FIRST_USER + context.seed,
            known_phrases=known_phrases,
        )
        for i in range(n)
    ]


def trainee_folder(context: Context, trainee: Trainee) -> Path:
    """Where a user's trainings lie; another pool may give another start."""
    kind = f"{len(context.preset.styles)}-{context.preset.training_steps}-{context.seed}{context.setting.suffix}"
    known = f"-known-{trainee.known_phrases}" if trainee.known_phrases else ""
    return context.work / "starts" / f"{trainee.style}-{kind}{known}"


def other_style(context: Context, trainee: Trainee) -> str:
    """The name of a model that is not of the user's style, drawn by the seed."""
    others = [style for style in context.preset.styles if style != trainee.style]
    return random.Random(f"other than {trainee.style}, {context.seed}").choice(others)


def selected_from(context: Context, similarity: int) -> dict[int, dict[str, Any]]:
    """By percent of known phrases: whether each user got the right model, and which one each trainee gets; kept in a file.

    Returns:
        Of each percentage: ``right``, by axes or ``exhaustive search`` user after user, the latter of the first ``searched`` users alone; and
        ``trainees``, style to name of the model.
    """
    preset = context.preset
    sizes = (len(preset.styles), preset.draws, preset.users_a_style, preset.searching_users, preset.trainees)
    known = ".".join(map(str, preset.known_phrases))
    key = "-".join(map(str, (*sizes, preset.styled_texts, known, context.seed, similarity)))
    file = context.work / "trained-pools" / f"{key}{context.setting.suffix}.json"
    found = kept(file, lambda: _selected_from(context, similarity))
    return {int(percent): told for percent, told in found.items()}


def _selected_from(context: Context, similarity: int) -> dict[str, dict[str, Any]]:
    models = trained_pool(context, similarity)
    catalog = Explainer(
        BASE,
        context.summarizer,
        n_prompts=50,
        seed=context.seed,
        cache=context.cache,
        subvectors=context.subvectors,
    ).explain(models)
    selectors: dict[AxesName, Selector] = {axes: Selector(catalog, context.summarizer, axes=axes) for axes in AXES}
    return {
        str(percent): {
            "right": _right(context, models, selectors, similarity=similarity, known_phrases=percent),
            "trainees": {
                one.style: selectors["all"].select(one.training, _base_answers(context, one.style, one.training)).best
                for one in trainees(context, percent)
            },
        }
        for percent in context.preset.known_phrases
    }


def _right(
    context: Context,
    models: Mapping[str, str],
    selectors: Mapping[AxesName, Selector],
    *,
    similarity: int,
    known_phrases: int,
) -> dict[str, list[bool]]:
    users = _users(context, known_phrases)
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


def _users(context: Context, known_phrases: int) -> list[DemoUser]:
    """Who is selected for: a user of each style, then the next of each."""
    n = context.preset.draws * context.preset.users_a_style
    seeds = [100 * (context.seed + 1) + k for k in range(n)]
    return [zoo_user(style, seed, known_phrases=known_phrases) for seed in seeds for style in context.preset.styles]
