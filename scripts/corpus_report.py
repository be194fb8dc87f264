"""Report the style corpus as JSON: counts, lengths, repetition, vocabulary, and how well bags of words tell styles.

Run `python scripts/corpus_report.py [texts per style and side]`.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from xpert.zoo.corpus import DEFAULT, GRADED, PROPERTIES, STYLES, Style, examples, questions, side_questions
from xpert.zoo.corpus.banks import bank_names, phrases
from xpert.zoo.corpus.language import count_words, words

__all__ = ["centroid_accuracy", "max_five_gram", "report"]


def max_five_gram(texts: list[list[str]]) -> tuple[float, str]:
    """The largest share of texts that hold one and the same sequence of five words, and that sequence."""
    seen: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        seen.update({tuple(text[i : i + 5]) for i in range(len(text) - 4)})
    gram, count = seen.most_common(1)[0]
    return count / len(texts), " ".join(gram)


def centroid_accuracy(train: dict[str, list[list[str]]], test: dict[str, list[list[str]]], *, tfidf: bool) -> float:
    """Share of single test texts whose nearest class centroid (cosine of bags of words) is that of their style."""
    documents = [Counter(text) for texts in train.values() for text in texts]
    df = Counter(word for document in documents for word in document)
    n = len(documents)
    weight = {word: math.log((1 + n) / (1 + count)) + 1 if tfidf else 1.0 for word, count in df.items()}

    def vector(text: list[str]) -> dict[str, float]:
        raw = {word: count * weight.get(word, 0.0) for word, count in Counter(text).items()}
        norm = math.sqrt(sum(value * value for value in raw.values())) or 1.0
        return {word: value / norm for word, value in raw.items()}

    index: dict[str, dict[str, float]] = {}
    for style, texts in train.items():
        total: Counter[str] = Counter()
        for text in texts:
            total.update(vector(text))
        norm = math.sqrt(sum(value * value for value in total.values()))
        for word, value in total.items():
            index.setdefault(word, {})[style] = value / norm
    right = 0
    for style, texts in test.items():
        for text in texts:
            scores: Counter[str] = Counter()
            for word, value in vector(text).items():
                for name, share in index.get(word, {}).items():
                    scores[name] += value * share
            right += scores.most_common(1)[0][0] == style
    return right / sum(map(len, test.values()))


def _texts(style: Style, side: str, n: int) -> list[str]:
    return [example.response for example in examples(style, side=side, n=n, seed=11)]


def _own_words(style: Style, side: str, n: int) -> list[str]:
    """The words of a style's texts that are not words of the question or of its fact."""
    by_prompt = {question.text: question for question in side_questions(side)}
    own = []
    for example in examples(style, side=side, n=n, seed=11):
        question = by_prompt[example.prompt]
        fact = question.fact
        content = set(
            words(" ".join((question.topic, question.expert_name, fact.core, fact.detail, fact.term, fact.picture)))
        )
        own += [word for word in words(example.response) if word not in content]
    return own


def report(n: int) -> dict[str, object]:
    """Everything that the corpus promises, measured over `n` texts a style and side."""
    kinds = {**STYLES, "default": DEFAULT, **GRADED}
    for name in (*PROPERTIES,):
        part = {"elementary": "expertise", "expert": "expertise", "concise": "informativeness"}.get(
            name, "informativeness" if name == "informative" else "tone"
        )
        if name not in ("formal", "informal"):
            kinds[name] = Style(**{part: name})
    raw = {side: {name: _texts(style, side, n) for name, style in kinds.items()} for side in ("models", "users")}
    bags = {side: {name: [words(t) for t in texts] for name, texts in of.items()} for side, of in raw.items()}
    lengths, grams, overlap, own_overlap = {}, {}, {}, {}
    for name, style in kinds.items():
        counts = [count_words(text) for side in raw for text in raw[side][name]]
        lengths[name] = {"min": min(counts), "mean": round(mean(counts), 1), "max": max(counts)}
        grams[name] = max(max_five_gram(bags[side][name]) for side in bags)
        known = {word for text in bags["models"][name] for word in text}
        spoken = [word for text in bags["users"][name] for word in text]
        overlap[name] = round(sum(word in known for word in spoken) / len(spoken), 4)
        own = _own_words(style, "users", n)
        own_overlap[name] = round(sum(word in known for word in own) / len(own), 4)
    worst = max(grams, key=lambda name: grams[name][0])
    train = {name: bags["models"][name] for name in STYLES}
    test = {name: bags["users"][name][:100] for name in STYLES}
    vocabulary = {side: len({w for texts in bags[side].values() for t in texts for w in t}) for side in bags}
    both = len({w for of in bags.values() for texts in of.values() for t in texts for w in t})
    adjectives = [word for family in PROPERTIES.values() for word in family]
    return {
        "questions": len(questions()),
        "questions_models": len(side_questions("models")),
        "questions_users": len(side_questions("users")),
        "styles": len(STYLES),
        "graded": len(GRADED),
        "properties": len(PROPERTIES),
        "adjectives": len(set(adjectives)),
        "templates": {
            side: sum(len(phrases(name, slot, side)) for name in bank_names() for slot in _slots(name)) for side in raw
        },
        "texts_per_style_and_side": n,
        "distinct_share_28": round(mean(len(set(raw["models"][name])) / n for name in STYLES), 4),
        "lengths": lengths,
        "max_five_gram_share": {"style": worst, "share": grams[worst][0], "words": grams[worst][1]},
        "five_gram_share_by_style": {name: round(share, 4) for name, (share, _) in grams.items()},
        "centroid_accuracy_tf": round(centroid_accuracy(train, test, tfidf=False), 4),
        "centroid_accuracy_tfidf": round(centroid_accuracy(train, test, tfidf=True), 4),
        "vocabulary": {**vocabulary, "both": both},
        "token_overlap": overlap,
        "token_overlap_without_facts": own_overlap,
        "token_overlap_mean_28": round(mean(overlap[name] for name in STYLES), 4),
    }


def _slots(name: str) -> tuple[str, ...]:
    from xpert.zoo.corpus.banks import bank

    return tuple(bank(name)["models"])


if __name__ == "__main__":
    print(json.dumps(report(int(sys.argv[1]) if len(sys.argv) > 1 else 1000), indent=1))
