"""How near generated texts come to what a person wrote: BLEU and ROUGE, with intervals over texts.

All scores are given from 0 to 100. Corpus BLEU is no mean of texts' scores, so its intervals add up the counts of the texts that a
resample draws.

Source: Papineni et al. 2002 (BLEU), Post 2018 (sacrebleu: its defaults, the tokenizer ``13a``, exponential smoothing); Lin 2004
(ROUGE: F-measures by ``rouge-score``, without stemming).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpert.errors import DataError, MissingDependencyError
from xpert.evaluation.bootstrap import LEVEL, Estimate

__all__ = ["Scores", "bleu", "rouge", "score_difference", "score_texts"]

Floats: TypeAlias = NDArray[np.float64]

_EXTRA = "eval"
_ORDERS = 4
_N_RESAMPLES = 1000
_ROUGE = {"rouge-1": "rouge1", "rouge-L": "rougeL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Three scores with their intervals, 0 to 100, or differences of them.

    Attributes:
        bleu: Corpus BLEU.
        rouge_1: Mean F-measure of single words.
        rouge_l: Mean F-measure of the longest common subsequence of words.
    """

    bleu: Estimate
    rouge_1: Estimate
    rouge_l: Estimate

    def to_dict(self) -> dict[str, Any]:
        """The scores for JSON."""
        return asdict(self)


def bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU of answers against one reference each, 0 to 100.

    Args:
        answers: Generated texts.
        references: What a person wrote, in the same order.

    Raises:
        xpert.errors.DataError: No texts, or different numbers of them.
        xpert.errors.MissingDependencyError: ``sacrebleu`` is not installed.
    """
    _check(answers, references)
    return _corpus_bleu()(_bleu_counts(answers, references).sum(axis=0))


def rouge(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Means over texts of the F-measures ``rouge-1`` and ``rouge-L``, 0 to 100.

    Raises:
        xpert.errors.DataError: No texts, or different numbers of them.
        xpert.errors.MissingDependencyError: ``rouge-score`` is not installed.
    """
    _check(answers, references)
    return dict(zip(_ROUGE, map(float, _rouge_values(answers, references).mean(axis=0)), strict=True))


def score_texts(
    answers: Sequence[str], references: Sequence[str], *, groups: Sequence[object] | None = None, seed: int = 0
) -> Scores:
    """All three scores, with percentile intervals over resamples of the texts.

    Args:
        answers: Generated texts.
        references: What a person wrote, in the same order.
        groups: Texts of one group are drawn together: repeats of one prompt. None: each text is on its own.
        seed: Of the resamples.

    Raises:
        xpert.errors.DataError: No texts, or different numbers of them.
        xpert.errors.MissingDependencyError: ``sacrebleu`` or ``rouge-score`` is not installed.
    """
    return _intervals([_statistics(answers, references, groups)], seed=seed)


def score_difference(
    ours: Sequence[str],
    theirs: Sequence[str],
    references: Sequence[str],
    *,
    groups: Sequence[object] | None = None,
    seed: int = 0,
) -> Scores:
    """Scores of ``ours`` less those of ``theirs``, against the same references in the same order; each resample draws both alike.

    Raises:
        xpert.errors.DataError: No texts, or different numbers of them.
        xpert.errors.MissingDependencyError: ``sacrebleu`` or ``rouge-score`` is not installed.
    """
    return _intervals([_statistics(one, references, groups) for one in (ours, theirs)], seed=seed)


def _intervals(statistics: Sequence[Floats], *, seed: int) -> Scores:
    """Of the first, or of the first less the second; rows (N, 13) of `_statistics`."""
    n, rng, whole = len(statistics[0]), np.random.default_rng(seed), _corpus_bleu()

    def all_three(weights: Floats) -> Floats:
        found = [_scored(weights @ one, whole) for one in statistics]
        return found[0] - found[1] if len(found) > 1 else found[0]

    drawn = [all_three(rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64)) for _ in range(_N_RESAMPLES)]
    ends = np.quantile(np.stack(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    made = [
        Estimate(mean=float(mean), low=float(low), high=float(high), n=n)
        for mean, low, high in zip(all_three(np.ones(n)), *ends, strict=True)
    ]
    return Scores(bleu=made[0], rouge_1=made[1], rouge_l=made[2])


def _scored(sums: Floats, whole: Callable[[Floats], float]) -> Floats:
    """(3,): BLEU, ROUGE-1 and ROUGE-L of summed statistics (13,)."""
    counts, values, n = sums[:-3], sums[-3:-1], sums[-1]
    return np.array([whole(counts), *(values / n)])


def _statistics(answers: Sequence[str], references: Sequence[str], groups: Sequence[object] | None) -> Floats:
    """(N, 13), one row a group, each the sum over its texts: BLEU's counts, the two F-measures, how many texts."""
    _check(answers, references)
    one = np.ones((len(answers), 1))
    rows = np.concatenate([_bleu_counts(answers, references), _rouge_values(answers, references), one], axis=1)
    if groups is None:
        return rows
    if len(groups) != len(answers):
        raise DataError(f"groups: expected one a text, got {len(groups)} for {len(answers)} texts")
    places = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    summed = np.zeros((len(places), rows.shape[1]))
    np.add.at(summed, [places[group] for group in groups], rows)
    return summed


def _bleu_counts(answers: Sequence[str], references: Sequence[str]) -> Floats:
    """(N, 10) of whole numbers: n-grams that match (4), n-grams there are (4), words of the answer, words of the reference."""
    metric = _sacrebleu()(effective_order=True)  # the counts do not depend on it; without it a warning for each text
    rows: list[list[float]] = []
    for answer, reference in zip(answers, references, strict=True):
        found = metric.sentence_score(answer, [reference])
        rows.append([*found.counts, *found.totals, found.sys_len, found.ref_len])
    return np.asarray(rows, np.float64)


def _corpus_bleu() -> Callable[[Floats], float]:
    """From summed counts (10,) to corpus BLEU."""
    metric = _sacrebleu()

    def of(sums: Floats) -> float:
        whole = [int(value) for value in sums]
        correct, total = whole[:_ORDERS], whole[_ORDERS : 2 * _ORDERS]
        return metric.compute_bleu(correct, total, *whole[2 * _ORDERS :], smooth_method="exp").score

    return of


def _rouge_values(answers: Sequence[str], references: Sequence[str]) -> Floats:
    """(N, 2): F-measures of ROUGE-1 and ROUGE-L, 0 to 100."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise MissingDependencyError.of("rouge-score", _EXTRA, "scoring texts by ROUGE") from None
    scorer = RougeScorer(list(_ROUGE.values()))
    found: list[Mapping[str, Any]] = [scorer.score(r, a) for a, r in zip(answers, references, strict=True)]
    return np.asarray([[100 * one[kind].fmeasure for kind in _ROUGE.values()] for one in found], np.float64)


def _sacrebleu() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise MissingDependencyError.of("sacrebleu", _EXTRA, "scoring texts by BLEU") from None
    return BLEU


def _check(answers: Sequence[str], references: Sequence[str]) -> None:
    if not answers or len(answers) != len(references):
        raise DataError(
            f"texts: expected at least one answer and a reference for each, got {len(answers)} answers and {len(references)} references"
        )
