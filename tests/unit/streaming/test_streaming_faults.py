"""Whatever goes wrong: one clear error, and no thread, hook, file or weight is left behind."""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from xpert.errors import IncompatibleModelError, SettingsError, SummarizerError, WeightsError
from xpert.streaming import landing, mapping, stored
from xpert.streaming.model import StreamedModel
from xpert.streaming.passes import Call
from xpert.streaming.window import Window
from xpert.summarizers.streamed import StreamedSummarizer
from xpert.testing.tiny import tiny_causal_lm
from xpert.types import AnswerPair

PAIRS = [AnswerPair(prompt="p", base="rain falls", other="Oh, rain! " * (1 + i)) for i in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_causal_lm(tmp_path / "lm", layers=3, tied=False)


@pytest.fixture(params=[False, True], ids=["mapped", "copied"])
def copying(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether tensors are copied from their file, as on systems that do not map them."""
    if not mapping.can_map() and not request.param:
        pytest.skip("this system does not bring mapped pages in")
    if request.param:
        monkeypatch.setattr(landing, "can_map", lambda: False)
    return request.param


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    files = open_files()
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("xpert-")] == []
    assert open_files() == files


def open_files() -> set[str]:
    numbers = Path("/proc/self/fd")
    if not numbers.is_dir():
        return set()
    paths = {os.readlink(n) for n in numbers.iterdir() if n.exists()}
    return {path for path in paths if path.endswith(".safetensors")}


def run(model: StreamedModel) -> torch.Tensor:
    ids = torch.arange(12).view(2, 6)
    with torch.inference_mode():
        return torch.cat(
            [r.last for r in model.run([Call(inputs={"input_ids": ids[:1]}), Call(inputs={"input_ids": ids[1:]})])]
        )


def opened(folder: Path, **options: Any) -> StreamedModel:
    return StreamedModel(folder, device=torch.device("cpu"), dtype=torch.float32, **options)


def check_clean(model: StreamedModel) -> None:
    """No hook, no other forward pass, no weight of a layer in the model."""
    for module in model._model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in module.__dict__
    layers = [parameter for layer in model._modules for parameter in layer.parameters()]
    assert all(parameter.is_meta for parameter in layers)
    assert model._resident == {}


def changed(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_clean_after_a_pass(folder: Path) -> None:
    model = opened(folder)
    run(model)
    check_clean(model)
    model.close()
    model.close()
    with pytest.raises(SummarizerError, match="closed"):
        run(model)


def test_truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"expected \d+ bytes by its header"):
        opened(folder)


def test_truncated_while_it_is_open(folder: Path, copying: bool) -> None:
    model = opened(folder)
    expected = run(model)
    content = (folder / "model.safetensors").read_bytes()
    os.truncate(folder / "model.safetensors", len(content) // 2)
    with pytest.raises(
        WeightsError, match=r"model.safetensors: tensor .* could not be read \(the file ends before it does\)"
    ):
        run(model)
    check_clean(model)
    (folder / "model.safetensors").write_bytes(content)
    assert torch.equal(run(model), expected)


def test_missing_shard(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "a.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"a\.safetensors, which is not there"):
        opened(folder)


def test_missing_tensor(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(WeightsError, match=r"tensor model\.layers\.1\.mlp\.up_proj\.weight is missing"):
        opened(folder)


def test_wrong_shape(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({"model.layers.1.mlp.up_proj.weight": torch.ones(3, 4)}))
    with pytest.raises(
        WeightsError, match=r"up_proj\.weight: expected shape \[64, 32\] by the config, it is stored as \[3, 4\]"
    ):
        opened(folder)


def test_dtype_that_is_none_of_weights(folder: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    changed(folder, lambda tensors: tensors.update({name: tensors[name].to(torch.int8)}))
    with pytest.raises(WeightsError, match="is stored as I8"):
        opened(folder)


def test_no_list_of_layers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    class Folded(modeling_llama.LlamaModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.layers = torch.nn.Sequential(*self.layers)  # pyright: ignore[reportAttributeAccessIssue]

    monkeypatch.setattr(modeling_llama, "LlamaModel", Folded)
    with pytest.raises(IncompatibleModelError, match=r"expected one list of 3 layers, found 0.*use hf:"):
        opened(folder)


def test_something_between_the_layers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    plain = LlamaDecoderLayer.__call__
    monkeypatch.setattr(
        LlamaDecoderLayer, "__call__", lambda self, *args, **kwargs: moved(plain(self, *args, **kwargs))
    )
    with pytest.raises(IncompatibleModelError, match="do not go from layer to layer unchanged"):
        opened(folder)


def test_disk_error_in_the_reader(folder: Path, monkeypatch: pytest.MonkeyPatch, copying: bool) -> None:
    model = opened(folder, memory_budget=200_000_000)
    expected = run(model)
    model._resident.clear()
    owner, name = (stored.os, "preadv") if copying else (mapping, "_bring_in")
    real, calls = getattr(owner, name), iter(range(100))

    def failing(*args: Any) -> Any:
        if next(calls) == 10:
            raise OSError(5, "Input/output error")
        return real(*args)

    monkeypatch.setattr(owner, name, failing)
    with pytest.raises(WeightsError, match=r"could not be read \(Input/output error\): check the disk"):
        run(model)
    check_clean(model)
    monkeypatch.setattr(owner, name, real)
    assert torch.equal(run(model), expected)


maps = pytest.mark.skipif(not mapping.can_map(), reason="this system does not bring mapped pages in")


@maps
def test_a_page_that_cannot_be_brought_in_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    file = tmp_path / "short"
    file.write_bytes(b"x" * 10)
    with file.open("rb") as stream, pytest.raises(OSError, match="Input/output error"):
        mapping.mapped(stream.fileno(), 0, 3 * mmap.PAGESIZE, piece=mmap.PAGESIZE, stopped=lambda: False)


@maps
def test_mapped_content_from_anywhere_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    content = os.urandom(5 * mmap.PAGESIZE)
    file.write_bytes(content)
    with file.open("rb") as stream:
        for start, n_bytes in ((0, 1), (8, 100), (mmap.PAGESIZE, mmap.PAGESIZE), (5000, 15_000)):
            found = mapping.mapped(stream.fileno(), start, n_bytes, piece=mmap.PAGESIZE, stopped=lambda: False)
            assert found is not None
            assert bytes(found.tolist()) == content[start : start + n_bytes]
        assert mapping.mapped(stream.fileno(), 0, 1, piece=1, stopped=lambda: True) is None


def test_interrupt(folder: Path, monkeypatch: pytest.MonkeyPatch, copying: bool) -> None:
    model = opened(folder)
    expected, real = run(model), Window.take
    calls = iter(range(100))

    def interrupted(self: Window, unit: Any) -> list[torch.Tensor]:
        if next(calls) == 10:
            raise KeyboardInterrupt
        return real(self, unit)

    monkeypatch.setattr(Window, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(model)
    check_clean(model)
    monkeypatch.setattr(Window, "take", real)
    assert torch.equal(run(model), expected)


def test_budget_too_small_says_how_much_is_needed(folder: Path) -> None:
    with pytest.raises(SettingsError, match="memory_budget: expected a size such as"):
        StreamedSummarizer(folder, memory_budget="much")
    summarizer = StreamedSummarizer(folder, memory_budget="1MB")
    with pytest.raises(SettingsError, match=r"memory_budget: 1MB is too small: .* need (\d+)MB at least") as told:
        summarizer.summarize(PAIRS)
    needed = str(told.value).split("need ")[1].split(" ")[0]
    assert StreamedSummarizer(folder, memory_budget=needed).summarize(PAIRS).embeddings.shape == (4, 32)


def test_gradients_are_refused(folder: Path) -> None:
    space = StreamedSummarizer(folder).prompt_space()
    prefix, suffix = (part.requires_grad_() for part in space.text_embeddings())
    words = space.word_embeddings(["warm"])
    with pytest.raises(SummarizerError, match="no gradients"):
        space.hidden(prefix, words, suffix)


def moved(out: Any) -> Any:
    """A layer's states one further on: Transformers 4.57 and 5 differ in whether they stand in a tuple."""
    return (out[0] + 1, *out[1:]) if isinstance(out, tuple) else out + 1
