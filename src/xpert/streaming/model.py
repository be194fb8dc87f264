"""`StreamedModel`: a causal LM that is called like one of Transformers, and reads its layers from the disk at every pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from xpert.errors import IncompatibleModelError, SummarizerError
from xpert.loading import decoder_of
from xpert.streaming.budget import Plan, plan
from xpert.streaming.memory import give_back_free_memory
from xpert.streaming.needs import needs_of
from xpert.streaming.output import StreamedLinear, StreamedRows
from xpert.streaming.passes import Call, Result, Wave, begin, end, step_layer
from xpert.streaming.report import Report, resident_bytes
from xpert.streaming.skeleton import decoder_layers, empty_model, gives_tuples, recorded
from xpert.streaming.sources import Source, find_sources
from xpert.streaming.stored import TensorFiles
from xpert.streaming.weights import StreamedLayer, split_layer
from xpert.streaming.window import Unit, Window
from xpert.tensors.lora import LoraAdapter
from xpert.weights import stored_tensors, weight_files

__all__ = ["StreamedModel"]


class StreamedModel:
    """A causal LM for inference whose layers are in memory only while they compute.

    It offers what decoding and summarizing ask of a model of Transformers: ``base_model``, ``get_input_embeddings``,
    ``get_output_embeddings``, ``config``, ``device``, ``dtype``, and being called; hidden states and logits are those of the last
    position. `run` takes many micro-batches through the layers together, so that each weight is read once.

    Args:
        folder: A model's folder with safetensors files, as they are.
        device: Where it computes.
        dtype: Of the weights in memory; ``auto``: as stored.
        memory_budget: Bytes that it may use beside what the imports take; None: as few as reading each weight once allows.
        adapter: A LoRA adapter that is merged while reading.

    Attributes:
        report: What the passes so far took.
        shares_prefixes: Whether rows may take keys and values of their first tokens from another row.

    Raises:
        xpert.errors.IncompatibleModelError: It is no causal LM with a list of layers.
        xpert.errors.WeightsError: Its weights are missing, truncated, pickled, or of another shape than its config says.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: torch.device,
        dtype: Any,
        memory_budget: int | None = None,
        adapter: LoraAdapter | None = None,
    ) -> None:
        stored = stored_tensors(weight_files(folder))
        model: Any = empty_model(folder, dtype)
        self._model = model
        self.config, self.device, self.dtype = model.config, device, model.dtype
        self.generation_config = _generation_config(folder)
        self.report = Report(before=resident_bytes())
        self._where, self._budget = str(folder), memory_budget
        self._as_tuple = self.shares_prefixes = False
        self._modules = decoder_layers(model)
        sources = find_sources(model, stored, str(folder), adapter)
        self._embeddings: Any = model.get_input_embeddings()
        output: Any = model.get_output_embeddings()
        if output is None or decoder_of(model) is model:
            raise IncompatibleModelError(
                f"{folder}: expected a causal LM with a decoder and an output layer: use another"
            )
        names = {id(module): name for name, module in model.named_modules()}
        layer_names = [names[id(layer)] for layer in self._modules]
        rows = sources[f"{names[id(self._embeddings)]}.weight"]
        head = sources[f"{names[id(output)]}.weight"]
        if rows.update is not None or head.update is not None:
            raise IncompatibleModelError(
                f"{folder}: the adapter changes input embeddings or output layer, which is not done while streaming: merge it, or use hf:"
            )
        self._fixed_bytes = self._place_others(sources, layer_names, {rows.name, head.name})
        self._rows = StreamedRows(rows, device)
        self._head = StreamedLinear(head, output._parameters.get("bias"), device)
        self._embeddings.padding_idx = None
        self._resident: dict[Unit, list[torch.Tensor]] = {}
        self._layers = self._try_out(layer_names, sources)

    @property
    def promised_bytes(self) -> int:
        """What the last pass was to take at most, beside the imports."""
        return self.report.promised_bytes

    def get_input_embeddings(self) -> Any:
        """Rows of the input embeddings: called with token ids ``(...)`` it gives ``(..., E)``."""
        return _Embeddings(self._embedded, self._rows)

    def get_output_embeddings(self) -> StreamedLinear:
        """The output layer, read in slices of the vocabulary."""
        return self._head

    def base_model(self, **inputs: Any) -> Any:
        """The decoder: one micro-batch; ``last_hidden_state`` is ``(B, 1, D)``, of the last position."""
        keeps = bool(inputs.pop("use_cache", False))
        given = inputs.get("inputs_embeds")
        if given is not None and given.requires_grad and torch.is_grad_enabled():
            raise SummarizerError(f"{self._where}: a streamed model computes no gradients: tune prompts with hf:")
        with torch.no_grad():
            result = self.run([Call(inputs=inputs, keeps=keeps)])[0]
        return SimpleNamespace(last_hidden_state=result.last, past_key_values=result.cache)

    def forward(self, *, logits_to_keep: int = 1, **inputs: Any) -> Any:
        """Logits of the last position ``(B, 1, V)``."""
        out = self.base_model(**inputs)
        return SimpleNamespace(logits=self._head(out.last_hidden_state), past_key_values=out.past_key_values)

    __call__ = forward

    def run(self, calls: Sequence[Call], prefixes: Sequence[Any] = ()) -> list[Result]:
        """The results of micro-batches, in their order.

        Args:
            calls: The micro-batches.
            prefixes: What rows of them begin with: token ids, which are read once, alone, or the cache of a row read before.

        Raises:
            xpert.errors.SettingsError: The memory budget is too small; says how much is needed.
            xpert.errors.WeightsError: A tensor could not be read.
            xpert.errors.SummarizerError: It is closed.
        """
        model = self._loaded()
        begun = time.perf_counter()
        unread = [prefix for prefix in prefixes if isinstance(prefix, list)]
        needs = needs_of(model, self._layers, calls, unread, fixed=self._fixed_bytes, device=self.device)
        chosen = plan(needs, self._budget)
        self._keep(chosen)
        self.report.begin(chosen)
        results: list[Result] = []
        with self.report.watching():
            for group in chosen.groups:
                results += self._pass([calls[i] for i in group], prefixes, chosen)
        self.report.seconds += time.perf_counter() - begun
        return results

    def close(self) -> None:
        """Free what stays between passes; a second call does nothing."""
        self._model, self._embeddings, self._modules, self._layers = None, None, [], []
        self._resident.clear()

    def _loaded(self) -> Any:
        if self._model is None:
            raise SummarizerError(f"{self._where} is closed: make a new one")
        return self._model

    def _pass(self, calls: Sequence[Call], prefixes: Sequence[Any], chosen: Plan) -> list[Result]:
        needed = sorted({number for call in calls for number, _ in call.shares})
        rows = {n: torch.tensor([prefixes[n]], device=self.device) for n in needed if isinstance(prefixes[n], list)}
        held = {n: prefixes[n] for n in needed if n not in rows}
        waves = self._begin(calls, rows)
        give_back_free_memory()
        kept = frozenset(u for layer in self._layers if layer.number in chosen.resident for u in layer.units)
        units = [u for layer in self._layers for u in layer.units if u not in self._resident]
        window = Window(units, max(chosen.capacity, 1), kept=kept, device=self.device)
        try:
            with window:
                for layer in self._layers:
                    with layer.weights(window, self._resident, kept) as turn:

                        def on_wave(i: int, turn: Any = turn) -> None:
                            turn.last = i == len(waves) - 1

                        step_layer(layer.module, layer.number, waves, held, on_wave)
                    give_back_free_memory()
        except BaseException:
            self._resident.clear()
            raise
        finally:
            self.report.add(window)
        return end(self._model, self._modules, waves, as_tuple=self._as_tuple)

    def _begin(self, calls: Sequence[Call], prefixes: Mapping[int, torch.Tensor]) -> list[Wave]:
        given = [call.inputs.get("input_ids") for call in calls] + list(prefixes.values())
        with self._embedding([ids for ids in given if ids is not None]):
            return begin(self._model, self._modules, calls, prefixes, device=self.device, as_tuple=self._as_tuple)

    def _keep(self, chosen: Plan) -> None:
        """Let layers go that are to stay no more."""
        for unit in [unit for unit in self._resident if unit.layer not in chosen.resident]:
            del self._resident[unit]

    @contextmanager
    def _embedding(self, ids: Sequence[torch.Tensor]) -> Iterator[None]:
        """The input embeddings with the rows of these token ids, and no others."""
        different = (
            torch.unique(torch.cat([one.reshape(-1) for one in ids])) if ids else torch.zeros(0, dtype=torch.long)
        )
        embeddings, plain = self._embeddings, self._embeddings._parameters["weight"]
        kind = type(embeddings)
        try:
            with TensorFiles() as files:
                table = self._rows.read(files, different.tolist())
                self.report.bytes_read += files.bytes_read
            embeddings._parameters["weight"] = torch.nn.Parameter(table, requires_grad=False)
            embeddings.forward = lambda ids: kind.forward(embeddings, torch.searchsorted(different, ids))
            yield
        finally:
            embeddings.__dict__.pop("forward", None)
            embeddings._parameters["weight"] = plain

    def _embedded(self, ids: torch.Tensor) -> torch.Tensor:
        with self._embedding([ids]), torch.no_grad():
            return self._embeddings(ids)

    def _place_others(self, sources: Mapping[str, Source], layers: Sequence[str], streamed: set[str]) -> int:
        """Read what is in no layer and is needed always: norms, position embeddings, stored buffers; gives their bytes."""
        model, total = self._loaded(), 0
        parameters = dict(model.named_parameters(remove_duplicate=False))
        with TensorFiles() as files:
            for name, source in sources.items():
                inside = any(name.startswith(f"{layer}.") for layer in layers)
                if name in streamed or (inside and name in parameters):
                    continue
                values = torch.empty(source.shape, dtype=source.dtype)
                source.read(files, values)
                owner, _, leaf = name.rpartition(".")
                module = model.get_submodule(owner)
                total += values.nbytes
                if name in parameters:
                    module._parameters[leaf] = torch.nn.Parameter(values.to(self.device), requires_grad=False)
                else:
                    module._buffers[leaf] = values
        for module in model.modules():
            for leaf, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[leaf] = buffer.to(self.device)
        return total

    def _try_out(self, names: Sequence[str], sources: Mapping[str, Source]) -> list[StreamedLayer]:
        """How the layers are called, found with two rows of two tokens."""
        ids = torch.zeros((2, 2), dtype=torch.long, device=self.device)
        with torch.no_grad(), self._embedding([ids]):
            inputs = {"input_ids": ids, "use_cache": False}
            self._as_tuple = gives_tuples(self._model, self._modules, inputs)
            hidden, steps, _ = recorded(self._model, self._modules, inputs, as_tuple=self._as_tuple)
            with_cache = {"input_ids": ids, "use_cache": True}
            cache = recorded(self._model, self._modules, with_cache, as_tuple=self._as_tuple)[2]
        kept = getattr(cache, "layers", None)
        self.shares_prefixes = kept is not None and all(type(layer) is DynamicLayer for layer in kept)
        return [
            split_layer(number, layer, name=names[number], sources=sources, step=steps[number], hidden=hidden)
            for number, layer in enumerate(self._modules)
        ]


class _Embeddings:
    """The input embeddings, called or asked for their dtype."""

    def __init__(self, embed: Callable[[torch.Tensor], torch.Tensor], weight: StreamedRows) -> None:
        self._embed, self.weight = embed, weight

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        return self._embed(ids)


def _generation_config(folder: Path) -> Any:
    from transformers import GenerationConfig

    if not (folder / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(folder, local_files_only=True)
