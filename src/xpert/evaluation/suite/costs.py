"""Table 7 and Figure 12: what each method downloads and computes to choose, against the size of the pool."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from xpert import load_summarizer
from xpert.baselines.bayesian import BayesianBaseline
from xpert.baselines.bounds import OracleBaseline, RandomBaseline
from xpert.baselines.encoder_similarity import EncoderSimilarityBaseline
from xpert.baselines.exhaustive import ExhaustiveBaseline
from xpert.baselines.hyperband import HyperbandBaseline
from xpert.baselines.pool import ModelPool, OpenPool, SearchedPool
from xpert.cache import open_cache
from xpert.catalog import Catalog
from xpert.evaluation.cast import OwnCast
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.methods import XpertMethod
from xpert.evaluation.sources import N_PAIRS
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.cost_tables import ENCODER, FULL, PAIRED, growth_chart, summaries_of, tables
from xpert.evaluation.suite.reckoned import (
    EXHAUSTIVE,
    HYPERBAND,
    XPERT,
    TextTokens,
    at_the_papers_sizes,
    catalog_size,
    text_tokens,
)
from xpert.evaluation.suite.strengths import Pooled, pool_of
from xpert.evaluation.suite.weights import model_of
from xpert.explainer import Explainer
from xpert.loading import load_tokenizer
from xpert.modalities import load_modality, modality_of
from xpert.probing import ProbeTask, model_answers
from xpert.progress import track
from xpert.protocols import CostedMethod, Prober, TextEncoder
from xpert.references import Kind, describe, resolve
from xpert.tensors.files import write_text

__all__ = ["table_7"]

_PHONE = "pixel-7"
_KINDS: Mapping[Kind, str] = {
    "adapter": "adapters",
    "full": FULL,
    "pipeline": "pipelines",
    "recorded": "recorded models",
}
"""Kinds of models as tables tell them."""


def table_7(context: Context) -> Findings:
    """Every method on the same users, in pools of several sizes; a user goes through all sizes in turn, so that what else the
    machine does meets them alike.
    """
    sizes = context.preset.pool_sizes
    pools = {size: _pool(context, size) for size in sizes}
    files = {user.style: _file(context, user) for user in _users(context)}
    if missing := [user for user in _users(context) if not files[user.style].is_file()]:
        files[missing[0].style].parent.mkdir(parents=True, exist_ok=True)
        with _tools(context, pools) as tools:
            for user in track(missing, "selecting", unit="user"):
                rows = [row for size in sizes for row in _user_rows(context, tools, pools[size], user)]
                tokens = text_tokens(tools.tokenizer, user.examples, tools.catalogs[max(sizes)].base_answers)
                told = {"rows": rows, "tokens": asdict(tokens), "catalogs": tools.sizes}
                write_text(files[user.style], json.dumps(told) + "\n")
    kept = [json.loads(file.read_text(encoding="utf-8")) for file in files.values()]
    rows = [_timed(row) for one in kept for row in one["rows"]]
    catalogs: dict[int, dict[str, int]] = {int(size): told for size, told in kept[0]["catalogs"].items()}
    summaries = summaries_of(rows)
    found = {"users": rows, "summaries": summaries, "catalogs": catalogs, "bytes": _bytes(context)}
    tokens = [TextTokens(**one["tokens"]) for one in kept]
    counted, reckoned = at_the_papers_sizes(tokens, summaries, catalogs[max(sizes)])
    return Findings(
        tables=[*tables(found), *counted],
        charts=[growth_chart(summaries, sizes)],
        rows={**found, "reckoned": reckoned},
        weights=context.weights([one.reference for one in pools[max(sizes)]]),
    )


def _bytes(context: Context) -> dict[str, Any]:
    """What a model of the pool weighs on average, by what the models are, beside adapters a full model too; and the summarizer, where
    its name tells a model: None for one that is part of a package.
    """
    models = [describe(reference) for reference in context.models.values()]
    kind = " and ".join(sorted({_KINDS[one.kind] for one in models}))
    pools = {kind: fmean(one.bytes for one in models), FULL: describe(context.cast.base).bytes}
    own = model_of(context.setting.summarizer)
    return {
        "pools": {kind: pools[kind]} if kind == FULL else pools,
        "summarizer": None if own is None else describe(own).bytes,
    }


def _pool(context: Context, size: int) -> list[Pooled]:
    return pool_of(context.models, size, seed=context.seed, folder=context.work / "weakened")


def _users(context: Context) -> list[DemoUser]:
    """One of each style of the smallest pool, so many as the preset has: they are the same for all pools."""
    styles = [one.style for one in _pool(context, min(context.preset.pool_sizes))]
    own = {user.style: user for user in context.users()}
    return [own[style] for style in dict.fromkeys(styles)][: context.preset.cost_users]


def _file(context: Context, user: DemoUser) -> Path:
    sizes = "-".join(str(size) for size in context.preset.pool_sizes)
    own = f"-{context.cast.fingerprint}" if isinstance(context.cast, OwnCast) else ""
    mark = f"{context.setting.suffix}{own}"
    name = f"{context.preset.name}-{context.seed}-{sizes}-{user.style}{mark}.json"
    return context.work / "selection-costs" / name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The first models of a pool whose base is in memory; matches `xpert.baselines.pool.SearchedPool`."""

    whole: SearchedPool
    names: Sequence[str]

    def bytes_of(self, name: str) -> int:
        return self.whole.bytes_of(name)

    def open(self) -> AbstractContextManager[OpenPool]:
        return self.whole.open()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """What is there before anybody selects: base and encoder in memory, what the server made of each pool, what its models said."""

    prober: Prober
    encoder: TextEncoder
    tokenizer: Any
    pool: SearchedPool
    catalogs: Mapping[int, Catalog]
    sizes: Mapping[int, Mapping[str, int]]
    said: Mapping[str, Sequence[str]]


@contextmanager
def _tools(context: Context, pools: Mapping[int, Sequence[Pooled]]) -> Iterator[_Tools]:
    catalogs = _catalogs(context, pools)
    context.release()  # each selection loads its own: the one that explained would be in memory beside it
    models = {one.name: one.reference for one in pools[max(pools)]}
    with ExitStack() as stack:
        prober = stack.enter_context(load_modality(modality_of(context.cast.base)).open(context.cast.base))
        encoder: Any = load_summarizer("encoder:minilm")
        stack.callback(encoder.close)
        yield _Tools(
            prober=prober,
            encoder=encoder,
            tokenizer=load_tokenizer(resolve(context.cast.base)),
            pool=stack.enter_context(ModelPool(base=context.cast.base, models=models).held()),
            catalogs=catalogs,
            sizes={size: catalog_size(catalog) for size, catalog in catalogs.items()},
            said=_said(context, prober, catalogs[max(pools)], models),
        )


def _catalogs(context: Context, pools: Mapping[int, Sequence[Pooled]]) -> dict[int, Catalog]:
    """Size to catalog, which the server makes."""
    explainer = Explainer(
        context.cast.base,
        context.summarizer,
        prompts=context.cast.prompts(N_PAIRS, context.seed),
        seed=context.seed,
        generation=replace(context.cast.generation, seed=context.seed),
        cache=context.cache,
        subvectors=context.subvectors,
    )
    return {size: explainer.explain({one.name: one.reference for one in pool}) for size, pool in sorted(pools.items())}


def _said(context: Context, prober: Prober, catalog: Catalog, models: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """What each model said when it was explained."""
    asked = tuple(example.prompt or "" for example in catalog.base_answers)
    task = ProbeTask(base=context.cast.base, prompts=asked, generation=catalog.provenance.generation)
    return {name: told.texts for name, told in model_answers(prober, task, models, open_cache(context.cache))}


def _user_rows(context: Context, tools: _Tools, pool: Sequence[Pooled], user: DemoUser) -> list[dict[str, Any]]:
    """One row a method; what the server does (explaining, encoding the models' answers) is nobody's cost here.

    A summarizer that has just been loaded reads for each selection: one that has read before would know the first half of each
    question, the catalog's base answers, which a device meets for the first time. It is closed before the next is loaded: one at a time
    is in memory.
    """
    seed = context.seed + list(context.models).index(user.style)
    models, styles = {one.name: one.reference for one in pool}, {one.name: one.style for one in pool}
    searched, half = _Part(whole=tools.pool, names=list(models)), math.ceil(len(models) / 2)
    said, catalog = {name: tools.said[name] for name in models}, tools.catalogs[len(models)]

    def fresh(name: str, base: Prober | None) -> dict[str, Any]:
        with closing(load_summarizer(context.setting.summarizer)) as own:
            return _row(name, styles, user, XpertMethod(catalog, own, models, base=base, phone=_PHONE))

    others: dict[str, CostedMethod] = {
        EXHAUSTIVE: ExhaustiveBaseline(searched, phone=_PHONE),
        "Bayesian optimization, TPE, all": BayesianBaseline(searched, seed=seed, phone=_PHONE),
        "Bayesian optimization, TPE, half": BayesianBaseline(searched, budget=half, seed=seed, phone=_PHONE),
        "Bayesian optimization, GP, half": BayesianBaseline(
            searched, sampler="gp", budget=half, seed=seed, phone=_PHONE
        ),
        HYPERBAND: HyperbandBaseline(searched, seed=seed, phone=_PHONE),
        ENCODER: EncoderSimilarityBaseline(models, said, tools.encoder, phone=_PHONE),
        "random": RandomBaseline(models, seed=seed),
        "oracle": OracleBaseline(models, user.style),
    }
    return [
        fresh(XPERT, None),
        fresh(PAIRED, tools.prober),
        *(_row(name, styles, user, method) for name, method in others.items()),
    ]


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the processor seconds that hold the server's work: the encoder reads the models' answers within its run."""
    return {**row, "processor_s": None if row["method"] == ENCODER else row["processor_s"]}


def _row(name: str, styles: Mapping[str, str], user: DemoUser, method: CostedMethod) -> dict[str, Any]:
    """A choice is right when its style is the user's, at whatever strength."""
    begun = time.process_time()
    found = method.run(user.examples)
    return {
        "method": name,
        "models": len(styles),
        "user": user.name,
        "style": user.style,
        "best": found.selection.best,
        "best_style": styles[found.selection.best],
        "why": list(found.why),
        "cost": asdict(found.cost),
        "processor_s": time.process_time() - begun,
    }
