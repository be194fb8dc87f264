"""A fingerprint tells everything that results depend on, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from xpert.modalities.text.prober import TextProber
from xpert.summarizers.hf import HFSummarizer
from xpert.weights import model_digest


def changed(folder: Path, to: Path, file: str) -> Path:
    shutil.copytree(folder, to)
    path = to / file
    data = path.read_bytes()
    path.write_bytes(data[:-2] + b" " + data[-2:] if file.endswith(".json") else data[:-1] + bytes([data[-1] ^ 1]))
    return to


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_model_is_its_weights_config_and_tokenizer(tiny_base: Path, tmp_path: Path, file: str) -> None:
    assert model_digest(tiny_base) != model_digest(changed(tiny_base, tmp_path / "c", file))
    copy = shutil.copytree(tiny_base, tmp_path / "copy")
    (copy / "README.md").write_text("about")
    (copy / "checkpoint-5").mkdir()
    (copy / "checkpoint-5" / "config.json").write_text("{}")
    assert model_digest(tiny_base) == model_digest(copy)


def test_a_prober_tells_models_bases_and_number_types_apart(
    tiny_base: Path, tiny_adapters: dict[str, Path], tiny_full: Path, tmp_path: Path
) -> None:
    prober = TextProber(str(tiny_base))
    scaled = changed(tiny_adapters["poet"], tmp_path / "scaled", "adapter_config.json")  # the scale lies there
    references = [None, *map(str, tiny_adapters.values()), str(tiny_full), str(scaled)]
    said = [prober.fingerprint(reference) for reference in references]
    assert len(set(said)) == len(said)
    moved = shutil.copytree(tiny_adapters["poet"], tmp_path / "moved")
    assert prober.fingerprint(str(moved)) == prober.fingerprint(str(tiny_adapters["poet"]))
    assert prober.fingerprint("answers:x.jsonl") is None
    assert TextProber(str(tiny_base), dtype="bfloat16").fingerprint(None) != said[0]
    other = changed(tiny_base, tmp_path / "base", "tokenizer_config.json")
    assert TextProber(str(other)).fingerprint(str(moved)) != prober.fingerprint(str(moved))


def test_a_summarizer_is_its_weights_and_what_it_is_asked(tiny_summarizer: Path, tmp_path: Path) -> None:
    first = HFSummarizer(tiny_summarizer)
    said = first.fingerprint
    first.close()
    assert first.fingerprint == said == HFSummarizer(tiny_summarizer, batch_size=1, name="other").fingerprint
    copy = shutil.copytree(tiny_summarizer, tmp_path / "copy")
    assert HFSummarizer(copy).fingerprint == said
    assert HFSummarizer(tiny_summarizer, max_answer_tokens=7).fingerprint != said
    assert HFSummarizer(tiny_summarizer, dtype="bfloat16").fingerprint != said
    assert HFSummarizer(changed(tiny_summarizer, tmp_path / "x", "config.json")).fingerprint != said
