from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("accelerate")

from xpert.cli import main
from xpert.registry import TRAINERS
from xpert.testing.tiny_pipelines import tiny_pipeline_adapter
from xpert.trainers.choose import trainer_for
from xpert.trainers.diffusion.trainer import DiffusionTrainer
from xpert.types import Example

LORA = "pytorch_lora_weights.safetensors"


def folder_of(examples: list[Example], folder: Path, column: str) -> Path:
    """A folder of images with ``metadata.jsonl``."""
    folder.mkdir()
    rows: list[str] = []
    for example in examples:
        file = Path(example.response)
        (folder / file.name).write_bytes(file.read_bytes())
        rows.append(json.dumps({"file_name": file.name, column: example.prompt}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


def test_the_trainer_follows_the_start(
    pipeline_of: Any, tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    base = pipeline_of("sd15")
    adapter = tiny_pipeline_adapter(base, tmp_path / "a")
    assert [trainer_for(start) for start in (base, adapter)] == ["diffusion", "diffusion"]
    assert [trainer_for(start) for start in (tiny_base, tiny_adapters["poet"])] == ["torch", "torch"]
    assert TRAINERS.names()[:2] == ["torch", "diffusion"]


def test_a_pipeline_is_trained_from_the_command_line(
    pipeline_of: Any, picture_examples: list[Example], tmp_path: Path, capsys: Any
) -> None:
    data = folder_of(picture_examples, tmp_path / "data", "text")
    start = ["--start", str(pipeline_of("sd15")), "--data", str(data), "--out", str(tmp_path / "o")]
    options = ["--max-steps", "2", "--batch-size", "1", "--accumulation", "2", "--center-crop", "--random-flip"]
    assert main(["train", *start, *options, "--rank", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["steps"] == 2
    assert document["samples"] == 4
    assert {"seconds", "first_loss", "last_loss", "trainable_parameters", "out"} <= document.keys()
    assert (tmp_path / "o" / LORA).is_file()
    other = folder_of(picture_examples, tmp_path / "other", "described")
    start[3] = str(other)
    assert main(["train", *start, "--max-steps", "1"]) == 2
    assert "has no caption: write captions, or set --caption-template" in capsys.readouterr().err
    assert main(["train", *start, "--max-steps", "1", "--caption-column", "described"]) == 0


def test_options_of_another_trainer_are_told(pipeline_of: Any, tiny_base: Path, tmp_path: Path, capsys: Any) -> None:
    data = tmp_path / "me.jsonl"
    data.write_text('{"text": "hello"}\n')
    for start, option, trainer in (
        (pipeline_of("sd15"), ["--max-length", "8"], "diffusion"),
        (tiny_base, ["--snr-gamma", "5"], "torch"),
    ):
        arguments = ["train", "--start", str(start), "--data", str(data), "--out", str(tmp_path / "o"), *option]
        assert main(arguments) == 2
        err = capsys.readouterr().err.strip().splitlines()
        assert err[-1].startswith(
            f"xpert: error: {option[0]}: the trainer '{trainer}', which trains this start, has no"
        )


def launched(train: list[str], processes: int) -> list[str]:
    """Standard output of each process: one of ``accelerate launch``, or several as it starts them."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command, environment = [sys.executable, "-m"], {**os.environ, "OMP_NUM_THREADS": "1"}
    if processes == 1:
        command += ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
        command += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m"]
    else:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
        environment |= {"LOCAL_WORLD_SIZE": str(processes)}
    ranks = [{} if processes == 1 else {"RANK": str(i), "LOCAL_RANK": str(i)} for i in range(processes)]
    running = [
        subprocess.Popen([*command, "xpert", "train", *train], env={**environment, **rank}, **options) for rank in ranks
    ]
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * processes, [err for _, err in said]
    return [out for out, _ in said]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_launched_runs_learn_what_one_process_learns(
    processes: int, pipeline_of: Any, picture_examples: list[Example], tmp_path: Path
) -> None:
    """Two processes have half of a step's images each."""
    base, data = pipeline_of("sd15"), folder_of(picture_examples, tmp_path / "data", "text")
    single = DiffusionTrainer(max_steps=3, rank=2, batch_size=4).fit(base, picture_examples, out=tmp_path / "alone")
    train = ["--start", str(base), "--data", str(data), "--max-steps", "3", "--rank", "2", "--json"]
    train += ["--batch-size", str(4 // processes), "--out", str(tmp_path / "launched")]
    out = launched([*train, "--device", "cpu"], processes)
    told = json.loads(out[0])
    assert out[1:] == [""] * (processes - 1)  # one document, whatever the number of processes
    assert told["samples"] == single.samples == 12
    assert told["last_loss"] == pytest.approx(single.last_loss, rel=1e-4)
    theirs = [loss for _, loss in single.eval_losses]
    assert [loss for _, loss in told["eval_losses"]] == pytest.approx(theirs, rel=1e-4)
