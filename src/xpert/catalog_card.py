"""The README.md of a catalog: a card that the Hub renders."""

from __future__ import annotations

import json
from collections.abc import Sequence

from xpert.basis import SubvectorBasis
from xpert.figures import with_error
from xpert.provenance import Provenance
from xpert.summarizers.words import isolated
from xpert.types import Explanation, ModelCard

__all__ = ["card_text"]

_WORDS = 5


def card_text(
    provenance: Provenance,
    explanations: Sequence[Explanation],
    models: Sequence[ModelCard],
    basis: SubvectorBasis,
    *,
    n_models: int,
) -> str:
    """Markdown with YAML front matter: the models, each in its strongest words, and how the catalog was made."""
    p = provenance
    kinds = [axis.kind for axis in basis.axes]
    rows = [
        f"| {_cell(card.name)} | {_cell(_words(explanation, basis))} | {explanation.residual:.2f} | {_cell(card.reference)} |"
        for card, explanation in zip(models, explanations, strict=True)
    ]
    return "\n".join(
        [
            "---",
            "library_name: xpert",
            "tags:",
            "- xpert-catalog",
            "- personalization",
            f"base_model: {json.dumps(p.base, ensure_ascii=False)}",
            "---",
            "",
            "# A catalog of personalized models",
            "",
            f"{n_models} models of `{p.base}`, explained by `{p.summarizer}` in {len(basis)} axes: "
            f"{kinds.count('word')} words, {kinds.count('measured')} measured quantities, {kinds.count('unnamed')} unnamed directions.",
            "",
            "| model | in words (± standard error) | left over by words | reference |",
            "|---|---|---|---|",
            *rows,
            *([f"| ... and {n_models - len(models)} more | | | |"] if n_models > len(models) else []),
            "",
            "## How it was made",
            "",
            f"- {p.n_prompts} prompts (sha256 `{p.prompts_sha256[:16]}`), seed {p.seed}",
            f"- eps_orth {p.eps_orth:g}, eps_dec {p.eps_dec:g}, {p.n_candidates_examined} candidate words examined",
            f"- sub-vectors: {p.subvectors}; coefficients: {p.coefficients}; centering: {p.centering} ({p.null_pairs})",
            *([f"- {p.modality}: {', '.join(f'{k} {v}' for k, v in p.settings.items())}"] if p.settings else []),
            f"- versions: {', '.join(f'{name} {version}' for name, version in p.versions.items())}",
            "",
            "## Use",
            "",
            "```python",
            "import xpert",
            "",
            'catalog = xpert.Catalog.from_pretrained("this/catalog")',
            'selection = xpert.Selector(catalog).select(xpert.load_examples("me.jsonl"))',
            "```",
            "",
        ]
    )


def _words(explanation: Explanation, basis: SubvectorBasis) -> str:
    unnamed = {axis.word for axis in basis.axes if axis.kind == "unnamed"}
    errors = explanation.stderr or (None,) * len(explanation.words)
    told = [(word, value, error) for (word, value), error in zip(explanation.words, errors, strict=True)]
    named = [(word, with_error(value, error)) for word, value, error in told if word not in unnamed]
    return ", ".join(f"{isolated(word)} {figure}" for word, figure in named[:_WORDS]) or "(no words)"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
