from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xpert.tensors.shards import RowWriter, TensorSpec
from xpert.weights import weight_files

TENSORS = {
    "half": torch.arange(6).reshape(3, 2).bfloat16(),
    **{f"layer.{i}": torch.full((4, 8), float(i)) for i in range(5)},
    "steps": torch.arange(3),
}


def write(folder: Path, max_bytes: int) -> list[Path]:
    specs = [TensorSpec(name=name, shape=tuple(t.shape), dtype=t.dtype) for name, t in TENSORS.items()]
    with RowWriter(folder=folder, specs=specs, max_bytes=max_bytes) as writer:
        for spec in writer.order:
            for rows in TENSORS[spec.name].split(3):
                writer.add(rows)
    return weight_files(folder)


@pytest.mark.parametrize(("max_bytes", "n_files"), [(10**9, 1), (300, 3), (1, 7)])
def test_rows_become_files_that_safetensors_reads(tmp_path: Path, max_bytes: int, n_files: int) -> None:
    files = write(tmp_path, max_bytes)
    assert len(files) == n_files
    read = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in TENSORS.items())
    assert len(list(tmp_path.iterdir())) == n_files + (n_files > 1)
    if n_files > 1:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(t.numel() * t.element_size() for t in TENSORS.values())
        assert all((tmp_path / file).is_file() for file in index["weight_map"].values())


def fail_in_the_middle(folder: Path) -> None:
    specs = [TensorSpec(name=name, shape=(30,), dtype=torch.float32) for name in ("a", "b")]
    with RowWriter(folder=folder, specs=specs, max_bytes=100) as writer:
        writer.add(torch.ones(30))
        writer.add(torch.ones(20))
        raise KeyError


def test_an_error_finishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        fail_in_the_middle(tmp_path)
    assert not list(tmp_path.glob("*.safetensors*"))


def test_rows_that_were_not_given(tmp_path: Path) -> None:
    specs = [TensorSpec(name="a", shape=(30,), dtype=torch.float32)]
    with (
        pytest.raises(ValueError, match="40 bytes of shard 1 of 1 are missing"),
        RowWriter(folder=tmp_path, specs=specs) as writer,
    ):
        writer.add(torch.ones(20))
    assert not list(tmp_path.glob("*.safetensors*"))
