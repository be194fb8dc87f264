"""The paper's experiments on explanations, on the zoo: Tables 1, 2, 8, 9 and Figure 7.

    python benchmarks/paper_explanations/run.py [--work out/paper_explanations] [--summarizers zoo:summarizer encoder:minilm]

Answers, embeddings and sub-vectors of the zoo's models are kept in the work folder; users' texts are embedded once and kept beside
them (they are the corpus', nobody's). A second run computes what is missing. After each summarizer: its part of ``result.json``, its tables
in the work folder, and the charts ``docs/experiments-*.png`` (extra ``report``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common.remembering import RememberingEncoder, RememberingLLM, remembering  # noqa: E402

from xpert.evaluation.demo_users import DemoUser  # noqa: E402
from xpert.evaluation.experiments import axes_against_models, n_prompts, prompt_domains, thresholds  # noqa: E402
from xpert.evaluation.experiments.decomposing import Settings  # noqa: E402
from xpert.evaluation.experiments.pool import base_answers, embedded_users, probed_pool, with_words  # noqa: E402
from xpert.probing import choose_prompts  # noqa: E402
from xpert.progress import say  # noqa: E402
from xpert.prompts import shipped_prompts  # noqa: E402
from xpert.registry import MODALITIES  # noqa: E402
from xpert.report.experiment_charts import axes_chart, prompts_chart  # noqa: E402
from xpert.subvectors.contrastive import ContrastiveSubvectors  # noqa: E402
from xpert.tensors.files import write_text  # noqa: E402
from xpert.zoo import adapter_names  # noqa: E402
from xpert.zoo.corpus import STYLES, examples  # noqa: E402

BASE, N_DOMAIN_MODELS, N_CANDIDATES = "zoo:base", 4, 128
USERS = ((1.0, 50), (0.3, 20))
"""Similarity and texts of the two kinds of users."""
N_STYLED = 8
"""Texts a word that the zoo's summarizer writes for its sub-vector (its own source writes 24)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All rows of one summarizer."""

    table_1: Sequence[prompt_domains.DomainRow]
    table_2: Sequence[axes_against_models.AxesRow]
    table_8: Mapping[str, Sequence[thresholds.ThresholdRow]]
    table_9: Mapping[str, Sequence[thresholds.ThresholdRow]]
    figure_7: Sequence[n_prompts.PromptsRow]

    def tables(self) -> str:
        """As Markdown."""
        parts = [
            ("Table 1", prompt_domains.to_table(self.table_1)),
            ("Table 2", axes_against_models.to_table(self.table_2)),
            *((f"Table 8, {users}", thresholds.to_table(rows)) for users, rows in self.table_8.items()),
            *((f"Table 9, {users}", thresholds.to_table(rows)) for users, rows in self.table_9.items()),
            ("Figure 7", n_prompts.to_table(self.figure_7)),
        ]
        return "\n\n".join(f"### {title}\n\n{table}" for title, table in parts)


def users(similarity: float, n_texts: int, seed: int) -> list[DemoUser]:
    """One of each style, from the half of the corpus that no model saw; the other texts are unstyled."""
    return [
        DemoUser(
            name=f"{style}, user",
            style=style,
            examples=tuple(
                examples(STYLES[style], side="users", n=n_texts, seed=1_000 * seed + k, similarity=similarity)
            ),
        )
        for k, style in enumerate(adapter_names())
    ]


def said_to(people: Sequence[DemoUser], file: Path, seed: int) -> dict[str, str]:
    """The base's answers to the users' prompts, kept in a file."""
    if not file.is_file():
        write_text(file, json.dumps(base_answers(BASE, people, seed=seed)) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))


def run(summarizer: RememberingEncoder | RememberingLLM, work: Path, seed: int) -> Results:
    """All five experiments with one summarizer."""
    cache, styles = work / "cache", adapter_names()
    four = {style: f"zoo:{style}" for style in random.Random(seed).sample(styles, N_DOMAIN_MODELS)}
    domains = {
        domain: probed_pool(BASE, four, summarizer, shipped_prompts(domain, n, seed), seed=seed, cache=cache)
        for domain, n in (("general", 200), ("law", 100), ("science", 100))
    }
    with MODALITIES.get("text")().open(BASE) as prober:
        own = choose_prompts(prober, [], None, n_prompts=50, seed=seed)
    everyone = {style: f"zoo:{style}" for style in styles}
    pool = probed_pool(BASE, everyone, summarizer, own, n_candidates=N_CANDIDATES, seed=seed, cache=cache)
    source = ContrastiveSubvectors(n_prompts=N_STYLED) if summarizer.defaults.subvectors == "contrastive" else None
    pool = with_words(pool, summarizer, source, seed=seed, cache=cache)
    if not set(own) & set(domains["general"].prompts):
        domains["the zoo's own"] = pool.of_models([styles.index(style) for style in four])
    people = [user for kind in USERS for user in users(*kind, seed)]
    everybody = embedded_users(people, said_to(people, work / f"base-{seed}.json", seed), summarizer)
    placed = {
        f"{100 * s:.0f}% of {n} texts in the style": everybody.part(slice(k * len(styles), (k + 1) * len(styles)))
        for k, (s, n) in enumerate(USERS)
    }
    said = summarizer.defaults
    default = Settings(name="its own", eps_orth=said.eps_orth, eps_dec=said.eps_dec, max_candidates=said.max_candidates)
    free = Settings(name=f"its own, {N_CANDIDATES} candidates", eps_orth=said.eps_orth, eps_dec=said.eps_dec)
    paper = Settings(name="the paper's, (0.1, 0.2)", eps_orth=0.1, eps_dec=0.2)
    settings = [default, *([free] if said.max_candidates != N_CANDIDATES else []), paper]
    return Results(
        table_1=prompt_domains.prompt_domains(domains),
        table_2=axes_against_models.axes_against_models(pool, settings, seed=seed),
        table_8={
            f"{name}; {start.name}": thresholds.orthogonality_threshold(pool, rows, start)
            for start in settings[:-1]
            for name, rows in placed.items()
        },
        table_9={
            f"{name}; {start.name}": thresholds.decomposition_threshold(pool, rows, start)
            for start in settings[:-1]
            for name, rows in placed.items()
        },
        figure_7=n_prompts.error_by_n_prompts(domains["general"], seed=seed),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/paper_explanations"))
    parser.add_argument("--summarizers", nargs="+", default=["zoo:summarizer", "encoder:minilm"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--charts", type=Path, default=HERE.parents[1] / "docs", help="folder of the charts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.summarizers:
        began = time.process_time()
        # the paper's rule for all words: an encoder's are all described, none is known by example
        summarizer = remembering(name, options.work / f"users-{name.replace(':', '-')}.npz", exemplars=False)
        try:
            found = run(summarizer, options.work, options.seed)
        finally:
            summarizer.store.save()
            summarizer.close()
        seconds = round(time.process_time() - began, 1)
        say(f"{name}: {seconds} CPU seconds")
        short = name.replace(":", "-")
        result: dict[str, Any] = {
            "spec": {
                "base": BASE,
                "summarizer": name,
                "models": adapter_names(),
                "users": [list(kind) for kind in USERS],
                "users_a_style": 1,
                "n_candidates": N_CANDIDATES,
                "styled_texts_a_word": N_STYLED,
                "seed": options.seed,
            },
            "rows": asdict(found),
            "cpu_seconds_this_run": seconds,
            "versions": {package: version(package) for package in ("numpy", "torch", "transformers")},
            "machine": {"python": platform.python_version(), "processor": platform.machine(), "cores": os.cpu_count()},
        }
        file = HERE / "result.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        write_text(file, json.dumps({**before, name: result}, indent=1) + "\n")
        write_text(options.work / f"tables-{short}.md", found.tables() + "\n")
        prompts_chart({name: found.figure_7}, out=options.charts / f"experiments-prompts-{short}.png")
        axes_chart({name: found.table_2}, out=options.charts / f"experiments-axes-{short}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
