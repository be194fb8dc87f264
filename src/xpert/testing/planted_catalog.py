"""A catalog whose models lie where it is said, without any model behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpert.basis import SubvectorBasis
from xpert.catalog import Catalog
from xpert.provenance import Fit, Provenance
from xpert.types import Axis, Example, Generation, ModelCard

__all__ = ["PLANTED_AXES", "PLANTED_PLACES", "planted_catalog"]

PLANTED_AXES = (
    Axis(word="friendly"),
    Axis(word="concise"),
    Axis(word="longer", kind="measured"),
    Axis(word="unnamed-1", kind="unnamed"),
)
"""Two words, a measured quantity, a direction without a name."""
PLANTED_PLACES = [
    [1.0, 0.1, 0.0, 0.0],
    [1.0, 0.1, 0.0, 0.01],
    [-0.2, 1.0, -0.4, 0.1],
    [0.0, -1.0, 0.5, 0.0],
    [0.3, 0.0, 1.0, 0.0],
]


def planted_catalog(
    places: Any = PLANTED_PLACES,
    *,
    names: Sequence[str] | None = None,
    axes: Sequence[Axis] = PLANTED_AXES,
    stderr: float = 0.02,
    answers: Sequence[Example] = (Example(prompt="What is rain?", response="Water that falls."),),
    kind: Any = "adapter",
    **header: Any,
) -> Catalog:
    """A catalog of planted places, over axes at right angles.

    Args:
        places: ``(M, K)`` coordinates; of the default ones the first two differ by less than ``stderr``.
        names: The models' names; None: ``model-0`` and so on.
        axes: The ``K`` axes.
        stderr: Standard error of every coordinate.
        answers: The base's answers.
        kind: Of every model.
        **header: Values of `xpert.provenance.Provenance` in place of the planted ones.
    """
    z = np.asarray(places, np.float32)
    own = list(names or [f"model-{i}" for i in range(len(z))])
    fit = Fit(residual=0.1, named_share=0.9, measured_share=0.3, unnamed_share=0.2, converged=True)
    values: dict[str, Any] = {
        "base": "org/base",
        "summarizer": "fake",
        "instruction": "One adjective?",
        "width": len(axes) + 1,
        "measured": (),
        "measured_scale": 1.0,
        "n_prompts": 20,
        "prompts_sha256": "ab" * 32,
        "seed": 0,
        "generation": Generation(),
        "eps_orth": 0.5,
        "eps_dec": 0.2,
        "centering": "none",
        "null_pairs": "none",
        "subvectors": "planted",
        "coefficients": "least-squares",
        "candidate_order": "given",
        "n_candidates_examined": 3,
        "fits": dict.fromkeys(own, fit),
        "match_thresholds": {f"direction:{axes}": 0.6 for axes in ("all", "named", "named+measured")},
    }
    cards = [ModelCard(name=n, reference=n, kind=kind, base="org/base", bytes=1500, sha256="") for n in own]
    return Catalog(
        basis=SubvectorBasis(
            axes=tuple(axes),
            vectors=np.eye(len(axes), len(axes) + 1, dtype=np.float32),
            null=np.zeros(len(axes) + 1, np.float32),
        ),
        models=tuple(cards),
        coordinates=z,
        stderr=np.full_like(z, stderr),
        provenance=Provenance(**(values | header)),
        base_answers=tuple(answers),
    )
