"""What it does to selection that models answer the probes by sampling, not greedily.

    python benchmarks/sampled_probes/run.py [--seeds 0 1 2] [--work out/sampled_probes]

A model that was trained on a mixture of 50% styled texts says the likelier half of it when it decodes greedily: at most prompts the default
answer, and hardly differs from the base. Sampled at temperature 1 it says both. Here the shipped pools at s = 50 and 90 are explained either
way and select for the users of ``xpert evaluate table-5``, whose prompts the base answers in the same way (as ``xpert select --base`` lets
it). Other seeds have other users, prompts and samples. A run goes on where it stopped. Writes ``result.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from xpert.catalog import Catalog
from xpert.evaluation.bootstrap import paired_difference
from xpert.evaluation.cast import BASE
from xpert.evaluation.keeping import kept
from xpert.evaluation.presets import PRESETS
from xpert.evaluation.suite.chosen import selecting_users, trained_pool
from xpert.evaluation.suite.context import Context
from xpert.explainer import Explainer
from xpert.progress import say
from xpert.selector import Selector
from xpert.tensors.files import write_text
from xpert.types import Generation

HERE = Path(__file__).resolve().parent
WAYS = {"greedy": 0.0, "sampled": 1.0}
KNOWN_PHRASES = (100, 0)


def explained(context: Context, similarity: int, temperature: float) -> Catalog:
    """The pool of a similarity; what an earlier call computed is in the cache."""
    return Explainer(
        BASE,
        context.summarizer,
        n_prompts=50,
        seed=context.seed,
        generation=Generation(temperature=temperature, seed=context.seed),
        cache=context.cache,
        subvectors=context.subvectors,
    ).explain(trained_pool(context, similarity))


def right(context: Context, catalog: Catalog) -> dict[str, list[bool]]:
    """By percent of known phrases, user after user, whether all axes chose the model of the user's style."""
    selector = Selector(catalog, context.summarizer)
    found: dict[str, list[bool]] = {}
    for known in KNOWN_PHRASES:
        for user in selecting_users(context, known):
            said = context.said_by_base([user], generation=catalog.provenance.generation)
            answers = [said[str(one.prompt)] for one in user.examples]
            found.setdefault(str(known), []).append(selector.select(user.examples, answers).best == user.style)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("out/sampled_probes"))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        with Context(preset=PRESETS["tiny"], seed=seed, work=options.work) as context:
            for similarity in context.preset.similarities:
                catalogs = {way: explained(context, similarity, temperature) for way, temperature in WAYS.items()}
                by = {
                    way: kept(
                        options.work / f"right-{seed}-{similarity}-{WAYS[way]}.json",
                        lambda catalog=catalog: right(context, catalog),
                    )
                    for way, catalog in catalogs.items()
                }
                reliabilities = {
                    way: [round(catalog.provenance.fits[name].reliability["all"], 2) for name in catalog.names]
                    for way, catalog in catalogs.items()
                }
                for known in map(str, KNOWN_PHRASES):
                    counts = {way: sum(by[way][known]) for way in WAYS}
                    users = len(by["greedy"][known])
                    place = {"seed": seed, "s": similarity, "known_phrases": int(known), "users": users}
                    missed = {
                        way: sorted({i % len(catalogs[way].names) for i, one in enumerate(by[way][known]) if not one})
                        for way in WAYS
                    }
                    rows.append({**place, **counts, "missed_styles": missed, "reliability": reliabilities})
                    say(f"seed {seed}, s = {similarity}, {known}% known phrases: {counts} of {users}")
                    ours, theirs = ([float(one) for one in by[way][known]] for way in ("sampled", "greedy"))
                    less = paired_difference(ours, theirs)
                    rows[-1]["sampled_less_greedy_points"] = [
                        round(100 * x, 1) for x in (less.mean, less.low, less.high)
                    ]
    write_text(HERE / "result.json", json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
