"""Table 4: a summarizer of a true size read layer by layer, beside the same one read whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from xpert.errors import SummarizerError
from xpert.evaluation.experiments.tables import markdown
from xpert.evaluation.keeping import kept
from xpert.evaluation.presets import RandomShape
from xpert.evaluation.results import Chart, Series, Table
from xpert.evaluation.suite.context import Context, Findings
from xpert.progress import say
from xpert.tensors.checkpoint import ShardWriter
from xpert.tensors.files import atomic_folder, check_space, write_text
from xpert.types import AnswerPair
from xpert.zoo import path
from xpert.zoo.corpus import STYLES, examples

__all__ = ["random_model", "table_4"]

WAYS: Mapping[str, str] = {"hf": "read whole", "streamed": "streamed"}
_SPREAD = 0.02
_NO_TOKENS: Mapping[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
_ONE = f"{__name__.rpartition('.')[0]}.one_reading"


def table_4(context: Context) -> Findings:
    """Time, peak memory and bytes of both ways for several numbers of questions; their embeddings must be equal to the last bit.

    Raises:
        xpert.errors.SettingsError: There is no room for the weights.
        xpert.errors.SummarizerError: A reading ended with an error, or the two ways gave other embeddings.
    """
    shape = context.preset.streamed_shape
    model = random_model(shape, context.work / "random-models" / f"{shape.name}-{context.seed}", context.seed)
    rows = [row for n in context.preset.streamed_questions for row in _both(context, model, n)]
    n_bytes = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    title = (
        f"Random weights in the shape of {shape.name}, {n_bytes / 1e6:.0f} MB in bfloat16, computed in float32 on the CPU; "
        "each reading a process of its own, loading included"
    )
    return Findings(tables=[Table(title=title, markdown=_table(rows))], charts=[_chart(rows)], rows=rows)


def random_model(shape: RandomShape, folder: Path, seed: int) -> Path:
    """Weights of spread 0.02 (norms: 1) in bfloat16, with the zoo's tokenizer; what is there is taken as it is.

    Raises:
        xpert.errors.SettingsError: There is no room for them.
    """
    if folder.is_dir():
        return folder
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
        **_NO_TOKENS,
    )
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    check_space(folder, 2 * sum(one.numel() for one in model.parameters()))
    generator = torch.Generator().manual_seed(seed)
    with atomic_folder(folder) as temporary:
        with ShardWriter(folder=temporary, max_bytes=700_000_000) as writer:
            for name, parameter in model.named_parameters():
                values = torch.ones(parameter.shape)
                if parameter.dim() > 1:
                    values.normal_(0.0, _SPREAD, generator=generator)
                writer.add(name, values.to(torch.bfloat16))
        config.save_pretrained(temporary)
        for file in path("summarizer").iterdir():
            if file.name.startswith(("tokenizer", "special_tokens", "chat_template")):
                shutil.copy2(file, temporary)
    return folder


def _pairs(n: int, seed: int) -> list[AnswerPair]:
    """Unstyled and styled texts of the corpus, the styles in turn."""
    styles = list(STYLES.values())
    plain = examples(styles[0], side="users", n=n, seed=seed, similarity=0.0)
    told = [examples(styles[i % len(styles)], side="users", n=1, seed=1000 * seed + i)[0] for i in range(n)]
    return [
        AnswerPair(prompt=own.prompt or "", base=base.response, other=own.response)
        for own, base in zip(told, plain, strict=True)
    ]


def _both(context: Context, model: Path, n: int) -> list[dict[str, Any]]:
    """One row a way."""

    def read() -> list[dict[str, Any]]:
        pairs = _pairs(n, context.seed)
        with TemporaryDirectory() as folder:
            asked = write_text(Path(folder) / "pairs.json", json.dumps([asdict(pair) for pair in pairs]))
            files = {way: Path(folder) / f"{way}.npy" for way in WAYS}
            rows = [{"way": way, "questions": n, **_one(way, model, asked, files[way])} for way in WAYS]
            whole, streamed = (np.load(file, allow_pickle=False) for file in files.values())
        if not np.array_equal(whole, streamed):
            raise SummarizerError(
                f"{model}: expected the same embeddings read whole and streamed, got up to {np.abs(whole - streamed).max():.2g} "
                "between them: this is a fault of xpert or of the machine, tell it"
            )
        return rows

    return kept(context.work / f"streaming-{model.name}-{n}.json", read)


def _one(way: str, model: Path, asked: Path, out: Path) -> dict[str, Any]:
    say(f"{model.name}, {WAYS[way]}")
    command = [sys.executable, "-m", _ONE, way, str(model), str(asked), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise SummarizerError(
            f"{model.name}, {WAYS[way]}: ended with status {done.returncode}: {''.join(last)[:300]}: is there memory enough?"
        )
    return json.loads(done.stdout.splitlines()[-1])


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    header = [
        "questions",
        "summarizer",
        "seconds",
        "of read whole",
        "waiting for reads",
        "peak memory",
        "of read whole",
        "bytes read",
        "embeddings",
    ]
    whole = {row["questions"]: row for row in rows if row["way"] == "hf"}
    cells = [
        [
            str(row["questions"]),
            WAYS[row["way"]],
            f"{row['seconds']:.1f}",
            f"{row['seconds'] / whole[row['questions']]['seconds']:.2f}",
            "-" if row["waited_s"] is None else f"{100 * row['waited_s'] / row['seconds']:.2f}%",
            _megabytes(row["peak_bytes"]),
            _share(row["peak_bytes"], whole[row["questions"]]["peak_bytes"]),
            _megabytes(row["bytes_read"]),
            "-" if row["way"] == "hf" else "the same to the last bit",
        ]
        for row in rows
    ]
    return markdown(header, cells)


def _megabytes(n_bytes: int | None) -> str:
    return "not told by the system" if n_bytes is None else f"{n_bytes / 1e6:.0f} MB"


def _share(part: int | None, whole: int | None) -> str:
    return "-" if part is None or not whole else f"{100 * part / whole:.0f}%"


def _chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    series = [
        Series(
            name=told,
            x=[row["questions"] for row in rows if row["way"] == way and row["peak_bytes"] is not None],
            y=[row["peak_bytes"] / 1e6 for row in rows if row["way"] == way and row["peak_bytes"] is not None],
        )
        for way, told in WAYS.items()
    ]
    return Chart(title="Peak memory of a summarizer", x_label="questions", y_label="MB", series=series)
