"""Summarizers as ONNX: an encoder or an LLM that a device runs without torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xpert.artifacts.header import HEADER, Kind, kind_of_artifacts, write_header
from xpert.artifacts.tokenizer import tokenizer_values
from xpert.errors import SettingsError
from xpert.loading import load_model, load_tokenizer
from xpert.references import resolve
from xpert.summarizers.causal import output_layer
from xpert.summarizers.encoder import EncoderSummarizer
from xpert.summarizers.instructions import INSTRUCTION_FILE
from xpert.summarizers.onnx.model import MODEL
from xpert.tensors.files import atomic_folder
from xpert.tracing import additive, eager, trace

__all__ = ["export_summarizer"]

_WEIGHTS = "weights.data"
_AXES = {"input_ids": {0: "rows", 1: "length"}, "attention_mask": {0: "rows", 1: "length"}}


def export_summarizer(summarizer: str, out: str | Path) -> Path:
    """Write a summarizer to a folder, whose name is then ``onnx:FOLDER``.

    Args:
        summarizer: ``encoder:REF`` (of texts), ``hf:REF`` or ``zoo:summarizer``.
        out: The folder: new, empty, or an earlier export's.

    Raises:
        xpert.errors.SettingsError: Another kind of summarizer; ``out`` is a folder of something else.
        xpert.errors.ReferenceNotFoundError: The reference names nothing.
        xpert.errors.IncompatibleModelError: Model or tokenizer cannot be exported.
        xpert.errors.MissingDependencyError: The extra ``onnx`` is not installed.
    """
    out, (scheme, _, target) = Path(out), summarizer.partition(":")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and kind_of_artifacts(out) is None)):
        raise SettingsError(f"out: {out} holds something else (no {HEADER} of an export): give a new or empty folder")
    if scheme == "encoder":
        return _export_encoder(target, out)
    if scheme in ("hf", "zoo"):
        return _export_llm(summarizer if scheme == "zoo" else target, target, out)
    raise SettingsError(
        f"summarizer={summarizer!r}: expected encoder:REF, hf:REF or zoo:summarizer, which can be exported"
    )


def _export_encoder(target: str, out: Path) -> Path:
    summarizer = EncoderSummarizer(target, device="cpu")
    model, most = summarizer.model, summarizer.max_tokens
    values = {"target": target, "width": summarizer.width, "max_tokens": most, "weights": summarizer.weights_digest}
    ids = torch.arange(6).reshape(2, 3)
    with torch.no_grad():
        graph = trace(
            _Encoder(model),
            (ids, torch.ones_like(ids)),
            inputs=list(_AXES),
            outputs=["embedding"],
            axes={**_AXES, "embedding": {0: "rows"}},
            name=f"encoder:{target}",
            weights=True,
        )
    return _write(out, "encoder", graph, model.tokenizer, values)


def _export_llm(reference: str, target: str, out: Path) -> Path:
    folder = resolve(reference)
    model = load_model(folder, device=torch.device("cpu"), dtype=torch.float32)
    tokenizer = load_tokenizer(folder)
    ids = torch.arange(6).reshape(2, 3)
    with torch.no_grad(), eager(model):
        graph = trace(
            _LLM(model),
            (ids, torch.ones_like(ids)),
            inputs=list(_AXES),
            outputs=["hidden", "logits"],
            axes={**_AXES, "hidden": {0: "rows"}, "logits": {0: "rows"}},
            name=reference,
            weights=True,
        )
    values = {
        "target": target,
        "width": int(output_layer(model).weight.shape[1]),
        "positions": getattr(model.config, "max_position_embeddings", None),
        "special_ids": sorted(tokenizer.all_special_ids),
    }
    own = folder / INSTRUCTION_FILE
    return _write(out, "llm", graph, tokenizer, values, *([own] if own.is_file() else []))


def _write(out: Path, kind: Kind, graph: Any, tokenizer: Any, values: Mapping[str, Any], *extra: Path) -> Path:
    import onnx

    said = tokenizer_values(tokenizer, str(values["target"]))
    with atomic_folder(out) as folder:
        onnx.save(graph, folder / MODEL, save_as_external_data=True, all_tensors_to_one_file=True, location=_WEIGHTS)
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        for file in extra:
            shutil.copyfile(file, folder / file.name)
        names = [MODEL, "tokenizer.json", *(file.name for file in extra)]
        names += [_WEIGHTS] if (folder / _WEIGHTS).is_file() else []
        for name in names:
            (folder / name).chmod(0o644)  # the runtime's own writer lets its owner alone read
        write_header(folder, kind, {**values, "tokenizer": said}, names)
    return out


class _Encoder(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        out = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
        return out["sentence_embedding"]


class _LLM(torch.nn.Module):
    """Rows padded on the left to the last hidden state and the logits behind it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        place = torch.arange(input_ids.shape[1])
        seen = (place[None, :] <= place[:, None])[None, None] & (attention_mask[:, None, None, :] > 0)
        positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
        out = self.model.base_model(
            input_ids=input_ids, attention_mask=additive(seen), position_ids=positions, use_cache=False
        )
        hidden = out.last_hidden_state[:, -1]
        return hidden, self.model.get_output_embeddings()(hidden)
