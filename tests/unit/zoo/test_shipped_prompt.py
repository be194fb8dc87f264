from __future__ import annotations

import numpy as np

from xpert import load_summarizer
from xpert.evaluation.prompt_tuning import held_out_words
from xpert.protocols import SubvectorContext
from xpert.subvectors.prompt_tuned import PROMPT_FILE, PromptTunedSubvectors
from xpert.subvectors.tuned_prompt import load_tuned_prompt
from xpert.zoo import WEIGHTS
from xpert.zoo.corpus import PROPERTIES


def test_the_shipped_prompt_is_the_shipped_summarizers_and_sets_unseen_words_beside_their_synonyms() -> None:
    tuned = load_tuned_prompt(WEIGHTS / "summarizer" / PROMPT_FILE)
    summarizer = load_summarizer("zoo:summarizer")
    assert (tuned.summarizer, tuned.n_tokens) == (summarizer.name, 25)
    words = [word for family in PROPERTIES.values() for word in family]
    null = np.zeros(summarizer.width, np.float32)
    context = SubvectorContext(summarizer=summarizer, prompts=["?"], base_answers=["!"], null=null)
    rows = PromptTunedSubvectors().vectors(words, context)
    rows = rows - rows.mean(axis=0)
    of = {word: name for name, family in PROPERTIES.items() for word in family}
    unseen = held_out_words(PROPERTIES)
    seen = [word for word in words if word not in unseen]
    centres = np.stack([rows[[words.index(w) for w in seen if of[w] == name]].mean(axis=0) for name in PROPERTIES])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    nearest = (rows[[words.index(word) for word in unseen]] @ centres.T).argmax(axis=1)
    assert [list(PROPERTIES)[i] for i in nearest] == [of[word] for word in unseen]
