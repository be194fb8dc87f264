"""What selecting costs at the paper's sizes, by operations and bytes: a base of 1 billion parameters, a summarizer of 8, nothing of it run.

Operations: 2 a parameter and token (`xpert.evaluation.paper.plan`); attention between tokens is left out. A search reads the prompt and the
text of every example with every model, output layer included. xpert reads one question an example with the summarizer, up to the last hidden
state, so that neither output layer nor input embeddings are multiplied; naming the user's style, which looks at words, is not counted.

Source: 2 operations a parameter and token, Kaplan et al. 2020 (arXiv 2001.08361), section 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from xpert.catalog import Catalog
from xpert.decoding import render, token_ids
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.methods import device_bytes
from xpert.evaluation.paper.models import BASES, MODELS, SUMMARIZER, ModelShape
from xpert.evaluation.results import Table
from xpert.summarizers.instructions import LANGUAGE_STYLE
from xpert.types import Example

__all__ = [
    "EXHAUSTIVE",
    "HYPERBAND",
    "XPERT",
    "TextTokens",
    "adapter_bytes",
    "at_the_papers_sizes",
    "catalog_size",
    "int8_bytes",
    "least",
    "operations",
    "text_tokens",
]

EXHAUSTIVE, HYPERBAND, XPERT = "exhaustive search", "HyperBand", "xpert"
SIZES = (14, 28, 56, 84)
"""Models of the pools of the paper's Figure 12."""
PAPERS_QUESTION = 200
"""Tokens of a question to the summarizer, as the paper has them (section 5.1)."""
RANK = 8
_BASE, _LARGE = MODELS[BASES[0]], MODELS[SUMMARIZER.partition(":")[2]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTokens:
    """Tokens that a user's texts come to, summed over the texts.

    Attributes:
        texts: How many there are.
        foreseen: Of prompts and texts: what a model reads to tell its loss.
        questions: Of the questions to a summarizer, both answers in them.
        answered: Of prompts and base answers: what the base reads and writes to answer the prompts.
    """

    texts: int
    foreseen: int
    questions: int
    answered: int


def text_tokens(tokenizer: Any, examples: Sequence[Example], base_answers: Sequence[Example]) -> TextTokens:
    """Counted with one tokenizer, for losses and questions alike; the shipped wording, answers cut as a summarizer cuts them.

    Args:
        tokenizer: Of the models that are there, in the place of the paper's.
        examples: The user's texts.
        base_answers: As many at least; each stands beside one of the texts.
    """

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def cut(text: str) -> str:
        own, most = ids(text), LANGUAGE_STYLE.max_answer_tokens
        return text if len(own) <= most else tokenizer.decode(own[:most])

    pairs = list(zip(examples, base_answers, strict=False))
    asked = [
        LANGUAGE_STYLE.compare.format(a=cut(base.response), b=cut(own.response), prompt=own.prompt or "")
        for own, base in pairs
    ]
    prompts = [len(token_ids(tokenizer, [render(tokenizer, own.prompt)])[0]) if own.prompt else 0 for own in examples]
    return TextTokens(
        texts=len(examples),
        foreseen=sum(prompts) + sum(len(ids(own.response)) + 1 for own in examples),
        questions=sum(map(len, token_ids(tokenizer, [render(tokenizer, text) for text in asked]))),
        answered=sum(prompts) + sum(len(ids(base.response)) + 1 for _, base in pairs),
    )


def catalog_size(catalog: Catalog) -> dict[str, int]:
    """Models, sub-vectors, width, and bytes as a device downloads it; of these, what one more model takes beside its coordinates."""
    with TemporaryDirectory() as folder:
        saved = catalog.save_pretrained(f"{folder}/catalog", server_files=False)
        cards = (saved / "models.jsonl").stat().st_size
    k, width = catalog.basis.vectors.shape
    return {
        "models": len(catalog),
        "subvectors": int(k),
        "width": int(width),
        "bytes": device_bytes(catalog),
        "card_bytes": cards // len(catalog),
    }


def operations(models: float, tokens: TextTokens) -> dict[str, float]:
    """By method: of a search that shows all texts to so many models, of xpert, and of xpert where the base answers the prompts.

    Args:
        models: How many models are shown all texts; a part of one counts as that.
        tokens: Of a user.
    """
    inner = _LARGE.multiplied - _LARGE.vocab_size * _LARGE.hidden_size
    read = 2.0 * inner * tokens.questions
    return {
        EXHAUSTIVE: 2.0 * _BASE.multiplied * tokens.foreseen * models,
        XPERT: read,
        "paired": read + 2.0 * _BASE.multiplied * tokens.answered,
        "paper": 2.0 * inner * PAPERS_QUESTION * tokens.texts,
    }


def adapter_bytes(shape: ModelShape, rank: int) -> int:
    """Of a LoRA of all seven matrices of each layer, in bfloat16."""
    width, narrow, wide = shape.hidden_size, round(shape.hidden_size * shape.key_value_share), shape.intermediate_size
    rows_and_columns = 2 * (width + width) + 2 * (width + narrow) + 3 * (width + wide)
    return 2 * shape.layers * rank * rows_and_columns


def int8_bytes(shape: ModelShape) -> int:
    """As `xpert quantize` stores it: a byte an entry of the layers' matrices and a float32 a row, the rest in bfloat16."""
    width, narrow, wide = shape.hidden_size, round(shape.hidden_size * shape.key_value_share), shape.intermediate_size
    entries = 2 * width * width + 2 * width * narrow + 3 * width * wide
    rows = 2 * width + 2 * narrow + 2 * wide + width
    return shape.bytes - shape.layers * (entries - 4 * rows)


def least(model_bytes: float, besides: float, part: int = 1) -> int:
    """The smallest pool whose models weigh more than one of them and what is downloaded besides.

    >>> least(10, 25), least(10, 20)
    (4, 4)
    >>> least(10, 25, part=2)  # 4 of 7
    7

    Args:
        model_bytes: Of one model.
        besides: Bytes.
        part: Of the pool only one model in so many counts, rounded up.
    """
    return part * math.floor((model_bytes + besides) / model_bytes) + 1


def at_the_papers_sizes(
    tokens: Sequence[TextTokens], summaries: Sequence[Mapping[str, Any]], catalog: Mapping[str, int]
) -> tuple[list[Table], dict[str, Any]]:
    """Tables of operations, of downloads and of break-even sizes, and their figures.

    Args:
        tokens: Of each user.
        summaries: Of the measured pools: how many of the inferences HyperBand saved.
        catalog: `catalog_size` of the largest measured pool.
    """
    mean = {key: fmean(asdict(one)[key] for one in tokens) for key in asdict(tokens[0])}
    user = TextTokens(**{key: round(value) for key, value in mean.items()})
    counted = [_counted(size, user, summaries) for size in SIZES]
    loaded = [_loaded(size, catalog) for size in SIZES]
    title = (
        f"Reckoned at the paper's sizes ({_BASE.reference}, {_BASE.parameters / 1e9:.2f} billion parameters; {_LARGE.reference}, "
        f"{_LARGE.parameters / 1e9:.2f}): operations of a selection in 10^12, {user.texts} texts of {user.foreseen / user.texts:.0f} tokens "
        f"with their prompts, questions of {user.questions / user.texts:.0f}, all by the tokenizer of the base that is here"
    )
    tables = [
        Table(title=title, markdown=_operations_table(counted)),
        Table(
            title=f"Reckoned at the paper's sizes: downloads in MB; adapters of rank {RANK} on all matrices, and full models, in bfloat16",
            markdown=_downloads_table(loaded),
        ),
        Table(
            title="Reckoned at the paper's sizes: pools from which xpert downloads less than all models (exhaustive search, HyperBand), or than half of them (Bayesian optimization of half)",
            markdown=_least_table(_catalog_bytes(SIZES[-1], catalog)),
        ),
    ]
    return tables, {"tokens": asdict(user), "operations": counted, "downloads": loaded}


def _counted(size: int, user: TextTokens, summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Operations of every method for a pool of a size; HyperBand sees the part of the samples that it saw in the nearest measured pool."""
    near = min({row["models"] for row in summaries}, key=lambda n: (abs(n - size), n))
    seen = next(row for row in summaries if (row["method"], row["models"]) == (HYPERBAND, near))
    share = seen["mean_inferences"] / (near * user.texts)
    whole = operations(size, user)
    return {
        "models": size,
        "hyperband_share": share,
        "hyperband_measured_at": near,
        "bayesian_half": operations(math.ceil(size / 2), user)[EXHAUSTIVE],
        HYPERBAND: share * whole[EXHAUSTIVE],
        **whole,
    }


def _operations_table(counted: Sequence[Mapping[str, Any]]) -> str:
    header = [
        "models",
        "exhaustive search, Bayesian optimization of all",
        "Bayesian optimization, half",
        "HyperBand (its share as measured at)",
        "xpert",
        "of exhaustive",
        "xpert, base answers the user's prompts",
        "of exhaustive",
        f"xpert, questions of {PAPERS_QUESTION} tokens as the paper's",
        "of exhaustive",
    ]
    cells = [
        [
            str(row["models"]),
            f"{row[EXHAUSTIVE] / 1e12:.1f}",
            f"{row['bayesian_half'] / 1e12:.1f}",
            f"{row[HYPERBAND] / 1e12:.1f} ({100 * row['hyperband_share']:.0f}% at {row['hyperband_measured_at']})",
            *(
                cell
                for key in (XPERT, "paired", "paper")
                for cell in (f"{row[key] / 1e12:.1f}", f"{100 * row[key] / row[EXHAUSTIVE]:.1f}%")
            ),
        ]
        for row in counted
    ]
    return markdown(header, cells)


def _catalog_bytes(models: int, measured: Mapping[str, int]) -> int:
    """The measured catalog with sub-vectors of the summarizer's width, and so many models; as many sub-vectors as it has."""
    k = measured["subvectors"]
    wider = 4 * (k + 1) * (_LARGE.hidden_size - measured["width"])
    return measured["bytes"] + wider + (models - measured["models"]) * (8 * k + measured["card_bytes"])


def _loaded(size: int, measured: Mapping[str, int]) -> dict[str, Any]:
    """Bytes for a pool of a size: all models, half of them, and xpert's."""
    catalog = _catalog_bytes(size, measured)
    pools = {"adapters": adapter_bytes(_BASE, RANK), "full models": _BASE.bytes}
    return {
        "models": size,
        "catalog": catalog,
        **{
            kind: {
                "all": size * one,
                "half": math.ceil(size / 2) * one,
                "xpert": catalog + one,
                "with_summarizer": catalog + one + _LARGE.bytes,
                "with_int8": catalog + one + int8_bytes(_LARGE),
            }
            for kind, one in pools.items()
        },
    }


def _downloads_table(loaded: Sequence[Mapping[str, Any]]) -> str:
    header = [
        "pool",
        "all models",
        "half of them",
        "xpert",
        "with the summarizer in bfloat16",
        "in int8",
        "catalog",
        "catalog of the pool",
    ]
    cells = [
        [
            f"{row['models']} {kind}",
            *(f"{row[kind][key] / 1e6:,.1f}" for key in ("all", "half", "xpert", "with_summarizer", "with_int8")),
            f"{row['catalog'] / 1e6:.2f}",
            f"{100 * row['catalog'] / row[kind]['all']:.3f}%",
        ]
        for kind in ("adapters", "full models")
        for row in loaded
    ]
    return markdown(header, cells)


def _least_table(catalog: int) -> str:
    """By the catalog of the largest pool."""
    header = ["pool of", "a model", "less than", "without the summarizer", "with it in bfloat16", "with it in int8"]
    cells = [
        [
            kind,
            f"{one / 1e6:,.1f} MB",
            told,
            *(f"{least(one, catalog + more, part)} models" for more in (0, _LARGE.bytes, int8_bytes(_LARGE))),
        ]
        for kind, one in (("adapters", adapter_bytes(_BASE, RANK)), ("full models", _BASE.bytes))
        for told, part in (("all models", 1), ("half of them", 2))
    ]
    return markdown(header, cells)
