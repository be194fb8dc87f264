"""Table 7 and Figure 12: what each method downloads and computes to choose, against the size of the pool."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

from xpert import load_summarizer
from xpert.baselines.bayesian import BayesianBaseline
from xpert.baselines.bounds import OracleBaseline, RandomBaseline
from xpert.baselines.encoder_similarity import EncoderSimilarityBaseline
from xpert.baselines.exhaustive import ExhaustiveBaseline
from xpert.baselines.hyperband import HyperbandBaseline
from xpert.baselines.pool import ModelPool
from xpert.errors import ReferenceNotFoundError
from xpert.evaluation.bootstrap import estimate, paired_difference
from xpert.evaluation.demo_users import DemoUser
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.methods import XpertMethod, device_bytes
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.sources import N_PAIRS
from xpert.evaluation.suite.context import Context, Findings
from xpert.explainer import Explainer
from xpert.modalities import load_modality, modality_of
from xpert.progress import track
from xpert.protocols import CostedMethod, Prober, TextEncoder
from xpert.references import describe
from xpert.tensors.files import write_text
from xpert.types import CostedSelection

__all__ = ["table_7"]

EXHAUSTIVE, XPERT = "exhaustive search", "xpert"
_PAIRED = "xpert, base answers the user's prompts"
_PHONE = "pixel-7"
_DRAWN = ("models", "downloaded_bytes", "inferences", "readings")


def table_7(context: Context) -> Findings:
    """Every method on every user of pools of several sizes."""
    rows: list[dict[str, Any]] = []
    catalog_bytes: dict[int, int] = {}
    with _tools(context) as (prober, encoder):
        for size in context.preset.pool_sizes:
            names = random.Random(f"pool/{context.seed}").sample(list(context.models), len(context.models))
            models = {name: context.models[name] for name in names[:size]}
            file = context.work / f"costs-{context.preset.name}-{context.seed}-{size}{context.setting.suffix}.json"
            if not file.is_file():
                write_text(file, json.dumps(_pool_rows(context, models, prober, encoder)) + "\n")
            kept = json.loads(file.read_text(encoding="utf-8"))
            rows += kept["rows"]
            catalog_bytes[size] = kept["catalog_bytes"]
    summaries = [_summary(rows, method, size) for size in context.preset.pool_sizes for method in _methods_of(rows)]
    largest = max(context.preset.pool_sizes)
    return Findings(
        tables=[
            *(
                Table(title=f"{size} models, {_n_users(rows, size)} users", markdown=_costs(summaries, size))
                for size in context.preset.pool_sizes
            ),
            Table(
                title="Pool sizes from which xpert downloads less than all models, by the catalog of the largest pool",
                markdown=_break_even(context, catalog_bytes[largest]),
            ),
        ],
        charts=[_chart(summaries, context.preset.pool_sizes)],
        rows={"users": rows, "summaries": summaries, "catalog_bytes": catalog_bytes},
    )


@contextmanager
def _tools(context: Context) -> Iterator[tuple[Prober, TextEncoder]]:
    """The base and an encoder in memory."""
    with ExitStack() as stack:
        prober = stack.enter_context(load_modality(modality_of(context.cast.base)).open(context.cast.base))
        encoder: Any = load_summarizer("encoder:minilm")
        stack.callback(encoder.close)
        yield prober, encoder


def _pool_rows(context: Context, models: Mapping[str, str], prober: Prober, encoder: TextEncoder) -> dict[str, Any]:
    """One row a user and method; what the server does (explaining, encoding the models' answers) is nobody's cost here."""
    explainer = Explainer(
        context.cast.base,
        context.summarizer,
        prompts=context.cast.prompts(N_PAIRS, context.seed),
        seed=context.seed,
        cache=context.cache,
        subvectors=context.subvectors,
    )
    catalog = explainer.explain(models)
    asked = [example.prompt or "" for example in catalog.base_answers]
    said = {name: prober.answer(models[name], asked, catalog.provenance.generation) for name in models}
    users = [user for user in context.users() if user.style in models]
    rows: list[dict[str, Any]] = []
    with ModelPool(base=context.cast.base, models=models).held() as pool:
        for number, user in enumerate(track(users, f"selecting among {len(models)}", unit="user")):
            seed = context.seed + number
            methods: dict[str, CostedMethod] = {
                XPERT: XpertMethod(catalog, context.summarizer, models, phone=_PHONE),
                _PAIRED: XpertMethod(catalog, context.summarizer, models, base=prober, phone=_PHONE),
                EXHAUSTIVE: ExhaustiveBaseline(pool, phone=_PHONE),
                "Bayesian optimization, TPE, all": BayesianBaseline(pool, seed=seed, phone=_PHONE),
                "Bayesian optimization, TPE, half": BayesianBaseline(
                    pool, budget=math.ceil(len(models) / 2), seed=seed, phone=_PHONE
                ),
                "Bayesian optimization, GP, half": BayesianBaseline(
                    pool, sampler="gp", budget=math.ceil(len(models) / 2), seed=seed, phone=_PHONE
                ),
                "HyperBand": HyperbandBaseline(pool, seed=seed, phone=_PHONE),
                "encoder similarity (MiniLM)": EncoderSimilarityBaseline(models, said, encoder, phone=_PHONE),
                "random": RandomBaseline(models, seed=seed),
                "oracle": OracleBaseline(models, user.style),
            }
            rows += [_row(name, len(models), user, method.run(user.examples)) for name, method in methods.items()]
    return {"rows": rows, "catalog_bytes": device_bytes(catalog)}


def _row(method: str, size: int, user: DemoUser, found: CostedSelection) -> dict[str, Any]:
    return {
        "method": method,
        "models": size,
        "user": user.name,
        "style": user.style,
        "best": found.selection.best,
        "why": list(found.why),
        "cost": asdict(found.cost),
    }


def _methods_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _n_users(rows: Sequence[Mapping[str, Any]], size: int) -> int:
    return len({row["user"] for row in rows if row["models"] == size})


def _of(rows: Sequence[Mapping[str, Any]], method: str, size: int) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["method"] == method and row["models"] == size]


def _right(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    return [float(row["best"] == row["style"]) for row in rows]


def _summary(rows: Sequence[Mapping[str, Any]], method: str, size: int) -> dict[str, Any]:
    """Over the users of a pool: means of what is counted, the median of what is timed."""
    own, whole = _of(rows, method, size), _of(rows, EXHAUSTIVE, size)
    seconds = [row["cost"]["seconds"] for row in own]
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
        "of_exhaustive": median(seconds) / median(row["cost"]["seconds"] for row in whole),
        "measured_j": median(sum(one) for one in measured) if all(measured) else None,
        "phone_j": median(phone) if phone else 0.0,
    }


def _costs(summaries: Sequence[Mapping[str, Any]], size: int) -> str:
    header = [
        "method",
        "right (95%)",
        "downloaded",
        "models",
        "inferences",
        "texts read",
        "compute",
        "of exhaustive",
        "energy, Pixel 7 (estimated)",
    ]
    cells = [
        [
            row["method"],
            f"{_percent(row['right']['mean'])} ({_percent(row['right']['low'])} to {_percent(row['right']['high'])})",
            f"{row['mean_downloaded_bytes'] / 1e6:.2f} MB",
            f"{row['mean_models']:.1f}",
            f"{row['mean_inferences']:.0f}",
            f"{row['mean_readings']:.0f}",
            f"{row['seconds']:.3f} s",
            _percent(row["of_exhaustive"]),
            f"{row['phone_j']:.2f} J",
        ]
        for row in summaries
        if row["models"] == size
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
            f"{_least(size, catalog_bytes)} models",
            "-" if summarizer is None else f"{_least(size, catalog_bytes + summarizer)} models",
        ]
        for name, size in (("adapters", adapter), ("full models", full))
    ]
    return markdown(header, cells)


def _weight(summarizer: str) -> int | None:
    """Bytes of a summarizer, where its name tells a model; None for one that is part of a package."""
    kind, _, rest = summarizer.partition(":")
    try:
        return describe(summarizer if kind == "zoo" else rest).bytes
    except ReferenceNotFoundError:
        return None


def _least(model_bytes: float, besides: float) -> int:
    """The smallest pool whose models weigh more than one of them and what is downloaded besides.

    >>> _least(10, 25), _least(10, 20)
    (4, 4)
    """
    return math.floor((model_bytes + besides) / model_bytes) + 1


def _chart(summaries: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> Chart:
    shown = [method for method in _methods_of(summaries) if method not in ("random", "oracle")]
    by = {(row["method"], row["models"]): row for row in summaries}
    series = [
        Series(
            name=method,
            x=list(sizes),
            y=[by[method, size]["seconds"] for size in sizes],
            low=[by[method, size]["seconds_range"][0] for size in sizes],
            high=[by[method, size]["seconds_range"][1] for size in sizes],
        )
        for method in shown
    ]
    return Chart(
        title="Compute of selecting (median and range over users)", x_label="models", y_label="seconds", series=series
    )
