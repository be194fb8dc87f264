"""Why a merge plan has the models that it has, in sentences for people."""

from __future__ import annotations

from xpert.types import MergePlan

__all__ = ["why_one", "why_several"]


def why_several(plan: MergePlan) -> list[str]:
    """What each further model gained, and what one brings that is of another style."""
    told = [
        f"going from {n - 1} to {n} lowers the squared distance by {gain:.1%} of your style's squared length (more than {needed:.1%} is asked)"
        if gain > needed
        else f"going to {n} would lower it by {gain:.1%} only ({needed:.1%} is asked)"
        for n, (gain, needed) in enumerate(zip(plan.gains, plan.needed, strict=True), start=2)
    ]
    return [
        f"Why {len(plan.weights)} models: {'; '.join(told)}.",
        "What a model brings is what the sum has with it beside the best sum of the others alone: one of another style may be "
        "there for what it takes away.",
    ]


def why_one(plan: MergePlan, max_models: int) -> str:
    """Why a plan has a single model, in a sentence for people."""
    if max_models == 1:
        return "One model, as --max-models 1 asks."
    if plan.considered == 1:
        return "One model: the catalog has no other that can be merged."
    if not plan.gains:
        return f"One model: none of the other {plan.considered - 1} brings you nearer beside it, whatever its weight."
    return (
        f"One model: the best second one would lower the squared distance by {plan.gains[0]:.1%} of your style's squared length. "
        f"It has to be more than {plan.needed[0]:.1%}, as less may be chance or is not worth a second model."
    )
