"""TIES and DARE on numbers that can be followed by hand, and what all methods refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from xpert.errors import IncompatibleModelError, ReferenceNotFoundError, SettingsError, WeightsError
from xpert.mergers import vectors as vectors_module
from xpert.mergers import whole
from xpert.mergers.base import RECORD, Member
from xpert.mergers.choose import merge_method
from xpert.mergers.dare import DareMerger
from xpert.mergers.linear import LinearMerger
from xpert.mergers.ties import TiesMerger
from xpert.tensors import files
from xpert.testing.tiny import tiny_adapter, tiny_causal_lm

SHAPES = {"model.embed_tokens.weight": (5, 4), "model.norm.weight": (4,)}


def write(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"tie_word_embeddings": True}))
    return folder


def models(root: Path, n: int, seed: int = 0) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
    generator = torch.Generator().manual_seed(seed)
    base, *deltas = [{k: torch.randn(s, generator=generator) for k, s in SHAPES.items()} for _ in range(n + 1)]
    write(root / "base", base)
    for i, delta in enumerate(deltas):
        write(root / str(i), {name: base[name] + delta[name] for name in base})
    exact = [{k: load_file(root / str(i) / "model.safetensors")[k] - base[k] for k in base} for i in range(n)]
    return base, exact


def merged(method: object, root: Path, weights: list[float], out: str = "out") -> dict[str, torch.Tensor]:
    members = [Member(name=str(i), reference=str(root / str(i)), weight=w) for i, w in enumerate(weights)]
    return load_file(method.merge(root / "base", members, root / out) / "model.safetensors")  # pyright: ignore


def ties(base: torch.Tensor, deltas: list[torch.Tensor], weights: list[float], density: float) -> torch.Tensor:
    """The paper's three steps, number by number."""
    total = base.double().clone().flatten()
    kept = []
    for delta in deltas:
        flat = delta.double().flatten()
        least = flat.abs().sort(descending=True).values[max(1, round(density * flat.numel())) - 1]
        kept.append([float(x) if abs(float(x)) >= float(least) else 0.0 for x in flat])
    for j in range(len(total)):
        votes = [w * k[j] for w, k in zip(weights, kept, strict=True)]
        sign = 1 if sum(votes) > 0 else -1
        agreeing = [(w, v) for w, v in zip(weights, votes, strict=True) if v * sign > 0]
        if agreeing:
            total[j] += sum(map(abs, weights)) * sum(v for _, v in agreeing) / sum(abs(w) for w, _ in agreeing)
    return total.reshape(base.shape)


@pytest.mark.parametrize("density", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("block", [3, 1 << 20])
def test_ties_is_the_papers_three_steps(
    density: float, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors_module.blocks, "__defaults__", (block,))
    base, deltas = models(tmp_path, 3)
    weights = [0.5, 0.9, 0.3]
    found = merged(TiesMerger(density=density), tmp_path, weights)
    for name, tensor in base.items():
        wanted = ties(tensor, [delta[name] for delta in deltas], weights, density)
        assert torch.allclose(found[name].double(), wanted, atol=1e-5)


def test_members_that_agree_give_the_weighted_sum(tmp_path: Path) -> None:
    base, deltas = models(tmp_path, 1)
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    found = merged(TiesMerger(density=1.0), tmp_path, [0.25, 0.5])
    for name, tensor in base.items():
        assert torch.allclose(found[name], tensor + 0.75 * deltas[0][name], atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 10**6))
def test_the_threshold_is_the_kth_largest_magnitude(n: int, density: float, seed: int) -> None:
    from xpert.mergers.ties import _threshold

    delta = torch.randn(n, generator=torch.Generator().manual_seed(seed))

    class Base:
        def shape(self, name: str) -> tuple[int, ...]:
            return (n,)

        def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
            return torch.zeros(stop - start)

    class Vector:
        def delta(self, name: str, start: int, stop: int, origin: torch.Tensor) -> torch.Tensor:
            return delta[start:stop]

    keep = max(1, round(density * n))
    found = _threshold("t", Base(), Vector(), density)  # pyright: ignore
    assert int((delta.abs() >= found).sum()) == keep


def test_dare_keeps_a_share_and_enlarges_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, deltas = models(tmp_path, 2)
    found = merged(DareMerger(density=0.5, seed=1), tmp_path, [0.6, 0.0])
    kept = 0
    for name, tensor in base.items():
        change = (found[name] - tensor) / (0.6 * deltas[0][name] / 0.5)
        assert bool(((change.abs() < 1e-4) | ((change - 1).abs() < 1e-3)).all())
        kept += int((change > 0.5).sum())
    assert 0.25 < kept / 24 < 0.75
    again = merged(DareMerger(density=0.5, seed=1), tmp_path, [0.6, 0.0], "again")
    other = merged(DareMerger(density=0.5, seed=2), tmp_path, [0.6, 0.0], "other")
    assert all(torch.equal(again[name], found[name]) for name in found)
    assert any(not torch.equal(other[name], found[name]) for name in found)
    monkeypatch.setattr(vectors_module.blocks, "__defaults__", (3,))
    small = merged(DareMerger(density=0.5, seed=1), tmp_path, [0.6, 0.0], "small")
    assert all(torch.equal(small[name], found[name]) for name in found)
    whole = merged(DareMerger(density=1.0), tmp_path, [0.6, 0.2], "all")
    linear = merged(LinearMerger(), tmp_path, [0.6, 0.2], "linear")
    assert all(torch.allclose(whole[name], linear[name], atol=1e-6) for name in whole)


def test_options_belong_to_a_method() -> None:
    assert merge_method("ties", density=0.3, seed=None) == TiesMerger(density=0.3)
    with pytest.raises(SettingsError, match=r"density: the merge method 'linear' has no such option \(it has .*rank"):
        merge_method("linear", density=0.3)
    for density in (0.0, 1.5, float("nan")):
        with pytest.raises(SettingsError, match="density: expected a share above 0"):
            merge_method("dare", density=density)
    with pytest.raises(SettingsError, match="rank: expected at least 1"):
        merge_method("linear", rank=0)
    with pytest.raises(ReferenceNotFoundError, match="unknown merge method 'mean'"):
        merge_method("mean")


def test_a_rank_is_for_adapters(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    members = [Member(name=n, reference=str(f), weight=0.5) for n, f in tiny_adapters.items()]
    out = LinearMerger(rank=3).merge(tiny_base, members, tmp_path / "o")
    assert json.loads((out / "adapter_config.json").read_text())["r"] == 3
    note = json.loads((out / RECORD).read_text())["notes"][0]
    assert "to 3: " in note
    assert note in (out / "README.md").read_text()
    full = [*members, Member(name="base", reference=str(tiny_base), weight=0.1)]
    with pytest.raises(SettingsError, match="rank=3: the result is a full model, as 'base' is one"):
        LinearMerger(rank=3).merge(tiny_base, full, tmp_path / "p")


def test_a_full_disk_is_seen_before_anything_is_written(
    tiny_base: Path, tiny_full: Path, tiny_adapters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda place: usage._replace(free=1_000_000))
    for reference in (tiny_full, next(iter(tiny_adapters.values()))):
        member = Member(name="m", reference=str(reference), weight=1.0)
        with pytest.raises(SettingsError, match=r"o needs 0\.\d+ GB, its disk has 0\.001 GB left: free some"):
            LinearMerger().merge(tiny_base, [member], tmp_path / "o")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_merge_leaves_nothing_and_keeps_what_was(
    tiny_base: Path, tiny_full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Member(name="m", reference=str(tiny_full), weight=0.5)
    out = LinearMerger().merge(tiny_base, [member], tmp_path / "o")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    written: list[str] = []

    def stop(rows: torch.Tensor, spec: whole.TensorSpec, folder: Path) -> torch.Tensor:
        written.append(spec.name)
        if len(written) == 3:
            assert not list(folder.glob("*.safetensors")), "half a file must not have a name that loads"
            raise KeyboardInterrupt
        return rows

    monkeypatch.setattr(whole, "_stored_as", stop)
    with pytest.raises(KeyboardInterrupt):
        LinearMerger().merge(tiny_base, [Member(name="m", reference=str(tiny_full), weight=0.9)], out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


@pytest.mark.filterwarnings("ignore")  # PEFT warns of adapters of tied layers
def test_tied_against_untied_and_other_vocabularies(tmp_path: Path) -> None:
    tied, untied = (tiny_causal_lm(tmp_path / str(t), tied=t) for t in (True, False))
    for base, other, said in ((tied, untied, "untied"), (untied, tied, "tied")):
        member = Member(name="other", reference=str(other), weight=1.0)
        with pytest.raises(
            IncompatibleModelError, match=rf"'other' .*: its embeddings are {said} \(tie_word_embeddings"
        ):
            LinearMerger().merge(base, [member], tmp_path / "o")
    words = tiny_adapter(
        tiny_causal_lm(tmp_path / "words", vocab_size=300), tmp_path / "words-lora", target_modules=["embed_tokens"]
    )
    with pytest.raises(IncompatibleModelError, match=r"update of model.embed_tokens has shape .* the base's weight"):
        LinearMerger().merge(tied, [Member(name="words", reference=str(words), weight=1.0)], tmp_path / "o")


def test_sums_that_do_not_fit_the_stored_type(tmp_path: Path) -> None:
    big = {name: torch.full(shape, 60000.0).half() for name, shape in SHAPES.items()}
    write(tmp_path / "base", {name: torch.zeros(shape).half() for name, shape in SHAPES.items()})
    write(tmp_path / "0", big)
    with pytest.raises(WeightsError, match=r"merged tensor model.* does not fit float16 .*: use smaller weights"):
        merged(LinearMerger(), tmp_path, [1.5])
    assert not (tmp_path / "out").exists()


def test_different_number_types_are_told(tmp_path: Path) -> None:
    base, _ = models(tmp_path, 1)
    write(tmp_path / "1", {name: tensor.bfloat16() for name, tensor in base.items()})
    found = merged(LinearMerger(), tmp_path, [0.5, 0.5])
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    note = "Number types differ (the base float32, '0' float32, '1' bfloat16): the widest was kept."
    assert note in (tmp_path / "out" / "README.md").read_text()
