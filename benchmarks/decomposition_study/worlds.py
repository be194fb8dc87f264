"""What the study decomposes: real text through MiniLM, and the zoo's corpus through the zoo's summarizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xpert import AnswerPair, load_summarizer
from xpert.protocols import SubvectorContext
from xpert.subvectors.contrastive import ContrastiveSubvectors
from xpert.summarizers.encoder import PHRASE, adjectives
from xpert.types import Array
from xpert.zoo.corpus import DEFAULT, PROPERTIES, STYLES, examples, properties_of, side_questions, write

ENCODED = "encoded.npz"
ZOO = "zoo.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Embeddings of models and users, and words for them.

    Attributes:
        styles: ``M`` names.
        properties: Per style, the properties that it differs in, one a dimension.
        words: ``W`` words that have a sub-vector.
        vectors: ``(W, D)``.
        models: ``(M, P, D)`` rows of the models' pairs.
        users: ``(M, Q, D)`` rows of the users' pairs, on other questions.
        candidates: Per style, candidate words, best first; None: by their cosine with the embedding, the first 128.
        length: ``(M,)`` mean log ratio of the users' words to the base's, or None.
    """

    styles: tuple[str, ...]
    properties: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    vectors: Array
    models: Array
    users: Array
    candidates: tuple[tuple[str, ...], ...] | None = None
    length: Array | None = None


def real_text(data: Path, work: Path) -> World:
    """Recorded styles; texts that ``benchmarks/recorded_style_qa`` has encoded (lines where any text is missing are left out)."""
    with np.load(work / ENCODED, allow_pickle=False) as saved:
        known = dict(zip(saved["keys"].tolist(), saved["rows"], strict=True))

    def row(text: str) -> Array | None:
        return known.get(hashlib.sha256(text.encode()).hexdigest())

    texts = {file.stem: _responses(file) for file in sorted((data / "style_qa").glob("*.jsonl"))}
    styles = tuple(name for name in texts if name != "default")
    lines = [i for i in range(1000) if all(row(column[i]) is not None for column in texts.values())]
    rows = {name: np.stack([known[_key(column[i])] for i in lines]) for name, column in texts.items()}
    at = int(np.searchsorted(lines, 500))
    apart = np.stack([rows[name] - rows["default"] for name in styles])
    said = np.stack([known[_key(PHRASE.format(word=word))] for word in adjectives()])
    length = [
        np.mean(
            [np.log(len(b.split()) / max(1, len(a.split()))) for a, b in zip(texts["default"], texts[s], strict=True)]
        )
        for s in styles
    ]
    return World(
        styles=styles,
        properties=tuple(tuple(name.split("-")) for name in styles),
        words=adjectives(),
        vectors=said - said.mean(axis=0),
        models=apart[:, :at],
        users=apart[:, at:],
        length=np.array(length, np.float32),
    )


def zoo(work: Path, *, n_pairs: int = 40, n_prompts: int = 8) -> World:
    """The 28 styles of the corpus, models' and users' halves; sub-vectors contrastive. Made once, kept in ``work``."""
    store = work / ZOO
    if not store.is_file():
        _make_zoo(store, n_pairs, n_prompts)
    with np.load(store, allow_pickle=False) as saved:
        styles = tuple(saved["names"].tolist())
        known = set(saved["words"].tolist())
        return World(
            styles=styles,
            properties=tuple(tuple(properties_of(STYLES[name])) for name in styles),
            words=tuple(saved["words"].tolist()),
            vectors=saved["V"],
            models=saved["models"],
            users=saved["users"],
            candidates=tuple(tuple(w for w in saved[f"cand-{name}"].tolist() if w in known) for name in styles),
        )


def _make_zoo(store: Path, n_pairs: int, n_prompts: int) -> None:
    summarizer = load_summarizer("zoo:summarizer")
    by_text = {q.text: q for q in side_questions("models")}
    some = _pairs("elementary-concise-friendly", "models", 24, seed=0)
    others = [write(by_text[p.prompt], DEFAULT, side="models", seed=7000 + i) for i, p in enumerate(some)]
    base = [AnswerPair(prompt=p.prompt, base=p.base, other=o) for p, o in zip(some, others, strict=True)]
    null = summarizer.summarize(base).embeddings.mean(axis=0)
    found: dict[str, np.ndarray] = {"names": np.array(list(STYLES))}
    for side in ("models", "users"):
        rows: list[Array] = []
        for name in STYLES:
            pairs = _pairs(name, side, n_pairs, seed=3)
            summary = summarizer.summarize(pairs, n_candidates=summarizer.defaults.max_candidates)
            rows.append(summary.embeddings - null)
            if side == "models":
                found[f"cand-{name}"] = np.array([c.word for c in summary.candidates])
        found[side] = np.stack(rows)
    words = list(dict.fromkeys(word for family in PROPERTIES.values() for word in family))
    context = SubvectorContext(
        summarizer=summarizer,
        prompts=[p.prompt for p in some],
        base_answers=[p.base for p in some],
        null=null.astype(np.float32),
    )
    source = ContrastiveSubvectors(n_prompts=n_prompts)
    vectors = [source.vectors(words[i : i + 40], context) for i in range(0, len(words), 40)]
    np.savez(store, words=np.array(words), V=np.concatenate(vectors), **found)
    summarizer.close()


def _pairs(style: str, side: str, n: int, seed: int) -> list[AnswerPair]:
    by_text = {q.text: q for q in side_questions(side)}  # type: ignore[arg-type]
    return [
        AnswerPair(
            prompt=e.prompt or "",
            base=write(by_text[e.prompt or ""], DEFAULT, side=side, seed=seed + i),  # type: ignore[arg-type]
            other=e.response,
        )
        for i, e in enumerate(examples(STYLES[style], side=side, n=n, seed=seed))  # type: ignore[arg-type]
    ]


def _responses(file: Path) -> list[str]:
    return [json.loads(line)["response"] for line in file.read_text(encoding="utf-8").splitlines()]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def accepted_words(path: Path) -> Mapping[str, Sequence[str]]:
    """Property to the words accepted as naming it, written down before anything was measured."""
    return json.loads(path.read_text(encoding="utf-8"))["properties"]
