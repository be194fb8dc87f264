"""Table 7 and Figure 12: what each method downloads and computes to choose, against the size of the pool."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median
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
from xpert.evaluation.bootstrap import estimate, paired_difference
from xpert.evaluation.cast import OwnCast
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.experiments.tables import markdown, points
from xpert.evaluation.methods import XpertMethod
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.sources import N_PAIRS
from xpert.evaluation.suite.context import Context, Findings
from xpert.evaluation.suite.reckoned import (
    EXHAUSTIVE,
    HYPERBAND,
    XPERT,
    TextTokens,
    at_the_papers_sizes,
    catalog_size,
    least,
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
from xpert.references import describe, resolve
from xpert.tensors.files import write_text

__all__ = ["table_7"]

_FREE, _ENCODER = ("random", "oracle"), "encoder similarity (MiniLM)"
_PAIRED = "xpert, base answers the user's prompts"
_PHONE = "pixel-7"
_DRAWN = ("models", "downloaded_bytes", "inferences", "readings")


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
    summaries = [_summary(rows, method, size) for size in sizes for method in _methods_of(rows)]
    tokens = [TextTokens(**one["tokens"]) for one in kept]
    counted, reckoned = at_the_papers_sizes(tokens, summaries, catalogs[max(sizes)])
    return Findings(
        tables=[
            *(
                Table(title=f"{size} models, {_n_users(rows, size)} users", markdown=_costs(summaries, size))
                for size in sizes
            ),
            Table(
                title=f"What each says about its choice for a first user, of {max(sizes)} models", markdown=_why(rows)
            ),
            Table(title="Processor seconds by the size of the pool (median over users)", markdown=_growth(summaries)),
            Table(title="The catalog, as a device downloads it", markdown=_catalog_table(context, catalogs)),
            Table(
                title="Pool sizes from which xpert downloads less than all models, by the catalog of the largest pool",
                markdown=_break_even(context, catalogs[max(sizes)]["bytes"]),
            ),
            *counted,
        ],
        charts=[_chart(summaries, sizes)],
        rows={"users": rows, "summaries": summaries, "catalogs": catalogs, "reckoned": reckoned},
        weights=context.weights([one.reference for one in pools[max(sizes)]]),
    )


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
    explainer = Explainer(
        context.cast.base,
        context.summarizer,
        prompts=context.cast.prompts(N_PAIRS, context.seed),
        seed=context.seed,
        generation=replace(context.cast.generation, seed=context.seed),
        cache=context.cache,
        subvectors=context.subvectors,
    )
    catalogs = {
        size: explainer.explain({one.name: one.reference for one in pool}) for size, pool in sorted(pools.items())
    }
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


def _said(context: Context, prober: Prober, catalog: Catalog, models: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """What each model said when it was explained."""
    asked = tuple(example.prompt or "" for example in catalog.base_answers)
    task = ProbeTask(base=context.cast.base, prompts=asked, generation=catalog.provenance.generation)
    return {name: told.texts for name, told in model_answers(prober, task, models, open_cache(context.cache))}


def _user_rows(context: Context, tools: _Tools, pool: Sequence[Pooled], user: DemoUser) -> list[dict[str, Any]]:
    """One row a method; what the server does (explaining, encoding the models' answers) is nobody's cost here.

    A summarizer that has just been loaded reads for each selection: one that has read before would know the first half of each
    question, the catalog's base answers, which a device meets for the first time.
    """
    seed = context.seed + list(context.models).index(user.style)
    models, styles = {one.name: one.reference for one in pool}, {one.name: one.style for one in pool}
    searched, half = _Part(whole=tools.pool, names=list(models)), math.ceil(len(models) / 2)
    said, catalog = {name: tools.said[name] for name in models}, tools.catalogs[len(models)]
    with ExitStack() as stack:
        first, second = (load_summarizer(context.setting.summarizer) for _ in range(2))
        stack.callback(first.close)
        stack.callback(second.close)
        methods: dict[str, CostedMethod] = {
            XPERT: XpertMethod(catalog, first, models, phone=_PHONE),
            _PAIRED: XpertMethod(catalog, second, models, base=tools.prober, phone=_PHONE),
            EXHAUSTIVE: ExhaustiveBaseline(searched, phone=_PHONE),
            "Bayesian optimization, TPE, all": BayesianBaseline(searched, seed=seed, phone=_PHONE),
            "Bayesian optimization, TPE, half": BayesianBaseline(searched, budget=half, seed=seed, phone=_PHONE),
            "Bayesian optimization, GP, half": BayesianBaseline(
                searched, sampler="gp", budget=half, seed=seed, phone=_PHONE
            ),
            HYPERBAND: HyperbandBaseline(searched, seed=seed, phone=_PHONE),
            _ENCODER: EncoderSimilarityBaseline(models, said, tools.encoder, phone=_PHONE),
            "random": RandomBaseline(models, seed=seed),
            "oracle": OracleBaseline(models, user.style),
        }
        return [_row(name, styles, user, method) for name, method in methods.items()]


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the processor seconds that hold the server's work: the encoder reads the models' answers within its run."""
    return {**row, "processor_s": None if row["method"] == _ENCODER else row["processor_s"]}


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


def _methods_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _n_users(rows: Sequence[Mapping[str, Any]], size: int) -> int:
    return len({row["user"] for row in rows if row["models"] == size})


def _of(rows: Sequence[Mapping[str, Any]], method: str, size: int) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["method"] == method and row["models"] == size]


def _right(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    return [float(row["best_style"] == row["style"]) for row in rows]


def _summary(rows: Sequence[Mapping[str, Any]], method: str, size: int) -> dict[str, Any]:
    """Over the users of a pool: means of what is counted, the median of what is timed; shares are of processor seconds."""
    own, whole = _of(rows, method, size), _of(rows, EXHAUSTIVE, size)
    seconds, processor = (
        [row["cost"]["seconds"] for row in own],
        [p for row in own if (p := row["processor_s"]) is not None],
    )
    measured = [[e["joules"] for e in row["cost"]["energy"] if e["kind"] == "measured"] for row in own]
    phone = [e["joules"] for row in own for e in row["cost"]["energy"] if e["kind"] == "estimated"]
    return {
        "method": method,
        "models": size,
        "right": asdict(estimate(_right(own))),
        "against_exhaustive": asdict(paired_difference(_right(own), _right(whole))),
        **{f"mean_{name}": fmean(row["cost"][name] for row in own) for name in _DRAWN},
        "seconds": median(seconds),
        "seconds_range": [min(seconds), max(seconds)],
        "processor_s": median(processor) if processor else None,
        "processor_range": [min(processor), max(processor)] if processor else None,
        "of_exhaustive": median(processor) / median(row["processor_s"] for row in whole) if processor else None,
        "measured_j": median(sum(one) for one in measured) if all(measured) else None,
        "phone_j": median(phone) if phone else 0.0,
    }


def _costs(summaries: Sequence[Mapping[str, Any]], size: int) -> str:
    header = [
        "method",
        "right (95%)",
        "less exhaustive's, in points",
        "downloaded",
        "models",
        "inferences",
        "texts read",
        "compute",
        "processor",
        "of exhaustive",
        "energy, Pixel 7 (estimated)",
        *(["energy, measured"] if any(row["measured_j"] is not None for row in summaries) else []),
    ]
    cells = [
        [
            row["method"],
            f"{_percent(row['right']['mean'])} ({_percent(row['right']['low'])} to {_percent(row['right']['high'])})",
            points(row["against_exhaustive"]),
            f"{row['mean_downloaded_bytes'] / 1e6:.2f} MB",
            f"{row['mean_models']:.1f}",
            f"{row['mean_inferences']:.0f}",
            f"{row['mean_readings']:.0f}",
            f"{row['seconds']:.3f} s",
            "-" if row["processor_s"] is None else f"{row['processor_s']:.3f} s",
            "-" if row["of_exhaustive"] is None else _percent(row["of_exhaustive"]),
            f"{row['phone_j']:.2f} J",
            "-" if row["measured_j"] is None else f"{row['measured_j']:.2f} J",
        ][: len(header)]
        for row in summaries
        if row["models"] == size
    ]
    return markdown(header, cells)


def _why(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the methods say of the choice that they made for the first user in the largest pool."""
    largest = [row for row in rows if row["models"] == max(one["models"] for one in rows)]
    own = [row for row in largest if row["user"] == largest[0]["user"]]
    cells = [[row["method"], row["best"], " ".join(row["why"]) or "nothing"] for row in own]
    return markdown(["method", f"chose, for {own[0]['style']}", "why, in its words"], cells)


def _growth(summaries: Sequence[Mapping[str, Any]]) -> str:
    """A row a method, a column a size of the pool, and how much the last is of the first."""
    sizes = sorted({row["models"] for row in summaries})
    by = {(row["method"], row["models"]): row["processor_s"] for row in summaries}
    header = ["method", *(f"{size} models" for size in sizes), f"{sizes[-1]} models / {sizes[0]} models"]
    cells = [
        [
            method,
            *(f"{by[method, size]:.3f}" for size in sizes),
            f"{by[method, sizes[-1]] / by[method, sizes[0]]:.2f}",
        ]
        for method in _methods_of(summaries)
        if method not in (*_FREE, _ENCODER)
    ]
    return markdown(header, cells)


def _catalog_table(context: Context, catalogs: Mapping[int, Mapping[str, int]]) -> str:
    """What is downloaded beside the chosen model, as a share of pools of adapters and of full models."""
    full = describe(context.cast.base).bytes
    header = ["models", "sub-vectors", "catalog", "of a pool of adapters", "of a pool of full models"]
    cells = [
        [
            str(size),
            str(told["subvectors"]),
            f"{told['bytes'] / 1e6:.3f} MB",
            _percent(told["bytes"] / sum(describe(one.reference).bytes for one in _pool(context, size))),
            f"{100 * told['bytes'] / (size * full):.2f}%",
        ]
        for size, told in sorted(catalogs.items())
    ]
    return markdown(header, cells)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _break_even(context: Context, catalog_bytes: int) -> str:
    """With and without the summarizer, for pools of adapters and of full models."""
    adapter = fmean(describe(reference).bytes for reference in context.models.values())
    summarizer, full = _weight(context.setting.summarizer), describe(context.cast.base).bytes
    header = ["pool of", "a model", "catalog", "summarizer", "xpert less from", "with the summarizer, from"]
    cells = [
        [
            name,
            f"{size / 1e6:.2f} MB",
            f"{catalog_bytes / 1e6:.3f} MB",
            "-" if summarizer is None else f"{summarizer / 1e6:.2f} MB",
            f"{least(size, catalog_bytes)} models",
            "-" if summarizer is None else f"{least(size, catalog_bytes + summarizer)} models",
        ]
        for name, size in (("adapters", adapter), ("full models", full))
    ]
    return markdown(header, cells)


def _weight(summarizer: str) -> int | None:
    """Bytes of a summarizer, where its name tells a model; None for one that is part of a package."""
    model = model_of(summarizer)
    return None if model is None else describe(model).bytes


def _chart(summaries: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> Chart:
    shown = [method for method in _methods_of(summaries) if method not in (*_FREE, _ENCODER)]
    by = {(row["method"], row["models"]): row for row in summaries}
    series = [
        Series(
            name=method,
            x=list(sizes),
            y=[by[method, size]["processor_s"] for size in sizes],
            low=[by[method, size]["processor_range"][0] for size in sizes],
            high=[by[method, size]["processor_range"][1] for size in sizes],
        )
        for method in shown
    ]
    return Chart(
        title="Compute of selecting (median and range over users)",
        x_label="models",
        y_label="processor seconds",
        series=series,
    )
