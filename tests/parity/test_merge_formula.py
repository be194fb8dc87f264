"""Merged weights against ``theta_base + sum_i w_i (theta_i - theta_base)`` in float64, over every kind of member."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from merge_cases import effective, whole, write_adapter, write_base, write_full
from safetensors.torch import load_file, save_file

from xpert.mergers.base import Member
from xpert.mergers.linear import LinearMerger

KINDS = ("full", "lora", "dora")


def made(folder: Path, base: Path, kind: str, rng: random.Random, family: str) -> Path:
    if kind == "full":
        write_full(folder, base, rng)
    else:
        write_adapter(folder, base, rng, family, dora=kind == "dora")
    return folder


def far(merged: torch.Tensor, expected: torch.Tensor) -> float:
    return float((merged - expected).norm() / expected.norm())


@settings(deadline=None, max_examples=200, derandomize=True, phases=[Phase.generate])
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 1.5)), min_size=1, max_size=4),
    st.sampled_from(["llama", "gpt2"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_merged_weights_are_those_of_the_formula(
    parts: list[tuple[str, float]], family: str, tied: bool, only_lora: bool, seed: int
) -> None:
    rng = random.Random(seed)
    with TemporaryDirectory() as name:
        root = Path(name)
        base = root / "base"
        write_base(base, rng, family, tied=tied)
        kinds = ["lora" if only_lora else kind for kind, _ in parts]
        folders = [made(root / str(i), base, kind, rng, family) for i, kind in enumerate(kinds)]
        members = [
            Member(name=folder.name, reference=str(folder), weight=weight)
            for folder, (_, weight) in zip(folders, parts, strict=True)
        ]
        out = LinearMerger(max_shard_bytes=10**9).merge(base, members, root / "out")
        origin, merged = whole(base), effective(base, out)
        thetas = [effective(base, folder) for folder in folders]
        for tensor, start in origin.items():
            expected = start + sum(m.weight * (t[tensor] - start) for m, t in zip(members, thetas, strict=True))
            assert far(merged[tensor], expected) < 1e-6, tensor
        if set(kinds) & {"full", "dora"}:
            assert (out / "config.json").is_file()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_of_one_model_with_weight_one_is_that_model(kind: str, tied: bool, family: str, tmp_path: Path) -> None:
    for seed in range(8):
        rng = random.Random(seed)
        root = tmp_path / str(seed)
        root.mkdir()
        write_base(root / "base", rng, family, tied=tied)
        one = made(root / "one", root / "base", kind, rng, family)
        out = LinearMerger().merge(root / "base", [Member(name="m", reference=str(one), weight=1.0)], root / "out")
        if kind == "full":
            given, stored = (load_file(folder / "model.safetensors") for folder in (one, out))
            assert given.keys() == stored.keys()
            assert all(torch.equal(stored[name], tensor.float()) for name, tensor in given.items())
        theirs, ours = effective(root / "base", one), effective(root / "base", out)
        assert all(far(ours[name], tensor) < 1e-6 for name, tensor in theirs.items())


def test_the_stored_type_is_the_only_rounding(tmp_path: Path) -> None:
    rng = random.Random(3)
    write_base(tmp_path / "base", rng, "llama", tied=True)
    for name in ("base", "one"):
        if name == "one":
            write_full(tmp_path / "one", tmp_path / "base", rng)
        file = tmp_path / name / "model.safetensors"
        halves = {n: t.bfloat16() for n, t in load_file(file).items()}
        save_file(halves, file, metadata={"format": "pt"})
    member = Member(name="m", reference=str(tmp_path / "one"), weight=0.3)
    out = LinearMerger().merge(tmp_path / "base", [member], tmp_path / "out")
    origin, theta = whole(tmp_path / "base"), whole(tmp_path / "one")
    for name, tensor in load_file(out / "model.safetensors").items():
        exact = origin[name] + 0.3 * (theta[name] - origin[name])
        assert tensor.dtype == torch.bfloat16
        step = 2.0 ** (exact.abs().log2().floor() - 7)
        assert bool(((tensor.double() - exact).abs() <= 0.5001 * step).all())
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
