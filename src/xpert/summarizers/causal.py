"""What a summarizer asks of a causal language model held in memory: last hidden states, and words for what comes next."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from xpert.decoding import left_padded
from xpert.errors import DataError, IncompatibleModelError, WeightsError
from xpert.loading import decoder_of
from xpert.progress import track
from xpert.summarizers.batching import batches
from xpert.summarizers.prefixes import Layers, PrefixCache, joined_cache, prefix_states
from xpert.summarizers.words import (
    UNFINISHED,
    USUAL,
    WordRules,
    best_candidates,
    clean_word,
    leading_word,
    starts_word,
)
from xpert.types import Array, Candidate

__all__ = [
    "Head",
    "Known",
    "Step",
    "finite",
    "handful",
    "keep_prefixes",
    "last_hidden",
    "micro_batches",
    "next_distribution",
    "next_words",
    "output_layer",
    "rest_inputs",
    "unembedding_rows",
    "whole_inputs",
    "words_after",
]

HANDFUL = 4
"""Prompts on which word pieces are tried out."""
MAX_PIECES = 12
"""Longest completed word, in tokens: four characters of a script whose bytes are tokens of their own."""

Step: TypeAlias = Callable[[torch.Tensor, Sequence[torch.Tensor], Sequence[Any]], Iterable[torch.Tensor]]
"""One token more after several things that were read: ids ``(B, 1)``, and of each thing the positions ``(B, 1)`` and the cache,
to the last hidden states ``(B, D)`` of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a model has read: one row.

    Attributes:
        cache: Its keys and values.
        n_tokens: How many tokens they are of.
        position: Of the token that comes next.
    """

    cache: Any
    n_tokens: int
    position: int


def output_layer(model: Any) -> Any:
    """The layer that multiplies the last hidden state: ``lm_head``.

    Raises:
        xpert.errors.IncompatibleModelError: The model has none, or no decoder before it.
    """
    layer = model.get_output_embeddings()
    if layer is None or decoder_of(model) is model:
        raise IncompatibleModelError(
            f"{type(model).__name__}: expected a causal LM with a decoder and an output layer; choose another summarizer"
        )
    return layer


Known = Sequence[Layers | None]
"""For each row the keys and values of its first tokens, where they are known."""


def keep_prefixes(model: Any, prefixes: PrefixCache, rows: Mapping[str, Sequence[int]], *, pad_id: int) -> None:
    """Read prefixes, one at a time, and hold their keys and values; the cache switches itself off for a model that cannot share them.

    Args:
        model: A causal LM in evaluation mode.
        prefixes: Where they are kept.
        rows: Text of a prefix to its token ids.
        pad_id: Any id; padding is masked.
    """
    with torch.inference_mode():
        for head, row in rows.items():
            states = prefix_states(model, [row], pad_id)
            if states is None:
                prefixes.supported = False
                return
            prefixes.keep(head, row, states[0])


def last_hidden(
    model: Any,
    rows: Sequence[Sequence[int]],
    *,
    pad_id: int,
    token_budget: int,
    batch_size: int | None,
    what: str,
    known: Known | None = None,
) -> Array:
    """Hidden state at the last position of each row, after the final norm: the vector that the output layer multiplies.

    Args:
        model: A causal LM in evaluation mode.
        rows: ``P`` rows of token ids.
        pad_id: Any id; padding is masked.
        token_budget: Tokens in a batch at most, padding included.
        batch_size: Rows in a batch at most; None: the budget alone decides.
        what: What the progress bar says.
        known: Keys and values of the rows' first tokens, which are not read again.

    Returns:
        ``(P, D)`` float32, in the order of the rows; a row depends on itself alone.

    Raises:
        xpert.errors.WeightsError: A hidden state is not finite.
    """
    hidden = np.zeros((len(rows), output_layer(model).weight.shape[1]), np.float32)
    known = known or [None] * len(rows)
    lengths, shared = [len(row) for row in rows], [k is not None for k in known]
    plan = micro_batches(lengths, shared, token_budget=token_budget, batch_size=batch_size)
    with torch.inference_mode():
        for batch in track(plan, what, unit="batch"):
            states = _states(model, [rows[i] for i in batch], [k for i in batch if (k := known[i]) is not None], pad_id)
            hidden[batch] = states.float().cpu().numpy()
    return finite(hidden)


def finite(hidden: Array) -> Array:
    """Hidden states as they are.

    Raises:
        xpert.errors.WeightsError: One is not finite.
    """
    if not np.isfinite(hidden).all():
        raise WeightsError(
            "the summarizer's hidden states are not finite: its weights hold NaN, or the dtype overflows"
        )
    return hidden


def micro_batches(
    lengths: Sequence[int], shared: Sequence[bool], *, token_budget: int, batch_size: int | None
) -> list[list[int]]:
    """Indices of rows in batches (see `batches`): those that are read whole first, apart from those whose first tokens are known."""
    plan: list[list[int]] = []
    for kind in (False, True):
        places = [i for i, s in enumerate(shared) if s is kind]
        within = [lengths[i] for i in places]
        plan += [
            [places[k] for k in batch] for batch in batches(within, token_budget=token_budget, batch_size=batch_size)
        ]
    return plan


def whole_inputs(rows: Sequence[Sequence[int]], pad_id: int, device: Any) -> dict[str, torch.Tensor]:
    """What a decoder is given for whole rows, padded on the left."""
    ids, mask = left_padded(rows, pad_id, device)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def rest_inputs(
    rest: Sequence[Sequence[int]], before: torch.Tensor, pad_id: int, device: Any
) -> dict[str, torch.Tensor]:
    """What a decoder is given for what follows the rows' first tokens, whose mask is ``before`` ``(B, n)``."""
    ids, mask = left_padded(rest, pad_id, device)
    mask = torch.cat([before, mask], dim=1)
    positions = (mask.cumsum(1) - 1)[:, before.shape[1] :].clamp(min=0)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions}


def _states(model: Any, rows: Sequence[Sequence[int]], known: Sequence[Layers], pad_id: int) -> torch.Tensor:
    """Last hidden states ``(B, D)`` of a batch: of whole rows, or of what follows the first tokens where all rows' are known."""
    if not known:
        return decoder_of(model)(**whole_inputs(rows, pad_id, model.device), use_cache=False).last_hidden_state[:, -1]
    cache, before = joined_cache(known)
    rest = [row[layers[0][0].shape[1] :] for row, layers in zip(rows, known, strict=True)]
    inputs = rest_inputs(rest, before, pad_id, model.device)
    return decoder_of(model)(**inputs, past_key_values=cache, use_cache=True).last_hidden_state[:, -1]


def next_distribution(layer: Any, hidden: Array) -> torch.Tensor:
    """Next-token probabilities ``(V,)`` float64, averaged over last hidden states ``(P, D)`` that the output layer multiplies."""
    total = torch.zeros(layer.weight.shape[0], dtype=torch.float64)
    with torch.inference_mode():
        for first in range(0, len(hidden), 32):
            states = torch.from_numpy(hidden[first : first + 32]).to(layer.weight.device, layer.weight.dtype)
            total += torch.softmax(layer(states).double(), dim=-1).sum(0).cpu()
    return total / len(hidden)


def unembedding_rows(layer: Any, tokenizer: Any, words: Sequence[str]) -> Array:
    """``(W, D)`` float32 rows of the output layer: of the token that each word begins with, alone and after a blank, averaged.

    Args:
        layer: The output layer.
        tokenizer: The model's tokenizer.
        words: ``W`` words.

    Raises:
        xpert.errors.DataError: The tokenizer has no token for a word.
    """
    rows = np.zeros((len(words), layer.weight.shape[1]), np.float32)
    for place, word in enumerate(words):
        spelled = tokenizer([word, f" {word}"], add_special_tokens=False, verbose=False)["input_ids"]
        starts = [next((t for t in ids if tokenizer.decode([t]).strip()), None) for ids in spelled]
        if not (tokens := [token for token in starts if token is not None]):
            raise DataError(f"word {word!r}: the tokenizer has no token for it: choose another word")
        rows[place] = layer.weight[tokens].detach().float().mean(dim=0).cpu().numpy()
    return rows


def next_words(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Sequence[int]],
    probabilities: torch.Tensor,
    n: int,
    *,
    token_budget: int,
    rules: WordRules = USUAL,
) -> tuple[Candidate, ...]:
    """The ``n`` most likely words that come next.

    Of the ``3 n + 64`` most likely tokens, one that begins a word is tried out after a handful of the rows: if what follows it most likely ends the word, it is a
    word; if not, it is completed greedily, to `MAX_PIECES` at most, or dropped. A word's score is the sum over its spellings of
    the product of its pieces' probabilities.

    Args:
        model: A causal LM in evaluation mode.
        tokenizer: Its tokenizer.
        rows: ``P`` rows of token ids, whose next token is asked for.
        probabilities: ``(V,)`` next-token probabilities, averaged over the rows.
        n: Words wanted.
        token_budget: Tokens held in key-value caches at most (the handful's own always are).
        rules: What counts as a word.

    Source: Wang et al. 2025, section 4.1; completing pieces is ours.
    """
    layer = output_layer(model)
    with torch.no_grad():
        heads = [_read(model, row) for row in handful(rows)]

    def step(ids: torch.Tensor, positions: Sequence[torch.Tensor], caches: Sequence[Any]) -> Iterator[torch.Tensor]:
        for at, cache in zip(positions, caches, strict=True):
            out = decoder_of(model)(input_ids=ids, position_ids=at, past_key_values=cache, use_cache=True)
            yield out.last_hidden_state[:, -1]

    return words_after(
        heads, probabilities, n, layer=layer, step=step, tokenizer=tokenizer, token_budget=token_budget, rules=rules
    )


def words_after(
    heads: Sequence[Head],
    probabilities: torch.Tensor,
    n: int,
    *,
    layer: Any,
    step: Step,
    tokenizer: Any,
    token_budget: int,
    rules: WordRules = USUAL,
) -> tuple[Candidate, ...]:
    """The ``n`` most likely words that come next, tried out after what a model has read already: see `next_words`.

    Args:
        heads: What it has read, a handful.
        probabilities: ``(V,)`` next-token probabilities, averaged over all that is asked about.
        n: Words wanted.
        layer: The output layer.
        step: One token more.
        tokenizer: The model's tokenizer.
        token_budget: Tokens held in key-value caches at most (the heads' own always are).
        rules: What counts as a word.
    """
    ranked = torch.sort(probabilities, descending=True, stable=True).indices[: 3 * n + 64].tolist()
    texts = {token: tokenizer.decode([token]) for token in ranked if token < len(tokenizer)}
    trial = _Trial(layer, step, tokenizer, heads, rules)
    starts = [t for t in ranked if t in texts and t not in trial.special and starts_word(texts[t], rules)]
    size = max(1, token_budget // max(sum(head.n_tokens for head in heads), 1))
    found: dict[str, float] = {}
    with torch.no_grad():
        for first in range(0, len(starts), size):
            chunk = starts[first : first + size]
            likely = [float(probabilities[t]) for t in chunk]
            for scored in trial.words(chunk, likely):
                if scored is not None:
                    found[scored[0]] = found.get(scored[0], 0.0) + scored[1]
    return best_candidates(found, n)


def handful(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """A few different rows, whatever order they come in."""
    different = sorted({tuple(row) for row in rows}, key=lambda row: (len(row), row))
    places = np.unique(np.linspace(0, len(different) - 1, num=min(HANDFUL, len(different))).round().astype(int))
    return [list(different[place]) for place in places]


def _read(model: Any, row: Sequence[int]) -> Head:
    """A row of token ids, read."""
    ids = torch.tensor([list(row)], device=model.device)
    cache = decoder_of(model)(input_ids=ids, use_cache=True).past_key_values
    return Head(cache=cache, n_tokens=len(row), position=len(row))


class _Trial:
    """Tries tokens out after what has been read."""

    def __init__(self, layer: Any, step: Step, tokenizer: Any, heads: Sequence[Head], rules: WordRules) -> None:
        self._layer, self._feed = layer, step
        self._tokenizer = tokenizer
        self._rules = rules
        self.special = frozenset(tokenizer.all_special_ids)
        self._heads = heads

    def words(self, tokens: Sequence[int], scores: Sequence[float]) -> list[tuple[str, float] | None]:
        """For each token the whole word that begins with it and the word's score; None where there is none."""
        caches = [copy.deepcopy(head.cache) for head in self._heads]
        for cache in caches:
            cache.batch_repeat_interleave(len(tokens))
        words: list[tuple[str, float] | None] = [None] * len(tokens)
        pieces, products, open_rows = [[t] for t in tokens], list(scores), list(range(len(tokens)))
        for count in range(1, MAX_PIECES + 1):
            likely, following = self._step(caches, [pieces[i][-1] for i in open_rows], count)
            kept: list[int] = []
            for k, i in enumerate(open_rows):
                ended, text = self._ended(pieces[i], following[k])
                if not ended:
                    kept.append(k)
                    pieces[i].append(following[k])
                    products[i] *= likely[k]
                elif (word := clean_word(text, self._rules)) is not None:
                    words[i] = word, products[i]
            if not kept or count == MAX_PIECES:
                break
            for cache in caches:
                cache.batch_select_indices(torch.tensor(kept, device=self._layer.weight.device))
            open_rows = [open_rows[k] for k in kept]
        return words

    def _ended(self, pieces: Sequence[int], following: int) -> tuple[bool, str]:
        """Whether the token that follows is no part of the word; the word so far."""
        alone = leading_word(self._tokenizer.decode(pieces), self._rules)[0]
        word, ended = leading_word(self._tokenizer.decode([*pieces, following]), self._rules)
        if following in self.special or (word == alone and not alone.endswith(UNFINISHED)):
            return True, alone
        return ended, word

    def _step(self, caches: Sequence[Any], tokens: Sequence[int], count: int) -> tuple[list[float], list[int]]:
        """Feed one token to each; the most likely next token, and its probability, averaged over the rows."""
        ids = torch.tensor([[t] for t in tokens], device=self._layer.weight.device)
        total = torch.zeros((len(tokens), self._layer.weight.shape[0]), dtype=torch.float64)
        positions = [torch.full_like(ids, head.position + count - 1) for head in self._heads]
        for hidden in self._feed(ids, positions, caches):
            total += torch.softmax(self._layer(hidden).double().cpu(), dim=-1)
        best = (total / len(self._heads)).max(dim=-1)
        return best.values.tolist(), best.indices.tolist()
