"""The sections of a report that a selection fills: what was chosen and how surely, what spoke for it, what is missing, and a merge plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpert.catalog import Catalog
from xpert.errors import SettingsError
from xpert.figures import common_decimals, percent, told_from_zero, with_error
from xpert.merger import Merger
from xpert.report.drawings import bar
from xpert.report.markup import Cell, Html, data_table, section, tag
from xpert.report.plans import why_one, why_several
from xpert.space import METRICS, distances, restrict
from xpert.telling import told
from xpert.types import MergePlan, Selection

__all__ = ["check_selection", "chosen", "merging", "ranking", "user_place"]

_CHECKED, _TOLERANCE = 5, 1e-3
_PLAN_OF = 3
_MOST_AXES = 24


def check_selection(catalog: Catalog, selection: Selection) -> None:
    """Whether a selection was made with this catalog: as many axes, its models, and their distances.

    Raises:
        xpert.errors.SettingsError: It was not.
    """
    advice = "select again with this catalog"
    z = selection.coordinates.values
    if z.shape != (len(catalog.basis),):
        raise SettingsError(f"selection: {z.shape[0]} coordinates, the catalog has {len(catalog.basis)} axes: {advice}")
    first = selection.ranking[:_CHECKED]
    for name, _ in (*first, (selection.best, 0.0)):
        if name not in catalog:
            raise SettingsError(f"selection: it ranks {name!r}, which is no model of the catalog: {advice}")
    models = np.asarray(catalog.coordinates[[catalog.row(name) for name, _ in first]])
    given = np.array([distance for _, distance in first])
    for metric in METRICS:
        found = distances(catalog.basis, models, z, metric=metric, axes=selection.axes)
        if np.allclose(found, given, rtol=_TOLERANCE, atol=_TOLERANCE):
            return
    raise SettingsError(
        f"selection: {first[0][0]!r} is {given[0]:.3f} away in it, and {_direction(catalog, models, selection):.3f} in the catalog: it was made with "
        f"another one: {advice}"
    )


def chosen(selection: Selection) -> Html:
    """Which model was chosen, whether it is a match, and why."""
    verdict = "A match." if selection.matched else "The nearest, but no match."
    parts = [
        tag("b", tag("bdi", selection.best)),
        tag("br"),
        f"{verdict} {_nearness(selection)}",
    ]
    if selection.probabilities is not None and len(selection.ranking) > 1:
        parts.append(
            f" The nearest in {percent(selection.probabilities[0])} of resamples of the user's {selection.coordinates.n_pairs} texts."
        )
    lines = [tag("div", *parts, class_="verdict" if selection.matched else "verdict no")]
    if not selection.matched:
        lines.append(
            tag(
                "p",
                "Nothing here is near enough to be called the user's style: merge several models, or start from the base.",
            )
        )
    if selection.reasons:
        lines += [tag("h3", "What spoke for it"), _parts(selection.reasons, "the base")]
    if selection.over_next and len(selection.ranking) > 1:
        lines += [
            tag("h3", "Why not ", tag("bdi", selection.ranking[1][0]), "?"),
            _parts(selection.over_next, selection.ranking[1][0]),
        ]
    if selection.missing:
        lines += [
            tag("h3", "Words that are missing"),
            tag(
                "p",
                "In the user's text, but in no sum of the nearest models: ",
                tag("bdi", ", ".join(selection.missing)),
                ".",
            ),
        ]
    lines.append(tag("p", *_conditions(selection), class_="soft"))
    return section("selection", "The user's model", *lines)


def user_place(catalog: Catalog, selection: Selection) -> Html:
    """The user's text in words, beside the chosen model and the next."""
    names = list(dict.fromkeys([selection.best, *(name for name, _ in selection.ranking[:2])]))[:2]
    rows = np.asarray(catalog.coordinates[[catalog.row(name) for name in names]])
    compared, z = restrict(catalog.basis, np.vstack([selection.coordinates.values[None], rows]), selection.axes)
    at = {word: (i, -1.0 if value * z[0][i] < 0 else 1.0) for i, word, value in told(compared, z[0])}
    errors = dict(zip((word for word, _ in selection.words), selection.stderr, strict=False))
    listed = [
        (word, value)
        for word, value in selection.words
        if word in at and (compared.axes[at[word][0]].kind != "unnamed" or told_from_zero(value, errors.get(word)))
    ]
    listed = sorted(listed[:_MOST_AXES], key=lambda one: -abs(one[1]))
    decimals = common_decimals(value for _, value in listed)
    table = [
        (
            Cell(_word(word, value, errors.get(word))),
            Cell(compared.axes[at[word][0]].kind),
            Cell(with_error(value, errors.get(word), decimals=decimals), value),
            *(
                Cell(with_error(own, None, decimals=decimals), own)
                for own in (at[word][1] * float(row[at[word][0]]) for row in z[1:])
            ),
        )
        for word, value in listed
    ]
    return section(
        "user",
        "The user's text in words",
        tag("p", "~: within two standard errors of 0. Only these numbers stand here, never the text.", class_="soft"),
        data_table(["axis", "kind", "#the user", *(f"#{name}" for name in names)], table),
    )


def ranking(selection: Selection, most: int) -> Html:
    """The models by their distance from the user."""
    shares = selection.probabilities
    rows = [
        (
            Cell(i + 1, i + 1),
            Cell(tag("bdi", name)),
            Cell(f"{distance:.3f}", distance),
            *(() if shares is None else (Cell(percent(shares[i]), shares[i]),)),
        )
        for i, (name, distance) in enumerate(selection.ranking[:most])
    ]
    left = len(selection.ranking) - len(rows)
    notes = [
        *([f"{left:,} further models are not shown."] if left else []),
        *([f"{selection.excluded:,} models were left out by the user's conditions."] if selection.excluded else []),
    ]
    return section(
        "ranking",
        "The ranking",
        *([tag("p", " ".join(notes))] if notes else []),
        data_table(["#rank", "model", "#distance", *([] if shares is None else ["#nearest in"])], rows),
    )


def merging(catalog: Catalog, selection: Selection) -> Html:
    """The models that come nearest to the user together, if several do."""
    try:
        plan = Merger(catalog, max_models=_PLAN_OF).plan(selection)
    except SettingsError as error:
        return section("merging", "Merging", tag("p", str(error)))
    if not plan.helps:
        return section("merging", "Merging", tag("p", why_one(plan, _PLAN_OF)))
    rows = [
        (Cell(tag("bdi", name)), Cell(f"{weight:.3f}", weight), Cell(_brought(plan, name)))
        for name, weight in plan.weights.items()
    ]
    recorded = [name for name in plan.weights if catalog.card(name).kind == "recorded"]
    notes = (
        [f"Recorded models have no weights, so that these cannot be merged: {', '.join(recorded)}."] if recorded else []
    )
    return section(
        "merging",
        "Merging",
        tag(
            "p",
            f"Distance from the user: {plan.distance_before:.3f} of the length of the user's style with the best single model, "
            f"{plan.distance_after:.3f} with the sum of these.",
        ),
        data_table(["model", "#weight", "brings the sum"], rows, sortable=False),
        tag("p", " ".join([*why_several(plan), *notes]), class_="soft"),
    )


def _brought(plan: MergePlan, name: str) -> Html:
    changes = plan.brings.get(name, ())
    return Html("".join(_word(word, value, None, shown=f" {value:+.2f}") for word, value in changes))


def _word(word: str, value: float, error: float | None, shown: str = "") -> Html:
    mark = "" if told_from_zero(value, error) else "~"
    return tag("span", mark, tag("bdi", word), shown, class_="word")


def _nearness(selection: Selection) -> str:
    distance = selection.ranking[0][1]
    said = f"Distance {distance:.3f}, a match up to {selection.threshold:.3f}."
    if selection.likeness is not None and selection.least_likeness is not None:
        said = f"Likeness {selection.likeness:.2f}, a match from {selection.least_likeness:.2f} on."
    if selection.strength is not None:
        said += f" The user's style is {selection.strength:.1f} times as strong as the model's."
    return said


def _conditions(selection: Selection) -> list[str]:
    n = selection.coordinates.n_pairs
    told = [
        f"From {n} {'text' if n == 1 else 'texts'}, beside "
        f"{'the base’s answers to the same prompts' if selection.paired else 'stored answers of the base to other prompts'}; "
        f"axes compared: {selection.axes}."
    ]
    if selection.reliability is not None:
        told.append(
            f" {percent(selection.reliability)} of the squared length of the user's style is no sampling noise."
        )
    if selection.outside is not None:
        told.append(f" {percent(selection.outside)} of it is along no axis of the catalog.")
    return told


def _parts(parts: Sequence[tuple[str, float]], than: str) -> Html:
    """Axes with what each adds to the difference of two squared distances."""
    largest = max(abs(part) for _, part in parts) or 1.0
    rows = [(Cell(tag("bdi", word)), Cell(f"{part:.3f}", part), Cell(bar(part / largest))) for word, part in parts]
    told = tag(
        "p",
        "By these axes it is nearer to the user than ",
        tag("bdi", than),
        ", each by its part of the squared distance.",
        class_="soft",
    )
    return Html(told + data_table(["axis", "#part", ""], rows, sortable=False))


def _direction(catalog: Catalog, models: np.ndarray, selection: Selection) -> float:
    return float(distances(catalog.basis, models, selection.coordinates.values, axes=selection.axes)[0])
