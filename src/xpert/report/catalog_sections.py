"""The sections of a report that a catalog fills: what it is, its models in words, a map, a heat map, neighbours, how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from xpert.errors import DataError, MissingDependencyError
from xpert.figures import common_decimals, percent, told_from_zero, with_error
from xpert.images import image_uri, open_image
from xpert.report.drawings import NAMED, NUMBERED, heat_map, model_map
from xpert.report.markup import Cell, Html, data_table, plain, section, tag
from xpert.report.nearness import directions, plane
from xpert.report.shown import Shown
from xpert.types import Array, Explanation, Selection

__all__ = ["head", "heat", "made", "models", "near", "places_map", "size", "words"]

_WORDS, _ALL_AXES = 6, 6000
_MOST_ROWS, _MOST_COLUMNS = 60, 28
_ANSWERS, _PICTURES, _SIDE = 3, 8, 96
_LONGEST_PICTURE = 2_000_000


def head(shown: Shown) -> Html:
    """What the catalog is, and how much of it stands here."""
    catalog, p = shown.catalog, shown.catalog.provenance
    kinds = [axis.kind for axis in catalog.basis.axes]
    n = len(catalog)
    told = f"{kinds.count('word')} words, {kinds.count('measured')} measured quantities and {kinds.count('unnamed')} unnamed directions"
    part = (
        "" if shown.whole else f" Here are {len(shown.rows):,} of them; what is said of neighbours is said among these."
    )
    return tag(
        "header",
        tag("h1", f"{n:,} {'model' if n == 1 else 'models'} of ", tag("bdi", p.base)),
        tag(
            "p",
            "Explained by ",
            tag("bdi", p.summarizer),
            f" on {p.n_prompts} prompts, along {len(kinds)} axes: {told}. The models shown weigh "
            f"{size(sum(card.bytes for card in shown.cards))} together.{part}",
        ),
    )


def models(shown: Shown) -> Html:
    """Every model in words."""
    every = len(shown.rows) * len(shown.catalog.basis) <= _ALL_AXES
    rows = [
        (
            Cell(i + 1, i + 1),
            Cell(
                Html(
                    tag("b", tag("bdi", card.name))
                    + tag("br")
                    + tag("small", f"{card.kind}, {size(card.bytes)}, licence {card.licence or 'not stated'}")
                )
            ),
            Cell(Html(words(explanation) + (_all_axes(explanation) if every else ""))),
            *(
                Cell(percent(share), share)
                for share in (explanation.named_share, explanation.measured_share, explanation.unnamed_share)
            ),
            Cell(f"{explanation.residual:.2f}", explanation.residual),
        )
        for i, (card, explanation) in enumerate(zip(shown.cards, shown.explanations, strict=True))
    ]
    columns = ["#no.", "model", "in words (± standard error)", "#named", "#measured", "#unnamed", "#left by words"]
    return section(
        "models",
        "The models in words",
        tag(
            "p",
            "A number says how much of a word a model has, beside the base; below 0 it has less than the base. Words within two standard errors "
            "of 0 are left out. Named, measured and unnamed: what the axes of each kind span of the length of the model's embedding (their squares "
            "add up to at most 100%). Left by words: what the words leave of what the summarizer saw, as a fraction.",
            class_="soft",
        ),
        data_table(columns, rows),
    )


def places_map(shown: Shown, selection: Selection | None = None) -> Html:
    """The models on the plane on which they scatter most."""
    catalog = shown.catalog
    unit, _ = directions(catalog.basis, shown.coordinates)
    user = None if selection is None else directions(catalog.basis, selection.coordinates.values[None])[0]
    at, beside, shares = plane(unit, user)
    names = shown.names
    best = names.index(selection.best) if selection is not None and selection.best in names else None
    labels = [
        f"{which} direction, {percent(share)} of the scatter{_ends(shown, at[:, k])}"
        for k, (which, share) in enumerate(zip(("first", "second"), shares, strict=True))
    ]
    drawn = model_map(at, names, (labels[0], labels[1]), user=None if user is None else beside[0], best=best)
    told = "Directions of the embeddings, so that style counts and not how strong it is, on the plane on which the models scatter most."
    if user is not None:
        told += " The diamond is the user, the other colour the chosen model."
    if NAMED < len(names) <= NUMBERED:
        told += " Numbers are those of the table above."
    return section("map", "A map of the models", tag("figure", drawn, tag("figcaption", told)))


def heat(shown: Shown) -> Html:
    """Coordinates, models by axes."""
    basis = shown.catalog.basis
    lengths = np.linalg.norm(basis.vectors, axis=1)
    size_of = np.nan_to_num(shown.coordinates) * lengths
    strength = np.sqrt((size_of**2).mean(axis=0))
    named = [k for k in range(len(basis)) if basis.axes[k].kind != "unnamed"]
    columns = sorted(named, key=lambda k: -strength[k])[:_MOST_COLUMNS]
    rows = _in_order(shown)[:_MOST_ROWS]
    if not columns:
        return Html("")
    scale = max(float(np.abs(size_of[np.ix_(rows, columns)]).max()), 1e-12)
    titles = [
        [
            f"{shown.cards[i].name}: {basis.axes[k].word} {with_error(float(shown.coordinates[i, k]), float(shown.stderr[i, k]))}"
            for k in columns
        ]
        for i in rows
    ]
    drawn = heat_map(
        size_of[np.ix_(rows, columns)] / scale,
        [shown.cards[i].name for i in rows],
        [basis.axes[k].word for k in columns],
        titles,
    )
    left = [
        *([f"{len(rows)} of {len(shown.rows)} models"] if len(rows) < len(shown.rows) else []),
        *(
            [f"the {len(columns)} strongest of {len(named)} named and measured axes"]
            if len(columns) < len(named)
            else []
        ),
    ]
    told = (
        "Blue: more than the base, orange: less; the deeper, the larger the contribution to the embedding. Models that are alike stand together."
        + (f" Shown: {', '.join(left)}." if left else "")
    )
    return section("axes", "Models and axes", tag("figure", drawn, tag("figcaption", told)))


def near(shown: Shown) -> Html:
    """Each model's nearest other, and which cannot be told apart."""
    if not shown.neighbours:
        return section("nearest", "Neighbours", tag("p", "A single model has no neighbours."))
    names = shown.names
    rows = [
        (
            Cell(tag("bdi", names[one.row])),
            Cell(tag("bdi", names[one.other])),
            Cell(f"{one.distance:.3f}", one.distance),
            Cell(f"{one.noise:.3f}", one.noise),
            Cell("yes" if one.told_apart else tag("span", "no", class_="near")),
        )
        for one in sorted(shown.neighbours, key=lambda one: one.distance)
    ]
    pairs = [f"{names[one.row]} and {names[one.other]}" for one in shown.too_near]
    said = (
        tag("p", "Not told apart by their probes: ", tag("bdi", "; ".join(pairs)), ".")
        if pairs
        else tag("p", "Every model is told apart from its nearest other.")
    )
    return section(
        "nearest",
        "Neighbours",
        said,
        tag(
            "p",
            "Distances are those of directions, as in a selection: 0 is the same style, 1.41 nothing in common, 2 the opposite. The noise is a "
            "distance that two models of one style would hardly pass by chance, from the scatter over the prompts; models answered the same prompts, "
            "so that it is rather too large.",
            class_="soft",
        ),
        data_table(["model", "nearest other", "#distance", "#noise", "told apart"], rows),
    )


def made(shown: Shown) -> Html:
    """Where the catalog comes from, and some of what the base answered."""
    p = shown.catalog.provenance
    facts = {
        "base": p.base,
        "modality": p.modality + (f" ({', '.join(f'{k} {v}' for k, v in p.settings.items())})" if p.settings else ""),
        "summarizer": p.summarizer,
        "it was asked": p.instruction,
        "prompts": f"{p.n_prompts}, SHA-256 {p.prompts_sha256[:16]}, seed {p.seed}",
        "thresholds": f"eps_orth {p.eps_orth:g}, eps_dec {p.eps_dec:g}; {p.n_candidates_examined} candidate words examined",
        "sub-vectors": f"{p.subvectors}; coefficients: {p.coefficients}; centering: {p.centering} ({p.null_pairs})",
        "measured": ", ".join(p.measured) or "nothing",
        "versions": ", ".join(f"{name} {version}" for name, version in p.versions.items()) or "not stated",
    }
    listed = [
        part for name, fact in facts.items() for part in (tag("dt", name), tag("dd", tag("bdi", plain(fact, 1500))))
    ]
    return section("made", "How it was made", tag("dl", *listed), *_said_by_base(shown))


def words(explanation: Explanation, n: int = _WORDS) -> Html:
    """The first words that are told from 0, the largest first, each with its value and standard error."""
    errors = explanation.stderr or (None,) * len(explanation.words)
    axes = [(word, value, error) for (word, value), error in zip(explanation.words, errors, strict=True)]
    told = sorted([one for one in axes if told_from_zero(one[1], one[2])][:n], key=lambda one: -abs(one[1]))
    return _listed(told) if told else tag("span", "no word that is told from 0", class_="soft")


def size(n_bytes: int) -> str:
    """A size as people read it.

    >>> size(999), size(75_040), size(2_500_000_000)
    ('999 bytes', '75.0 kB', '2.5 GB')
    """
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    for unit, scale in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if n_bytes < 1000 * scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes / 1e12:.1f} TB"


def _listed(axes: Iterable[tuple[str, float, float | None]]) -> Html:
    listed = list(axes)
    decimals = common_decimals(value for _, value, _ in listed)
    return Html(
        "".join(
            tag(
                "span",
                tag("bdi", word),
                " ",
                tag("small", with_error(value, error, decimals=decimals), class_="minus" if value < 0 else None),
                class_="word",
            )
            for word, value, error in listed
        )
    )


def _all_axes(explanation: Explanation) -> Html:
    errors = explanation.stderr or (None,) * len(explanation.words)
    axes = [(word, value, error) for (word, value), error in zip(explanation.words, errors, strict=True)]
    return tag("details", tag("summary", f"all {len(axes)} axes"), _listed(axes))


def _ends(shown: Shown, along: Array | np.ndarray) -> str:
    """Which words grow and shrink along a direction of the map; nothing of fewer than four models."""
    basis, z = shown.catalog.basis, np.nan_to_num(shown.coordinates).astype(np.float64)
    words_at = basis.where(["word"])
    if len(z) < 4 or not words_at or not np.ptp(along) > 0:
        return ""
    centred, line = z[:, words_at] - z[:, words_at].mean(axis=0), along - along.mean()
    weight = (centred.T @ line) * np.linalg.norm(basis.vectors[words_at], axis=1)
    most, least = int(weight.argmax()), int(weight.argmin())
    names = [basis.words[k] for k in words_at]
    return f" (this way: {names[most]})" if weight[least] >= 0 else f" ({names[least]} to {names[most]})"


def _in_order(shown: Shown) -> list[int]:
    """Models in an order in which those that are alike stand together: each is followed by the nearest that is left."""
    unit, _ = directions(shown.catalog.basis, shown.coordinates)
    left = list(range(1, min(len(unit), _MOST_ROWS)))
    order = [0]
    while left:
        nearest = max(left, key=lambda row: float(unit[row] @ unit[order[-1]]))
        left.remove(nearest)
        order.append(nearest)
    return order


def _said_by_base(shown: Shown) -> Sequence[Html]:
    """Some answers of the base, by which devices compare a text without prompts."""
    answers, p = shown.catalog.base_answers, shown.catalog.provenance
    if not answers:
        return []
    if p.modality == "text":
        told = [tag("p", tag("b", answer.prompt or ""), tag("br"), answer.response) for answer in answers[:_ANSWERS]]
        return [tag("details", tag("summary", f"{len(told)} of the base's {len(answers)} answers"), *told)]
    pictures = [picture for answer in answers[:_PICTURES] if (picture := _picture(answer.prompt, answer.response))]
    return [tag("h3", "Images of the base"), tag("p", *pictures, class_="pictures")] if pictures else []


def _picture(prompt: str | None, answer: str) -> Html | None:
    """A small copy of an image that the catalog carries, made here; a path is never followed, since a catalog may name any file."""
    if not answer.startswith("data:image/") or len(answer) > _LONGEST_PICTURE:
        return None
    try:
        image = open_image(answer)
    except (DataError, MissingDependencyError):
        return None
    image.thumbnail((_SIDE, _SIDE))
    alt = (prompt or "an image of the base")[:200]
    return tag("img", src=Html(image_uri(image)), alt=alt, title=alt)
