from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from xpert.errors import WeightsError
from xpert.tensors.checkpoint import ShardWriter, open_checkpoint
from xpert.weights import weight_files

TENSORS = {f"layer.{i}": torch.full((4, 8), float(i)) for i in range(5)} | {"steps": torch.arange(3)}


def write(folder: Path, max_bytes: int) -> list[Path]:
    with ShardWriter(folder=folder, max_bytes=max_bytes) as writer:
        for name, tensor in TENSORS.items():
            writer.add(name, tensor)
    return weight_files(folder)


def test_one_file_where_it_fits(tmp_path: Path) -> None:
    assert [file.name for file in write(tmp_path, 10**9)] == ["model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert load_file(tmp_path / "model.safetensors").keys() == TENSORS.keys()


def test_shards_and_their_index_are_what_is_read_back(tmp_path: Path) -> None:
    files = write(tmp_path, 300)
    assert [file.name for file in files] == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert all(file.stat().st_size < 800 for file in files)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.numel() * t.element_size() for t in TENSORS.values())
    with open_checkpoint(files) as checkpoint:
        assert set(checkpoint.shapes) == set(TENSORS)
        assert checkpoint.dtypes["layer.0"] == torch.float32
        assert checkpoint.dtypes["steps"] is None
        for name, tensor in TENSORS.items():
            assert torch.equal(checkpoint.tensor(name), tensor)
            assert torch.equal(checkpoint.rows(name, 1, 3), tensor[1:3])
            assert index["weight_map"][name] in [file.name for file in files]


def fail_in_the_middle(folder: Path) -> None:
    with ShardWriter(folder=folder, max_bytes=100) as writer:
        writer.add("a", torch.ones(30))
        writer.add("b", torch.ones(30))
        raise KeyError


def test_an_error_finishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        fail_in_the_middle(tmp_path)
    assert not list(tmp_path.glob("*.safetensors*"))


def test_number_types_that_cannot_be_computed_with(tmp_path: Path) -> None:
    save_file({"a": torch.ones(4).to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    with (
        open_checkpoint([tmp_path / "a.safetensors"]) as checkpoint,
        pytest.raises(WeightsError, match=r"tensor a is of type F8_E4M3, expected one of .*: dequantize"),
    ):
        checkpoint.tensor("a")


def test_bad_files(tmp_path: Path) -> None:
    save_file({"a": torch.tensor([1.0, float("nan")])}, tmp_path / "a.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"nothing")
    with (
        open_checkpoint([tmp_path / "a.safetensors"]) as checkpoint,
        pytest.raises(WeightsError, match=r"a.safetensors: tensor a has NaN"),
    ):
        checkpoint.tensor("a")
    with pytest.raises(WeightsError, match=r"b.safetensors: tensor a is in a.safetensors as well"):
        open_checkpoint([tmp_path / "a.safetensors", tmp_path / "b.safetensors"]).__enter__()
    with pytest.raises(WeightsError, match=r"c.safetensors: truncated"):
        open_checkpoint([tmp_path / "c.safetensors"]).__enter__()
