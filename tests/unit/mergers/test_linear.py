from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from xpert.errors import IncompatibleModelError, RecordedModelError, ReferenceNotFoundError, SettingsError, WeightsError
from xpert.mergers.base import RECORD, Member, MergeMethod
from xpert.mergers.linear import LinearMerger
from xpert.registry import MERGERS
from xpert.tensors.lora_files import read_adapter
from xpert.testing.tiny import tiny_adapter, tiny_causal_lm, tiny_full


def member(folder: Path | str, weight: float = 1.0, name: str = "m") -> Member:
    return Member(name=name, reference=str(folder), weight=weight)


def test_it_is_found_by_name() -> None:
    assert isinstance(MERGERS.get("linear")(), MergeMethod)


def test_an_adapter_result_brings_tokenizer_card_and_record(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    members = [member(tiny_adapters[name], weight, name) for name, weight in (("tutor", 0.75), ("poet", 0.5))]
    out = LinearMerger().merge(tiny_base, members, tmp_path / "o", words=[("friendly", 1.25)])
    assert AutoTokenizer.from_pretrained(out).eos_token == "<|end|>"
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny_base)
    card, record = (out / "README.md").read_text(), json.loads((out / RECORD).read_text())
    assert "| tutor | 0.7500 |" in card
    assert "friendly +1.25" in card
    assert [(m["name"], m["weight"]) for m in record["models"]] == [("tutor", 0.75), ("poet", 0.5)]
    assert all(len(m["sha256"]) == 64 for m in record["models"])
    assert not (out / "config.json").exists()


def test_a_merge_may_replace_a_merge_and_nothing_else(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "o"
    first = LinearMerger().merge(tiny_base, [member(tiny_adapters["poet"])], out)
    before = (first / "adapter_model.safetensors").read_bytes()
    with pytest.raises(ReferenceNotFoundError):
        LinearMerger().merge(tiny_base, [member(tmp_path / "nothing")], out)
    assert (out / "adapter_model.safetensors").read_bytes() == before
    LinearMerger().merge(tiny_base, [member(tiny_adapters["tutor"])], out)
    assert (out / "adapter_model.safetensors").read_bytes() != before
    with pytest.raises(SettingsError, match="holds something else"):
        LinearMerger().merge(tiny_base, [member(tiny_adapters["tutor"])], tiny_base)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o"]


def test_the_result_has_the_widest_dtype(tmp_path: Path, tiny_base: Path) -> None:
    half = tmp_path / "half"
    tiny_full(tiny_base, half, scale=0.0)
    tensors = {name: t.bfloat16() for name, t in load_file(half / "model.safetensors").items()}
    save_file(tensors, half / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((half / "config.json").read_text())
    key = "dtype" if "dtype" in config else "torch_dtype"
    (half / "config.json").write_text(json.dumps({**config, key: "bfloat16"}))
    out = LinearMerger().merge(half, [member(tiny_base, 0.5)], tmp_path / "o")
    assert {t.dtype for t in load_file(out / "model.safetensors").values()} == {torch.float32}
    assert json.loads((out / "config.json").read_text())[key] == "float32"
    same = LinearMerger().merge(half, [member(half, 0.5)], tmp_path / "same")
    assert {t.dtype for t in load_file(same / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((same / "config.json").read_text())[key] == "bfloat16"


def test_an_output_layer_that_is_stored_once_more_does_not_matter(tiny_base: Path, tmp_path: Path) -> None:
    full = tiny_full(tiny_base, tmp_path / "full")
    tensors = load_file(full / "model.safetensors")
    save_file(
        {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()},
        full / "model.safetensors",
        metadata={"format": "pt"},
    )
    out = LinearMerger().merge(tiny_base, [member(full)], tmp_path / "o")
    merged = load_file(out / "model.safetensors")
    assert merged.keys() == tensors.keys()
    assert all(torch.allclose(merged[name], tensors[name], atol=1e-6) for name in tensors)


def test_models_of_another_base(tiny_base: Path, tiny_summarizer: Path, tiny_full: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    wide = tiny_adapter(tiny_summarizer, tmp_path / "wide")
    deep = tiny_adapter(tiny_causal_lm(tmp_path / "deep-base", layers=3), tmp_path / "deep")
    words = tiny_causal_lm(tmp_path / "words", vocab_size=300)
    few = tiny_causal_lm(tmp_path / "few", layers=1)
    for other, message in (
        (wide, r"no adapter of base .*: its update of .* has shape \(48, 48\), the base's weight \(32, 32\)"),
        (deep, "the base has no module model.layers.2"),
        (words, r"embed_tokens.weight has shape .* \(another width or vocabulary\)"),
        (few, r"it lacks \d+ tensor\(s\), first model.layers.1"),
    ):
        with pytest.raises(IncompatibleModelError, match=message) as caught:
            LinearMerger().merge(tiny_base, [member(tiny_full, name="good"), member(other, name="other")], out)
        assert "'other'" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(IncompatibleModelError, match=r"it has \d+ tensor\(s\) more"):
        LinearMerger().merge(few, [member(tiny_base)], out)
    with pytest.raises(IncompatibleModelError, match="expected a full model"):
        LinearMerger().merge(deep, [member(deep)], out)
    assert not out.exists()


def test_members_that_cannot_be_merged(tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    poet, out = tiny_adapters["poet"], tmp_path / "o"
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    with pytest.raises(RecordedModelError, match="answers only"):
        LinearMerger().merge(tiny_base, [member(f"answers:{tmp_path / 'a.jsonl'}")], out)
    with pytest.raises(SettingsError, match="nothing to merge"):
        LinearMerger().merge(tiny_base, [], out)
    with pytest.raises(SettingsError, match="'m' is there twice"):
        LinearMerger().merge(tiny_base, [member(poet), member(poet)], out)
    with pytest.raises(SettingsError, match="expected a finite number"):
        LinearMerger().merge(tiny_base, [member(poet, float("nan"))], out)
    assert not out.exists()


def test_broken_weights_leave_nothing_behind(tiny_base: Path, tmp_path: Path) -> None:
    full = tiny_full(tiny_base, tmp_path / "full")
    tensors = load_file(full / "model.safetensors")
    name = sorted(tensors)[-1]
    save_file({**tensors, name: tensors[name] * float("nan")}, full / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=rf"model.safetensors: tensor {name} has NaN"):
        LinearMerger().merge(tiny_base, [member(full)], tmp_path / "o")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_embeddings_that_a_member_unties_are_stored_apart(tmp_path: Path, tiny_base: Path, tiny_full: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *a, **k: None)  # PEFT warns of tied targets
        head = tiny_adapter(tiny_base, tmp_path / "head", target_modules=["lm_head"])
    adapter = LinearMerger().merge(tiny_base, [member(head)], tmp_path / "alone")
    assert (adapter / "adapter_config.json").is_file()
    members = [member(head, 0.5, "head"), member(tiny_full, 0.25, "full")]
    out = LinearMerger().merge(tiny_base, members, tmp_path / "o")
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    origin, full, merged = (load_file(folder / "model.safetensors") for folder in (tiny_base, tiny_full, out))
    embedding = origin["model.embed_tokens.weight"]
    expected = embedding + 0.25 * (full["model.embed_tokens.weight"] - embedding)
    assert torch.allclose(merged["model.embed_tokens.weight"], expected, atol=1e-6)
    delta = read_adapter(head).delta("lm_head")
    assert torch.allclose(merged["lm_head.weight"], expected + 0.5 * delta, atol=1e-6)
    assert "no longer tied" in (out / "README.md").read_text()
