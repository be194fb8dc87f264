"""``xpert train --backend torch`` and ``--backend onnx`` on one style of the authors' published data: the same loss; both resume."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpert.cli import main
from xpert.trainers import loop

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
pytest.importorskip("onnx", reason="needs the extra 'onnx'")

STYLE = "expert-concise-unfriendly"
STEPS, CUT_OFF = 12, 8


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The first 24 answers of a style."""
    folder = os.environ.get("XPERT_REAL_TEXT", "")
    file = Path(folder) / "style_qa" / f"{STYLE}.jsonl"
    if not folder or not file.is_file():
        pytest.skip("needs the authors' published data: XPERT_REAL_TEXT names no folder with style_qa")
    lines = file.read_text(encoding="utf-8").splitlines()[:24]
    (tmp_path / "me.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "me.jsonl"


def command(backend: str, data: Path, out: Path, *more: str) -> list[str]:
    return [
        "train", "--backend", backend, "--start", "zoo:base", "--data", str(data), "--out", str(out), "--json",
        "--max-steps", str(STEPS), "--lr", "3e-3", "--schedule", "cosine", "--warmup", "3", "--batch-size", "4",
        "--rank", "4", "--alpha", "8", "--max-length", "128", "--checkpoint-every", "5", "--eval-every", "4", *more,
    ]  # fmt: skip


def stopped_at(step: int, patch: pytest.MonkeyPatch) -> None:
    real = loop._step

    def stop(job: Any, progress: Any, chosen: Any) -> Any:
        if progress.step == step:
            raise KeyboardInterrupt
        return real(job, progress, chosen)

    patch.setattr(loop, "_step", stop)


def counted_steps(patch: pytest.MonkeyPatch) -> list[int]:
    """Gets the number of each step that begins."""
    real, begun = loop._step, list[int]()

    def step(job: Any, progress: Any, chosen: Any) -> Any:
        begun.append(progress.step)
        return real(job, progress, chosen)

    patch.setattr(loop, "_step", step)
    return begun


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


@pytest.mark.slow
def test_both_reach_the_same_loss_and_both_resume(data: Path, tmp_path: Path, capsys: Any) -> None:
    found: dict[str, dict[str, Any]] = {}
    for backend in ("torch", "onnx"):
        whole, cut = tmp_path / f"{backend}-whole", tmp_path / f"{backend}-cut"
        assert main(command(backend, data, whole)) == 0
        with pytest.MonkeyPatch.context() as patch:
            stopped_at(CUT_OFF, patch)
            assert main(command(backend, data, cut)) != 0
        assert not (cut / "report.json").exists()
        with pytest.MonkeyPatch.context() as patch:
            begun = counted_steps(patch)
            assert main(command(backend, data, cut, "--resume")) == 0
        assert begun[0] == 5, "it goes on from the checkpoint"
        adapters = [load_file(out / "adapter_model.safetensors") for out in (whole, cut)]
        assert all(np.array_equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
        assert report(cut)["losses"] == report(whole)["losses"]
        found[backend] = report(whole)
    capsys.readouterr()
    for curve in ("losses", "eval_losses"):
        torch, onnx = ([loss for _, loss in found[backend][curve]] for backend in ("torch", "onnx"))
        np.testing.assert_allclose(onnx, torch, atol=1e-5, rtol=0)
    first, last = (report(tmp_path / "torch-whole")["eval_losses"][i][1] for i in (0, -1))
    assert first - last > 0.1, f"it must have learnt something: {first} -> {last}"
