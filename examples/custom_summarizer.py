"""A summarizer of your own: stylometry by character trigrams, in NumPy, without a model.

Run it with ``python examples/custom_summarizer.py``. It checks the class against the contract, explains two recorded models with
it, and selects for a user. Anything that matches `xpert.Summarizer` can be passed wherever a summarizer's name is taken.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import xpert
from xpert.errors import DataError
from xpert.testing import check_summarizer

WIDTH = 256
SAMPLES = {
    "formal": "It is hereby stated that the aforementioned matter shall, in accordance with the regulations, be considered.",
    "casual": "yeah so like, you know, it's kinda just stuff, gonna be fine, no big deal lol",
    "archaic": "Hark, thou knowest that it doth please thee, and whither thou goest, there shalt thou dwell.",
    "excited": "Wow!!! This is SO great, amazing, oh my!!! Yes yes yes, I love it!!!",
}
"""Words that may name a style, each with a text that has it."""


class TrigramSummarizer:
    """Embeds a pair as the difference of the two texts' trigram profiles; names it by the nearest of `SAMPLES`."""

    name = "trigrams:256"
    instruction = "hashed character trigrams, square roots of their rates"
    width = WIDTH
    # Every sample differs from the base in part alike, so its words are less orthogonal than an LLM's.
    defaults = xpert.SummarizerDefaults(eps_orth=0.7, eps_dec=0.3, centering="none")

    def summarize(self, pairs: Sequence[xpert.AnswerPair], *, n_candidates: int = 0) -> xpert.Summary:
        """One row a pair, and on request the words whose sample differs from the base answers in the same way."""
        if not pairs:
            raise DataError("expected at least one pair of answers, got none")
        base = np.stack([profile(pair.base) for pair in pairs])
        rows = np.stack([profile(pair.other) for pair in pairs]) - base
        scores = {word: cosine(profile(text) - base.mean(0), rows.mean(0)) for word, text in SAMPLES.items()}
        best = sorted(scores, key=lambda word: -scores[word])[:n_candidates]
        return xpert.Summary(
            embeddings=rows, candidates=tuple(xpert.Candidate(word=word, score=scores[word]) for word in best)
        )

    def write(self, word: str, prompts: Sequence[str], *, seed: int = 0) -> list[str]:
        """Texts in the style of a word: what contrastive sub-vectors are made of (`xpert.protocols.Writer`)."""
        return [SAMPLES[word] for _ in prompts]

    def close(self) -> None:
        """Nothing to free."""


def profile(text: str) -> np.ndarray:
    """``(256,)`` float32 of unit norm: square roots of the rates of hashed character trigrams."""
    padded = f"  {text} "
    counts = np.zeros(WIDTH, np.float32)
    for start in range(len(padded) - 2):
        counts[zlib.crc32(padded[start : start + 3].encode()) % WIDTH] += 1
    return np.sqrt(counts / counts.sum())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two vectors; 0 if one of them is zero."""
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


TOPICS = ["rain", "bread", "chess", "glass", "honey", "maps", "paper", "salt", "tides", "wool"]
STYLES = {
    "base": "{} is made in several steps. Each of them takes some time.",
    "clerk": "The production of {} shall be carried out in accordance with the provisions set out hereunder.",
    "bard": "Thou askest of {}? Cherish it, for it hath been with thy fathers, and it shall dwell with thee.",
}


def record(folder: Path, name: str, topics: Sequence[str]) -> str:
    """Write the recorded model ``answers:FILE`` of a style; returns its reference."""
    rows = [{"prompt": f"Tell me about {topic}.", "response": STYLES[name].format(topic)} for topic in topics]
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"answers:{file}"


def main() -> None:
    """Check, explain, select."""
    check_summarizer(TrigramSummarizer)
    print("TrigramSummarizer keeps the contract")
    with tempfile.TemporaryDirectory() as folder:
        references = {name: record(Path(folder), name, TOPICS[:6]) for name in STYLES}
        explainer = xpert.Explainer(base=references.pop("base"), summarizer=TrigramSummarizer(), n_prompts=6)
        catalog = explainer.explain(references)
        named = {axis.word for axis in catalog.basis.axes if axis.kind == "word"}
        for name in catalog:
            print(
                f"{name}: " + ", ".join(f"{word} {value:+.2f}" for word, value in catalog[name].words if word in named)
            )
        mine = [
            xpert.Example(prompt=f"Tell me about {topic}.", response=STYLES["bard"].format(topic))
            for topic in TOPICS[6:]
        ]
        base_answers = [STYLES["base"].format(topic) for topic in TOPICS[6:]]
        selection = xpert.Selector(catalog, summarizer=TrigramSummarizer()).select(mine, base_answers)
        print(f"best: {selection.best}" + ("" if selection.matched else " (no match)"))


if __name__ == "__main__":
    main()
