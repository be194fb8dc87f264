"""The contract of a merge method: call `check_merge_method` in the tests of your own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert.errors import IncompatibleModelError, SettingsError, WeightsError, XpertError

if TYPE_CHECKING:
    import torch

    from xpert.mergers.base import MergeMethod

__all__ = ["check_merge_method"]


def check_merge_method(make: Callable[[], MergeMethod], folder: Path, *, tolerance: float = 1e-5) -> None:
    """Assert that a method keeps the contract of `xpert.mergers.base.MergeMethod`, on tiny models of its own making.

    What is checked: a base merged into itself changes nothing; full models, adapters and both together give folders that
    Transformers or PEFT load, with a record of what they were made of; two runs agree; weights of 0 give the base; members that
    do not fit, are broken or are named twice are refused with xpert's errors, and then nothing is left behind.

    Args:
        make: Makes a fresh method.
        folder: An empty folder to work in.
        tolerance: Largest difference of logits that counts as none, relative to the largest logit.

    Raises:
        AssertionError: A rule is broken; the message says which.
    """
    from xpert.mergers.base import MergeMethod
    from xpert.testing.tiny import tiny_adapter, tiny_causal_lm, tiny_full

    method = make()
    assert isinstance(method, MergeMethod), "a merge method has a name and merge(base, members, out, words=...)"
    base = tiny_causal_lm(folder / "base")
    full = tiny_full(base, folder / "full", seed=1)
    adapter, other = (tiny_adapter(base, folder / f"adapter{i}", rank=2 + i, seed=i) for i in (2, 3))
    origin = _logits(base, base)
    assert _far(_merged(make(), base, [(base, 1.0)], folder / "itself"), origin) <= tolerance, (
        "the base merged into itself must be the base"
    )
    for name, parts in {
        "full models": [(full, 0.6), (base, 0.2)],
        "adapters": [(adapter, 0.6), (other, 0.3)],
        "an adapter and a full model": [(adapter, 0.6), (full, 0.3)],
    }.items():
        one, two = (_merged(make(), base, parts, folder / f"{name} {i}".replace(" ", "-")) for i in (1, 2))
        assert _far(one, two) == 0, f"{name}: two runs give different models: draw from a seed"
        assert _far(one, origin) > tolerance, f"{name}: nothing was merged"
        nothing = _merged(make(), base, [(part, 0.0) for part, _ in parts], folder / f"{name} 0".replace(" ", "-"))
        assert _far(nothing, origin) <= tolerance, f"{name}: weights of 0 must give the base"
    _check_refusals(make, base, full, folder)


def _merged(method: MergeMethod, base: Path, parts: list[tuple[Path, float]], out: Path) -> torch.Tensor:
    """Merge, look at the record, and answer as the result does."""
    from xpert.mergers.base import RECORD, Member

    members = [Member(name=f"m{i}", reference=str(part), weight=weight) for i, (part, weight) in enumerate(parts)]
    made = method.merge(base, members, out, words=[("friendly", 1.0)])
    assert Path(made) == out, f"merge must return the folder that it was given, got {made}"
    record: dict[str, Any] = json.loads((out / RECORD).read_text(encoding="utf-8"))
    found = [(entry["name"], entry["weight"]) for entry in record["models"]]
    assert found == [(m.name, m.weight) for m in members], f"{RECORD} must list the members with their weights"
    assert "friendly" in (out / "README.md").read_text(encoding="utf-8"), "the card must say the model in words"
    return _logits(base, out)


def _logits(base: Path, folder: Path) -> torch.Tensor:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = (folder / "adapter_config.json").is_file()
    model: Any = AutoModelForCausalLM.from_pretrained(base if adapter else folder, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, str(folder))
    with torch.no_grad():
        return model.eval()(torch.arange(12)[None]).logits


def _far(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


def _check_refusals(make: Callable[[], MergeMethod], base: Path, full: Path, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    from xpert.mergers.base import Member
    from xpert.testing.tiny import tiny_causal_lm

    def member(reference: Path, name: str = "m", weight: float = 1.0) -> Member:
        return Member(name=name, reference=str(reference), weight=weight)

    broken = Path(shutil.copytree(full, folder / "broken"))
    tensors = load_file(broken / "model.safetensors")
    first = sorted(tensors)[0]
    save_file(
        {**tensors, first: tensors[first] * float("nan")}, broken / "model.safetensors", metadata={"format": "pt"}
    )
    cases: list[tuple[str, list[Member], type[XpertError]]] = [
        ("no members", [], SettingsError),
        ("a member twice", [member(full), member(full)], SettingsError),
        ("a weight that is not finite", [member(full, weight=float("inf"))], SettingsError),
        ("a model of another width", [member(tiny_causal_lm(folder / "wide", hidden_size=48))], IncompatibleModelError),
        ("weights with NaN", [member(broken)], WeightsError),
    ]
    out = folder / "refused"
    for what, members, error in cases:
        before = sorted(folder.iterdir())
        try:
            make().merge(base, members, out)
        except error:
            assert not out.exists(), f"{what}: a refused merge left {out}"
            assert sorted(folder.iterdir()) == before, f"{what}: a refused merge left files behind"
            continue
        raise AssertionError(f"{what}: expected {error.__name__}")
