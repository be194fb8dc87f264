"""OnnxExporter: base + start adapter + tokenizer -> a folder that a device trains from without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from xpert.artifacts.header import HEADER, kind_of_artifacts, write_header
from xpert.artifacts.room import require_room
from xpert.artifacts.runtime import training_build
from xpert.artifacts.tokenizer import tokenizer_values
from xpert.decoding import stop_ids_of
from xpert.errors import IncompatibleModelError, SettingsError
from xpert.tensors.files import atomic_folder
from xpert.trainers.export.gradients import optimizer_graph, training_graphs
from xpert.trainers.export.graph import trace_logits, trace_loss
from xpert.trainers.export.schedule import place_of_schedule
from xpert.trainers.export.weights import ADAPTER_DATA, WEIGHTS_DATA, Place, attach, lay_out, write_weights
from xpert.trainers.export.with_optimum import optimum_logits, optimum_loss
from xpert.trainers.loading import Loaded, adapter_state, load_start
from xpert.trainers.progress import fingerprint
from xpert.trainers.saving import adapter_config
from xpert.trainers.settings import one_of
from xpert.trainers.torch import TorchTrainer

__all__ = ["OnnxExporter", "Route"]

Route: TypeAlias = Literal["own", "optimum"]

_PACKAGES = ("xpert", "torch", "transformers", "peft", "onnx", "onnxruntime-training-cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxExporter:
    """Writes the artifacts of ONNX Runtime's on-device training; the object is the configuration.

    Attributes:
        max_length: Longest row in tokens that will be trained.
        rank: ``r`` of a new adapter (16), where the start is a full model.
        alpha: ``lora_alpha`` of a new adapter (32).
        target_modules: Modules of a new adapter, as `xpert.TorchTrainer` has them.
        clip: Largest norm of the gradient; a part of the optimizer's graph.
        weight_decay: AdamW's; a part of the optimizer's graph.
        base: Base of a start adapter, where its ``adapter_config.json`` names none that is here.
        seed: Of a new adapter's initial values.
        self_contained: Keep the frozen weights in the file ``checkpoint``, as a browser needs it (which reads no weights beside a
            graph), and give logits with the validation loss; else in ``weights.data``, which the runtime maps into memory.
        route: Who traces the model: ``own``, which never holds weights in a message, so that models beyond 2 GB go too; or ``optimum``,
            with its patches of the models' own code for masks.
    """

    max_length: int = 512
    rank: int | None = None
    alpha: float | None = None
    target_modules: Any = None
    clip: float = 1.0
    weight_decay: float = 0.0
    base: str | Path | None = None
    seed: int = 0
    self_contained: bool = False
    route: Route = "own"

    def __post_init__(self) -> None:
        """Check the route.

        Raises:
            xpert.errors.SettingsError: It is none.
        """
        one_of("route", self.route, ("own", "optimum"))

    def export(self, start: str | Path, out: str | Path) -> Path:
        """Write the folder: it appears whole; an earlier export there stays until then.

        Args:
            start: A full model (with a new LoRA adapter) or a LoRA adapter.
            out: The folder: new, empty, or an earlier export's.

        Returns:
            The folder.

        Raises:
            xpert.errors.RecordedModelError: ``start`` has no weights.
            xpert.errors.IncompatibleModelError: Architecture, adapter or tokenizer cannot be exported.
            xpert.errors.WeightsError: The start's weights cannot be read, or are not finite.
            xpert.errors.SettingsError: ``out`` is a folder of something else; a setting is out of range.
            xpert.errors.MissingDependencyError: The extra ``onnx`` is not installed.
            xpert.errors.TrainingError: The disk is full.
        """
        out = Path(out)
        _check_target(out)
        training_build()
        settings = self._torch_trainer().settings
        loaded = load_start(start, settings, base=self.base, device="cpu")
        _plain_lora(loaded, start)
        values = tokenizer_values(loaded.tokenizer, loaded.base)
        parts = _Parts.of(loaded)
        longest = min(self.max_length, getattr(loaded.model.config, "max_position_embeddings", None) or self.max_length)
        loss, logits = self._traced(loaded.model, longest)
        _known_inputs(loss, parts)
        require_room(out, 2 * sum(length for _, length in parts.places.values()), "an export")
        with atomic_folder(out) as folder:
            self._write(folder, loss, logits, parts)
            loaded.tokenizer.save_pretrained(folder)
            loaded.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
            header = self._header(loaded, str(start), parts, {**values, **_ends(loaded)}, longest)
            header["optimizer"]["schedule_at"] = place_of_schedule((folder / "optimizer_model.onnx").read_bytes())
            names = [path.name for path in folder.iterdir() if path.suffix in (".onnx", ".data") or not path.suffix]
            write_header(folder, "training", header, [*names, "tokenizer.json"])
        return out

    def _traced(self, model: Any, longest: int) -> tuple[Any, Any]:
        """The graphs of loss and logits, whose parameters are inputs."""
        if self.route == "optimum":
            logits = optimum_logits(model)
            return optimum_loss(logits), logits
        with torch.no_grad():
            return trace_loss(model, longest), trace_logits(model, longest)

    def _torch_trainer(self) -> TorchTrainer:
        return TorchTrainer(
            max_length=self.max_length,
            rank=self.rank,
            alpha=self.alpha,
            target_modules=self.target_modules,
            clip=self.clip,
            weight_decay=self.weight_decay,
            seed=self.seed,
        )

    def _write(self, folder: Path, loss: Any, logits: Any, parts: _Parts) -> None:
        import onnx

        training, validation = training_graphs(loss, list(parts.trained), logits=self.self_contained)
        if not self.self_contained:
            for graph in (training, validation):
                attach(graph, parts.places, WEIGHTS_DATA)
            write_weights(folder / WEIGHTS_DATA, parts.places, parts.frozen)
        attach(logits, parts.places, WEIGHTS_DATA)
        attach(logits, parts.adapter_places, ADAPTER_DATA)
        onnx.save(training, folder / "training_model.onnx")
        onnx.save(validation, folder / "eval_model.onnx")
        onnx.save(logits, folder / "inference_model.onnx")
        optimizer = optimizer_graph(n_tensors=len(parts.trained), weight_decay=self.weight_decay, clip=self.clip)
        onnx.save(optimizer, folder / "optimizer_model.onnx")
        trained = [_message(name, tensor) for name, tensor in parts.trained.items()]
        frozen = [_message(name, tensor) for name, tensor in parts.frozen.items()] if self.self_contained else []
        save = training_build("capi._pybind_state").save_checkpoint
        save(trained, frozen, str(folder / "checkpoint"), False)

    def _header(
        self, loaded: Loaded, start: str, parts: _Parts, tokenizer: Mapping[str, Any], longest: int
    ) -> dict[str, Any]:
        config = loaded.model.peft_config["default"]
        said = {
            "max_length": longest,
            "optimizer": {"clip": self.clip, "weight_decay": self.weight_decay},
            "self_contained": self.self_contained,
        }
        adapter = json.loads(json.dumps(adapter_config(config), default=str))
        identity = {"start": loaded.digest, "seed": self.seed, "adapter": adapter, "trained": parts.digest(), **said}
        return {
            "start": start,
            "base": loaded.base,
            "architecture": loaded.model.config.model_type,
            "digest": fingerprint(identity),
            "versions": _versions(),
            **said,
            "adapter": adapter,
            "trained": [
                {
                    "parameter": name,
                    "key": parts.keys[name],
                    "shape": list(tensor.shape),
                    "offset": parts.adapter_places[name][0],
                }
                for name, tensor in parts.trained.items()
            ],
            "frozen": [
                {"parameter": name, "shape": list(tensor.shape), "offset": parts.places[name][0]}
                for name, tensor in parts.frozen.items()
            ],
            "tokenizer": dict(tokenizer),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """A model's tensors by the names that they have in the graphs, in one order everywhere."""

    trained: Mapping[str, torch.Tensor]
    frozen: Mapping[str, torch.Tensor]
    keys: Mapping[str, str]
    places: Mapping[str, Place]
    adapter_places: Mapping[str, Place]

    @classmethod
    def of(cls, loaded: Loaded) -> _Parts:
        named = {f"model.{name}": parameter for name, parameter in loaded.model.named_parameters()}
        trained = {name: p.detach() for name, p in named.items() if p.requires_grad}
        frozen = {name: p.detach() for name, p in named.items() if not p.requires_grad}
        keys = {name: name.removeprefix("model.").replace(".default", "") for name in trained}
        state = adapter_state(loaded.model)
        if sorted(keys.values()) != sorted(state):
            raise IncompatibleModelError(
                f"this PEFT names an adapter's tensors otherwise ({min(state)}): it is not supported"
            )
        return cls(
            trained=trained,
            frozen=frozen,
            keys=keys,
            places=lay_out({name: tensor.shape for name, tensor in frozen.items()}),
            adapter_places=lay_out({name: tensor.shape for name, tensor in trained.items()}),
        )

    def digest(self) -> str:
        return fingerprint({name: tensor.double().sum().item() for name, tensor in self.trained.items()})


def _message(name: str, tensor: torch.Tensor) -> bytes:
    from onnx import numpy_helper

    return numpy_helper.from_array(tensor.to("cpu", torch.float32).contiguous().numpy(), name).SerializeToString()


def _known_inputs(graph: Any, parts: _Parts) -> None:
    from xpert.trainers.export.graph import INPUTS

    known = {*INPUTS, *parts.trained, *parts.frozen}
    if strange := [value.name for value in graph.graph.input if value.name not in known]:
        raise IncompatibleModelError(
            f"its graph has an input that is no parameter ({strange[0]}): it cannot be exported"
        )


def _plain_lora(loaded: Loaded, start: str | Path) -> None:
    config = loaded.model.peft_config["default"]
    options = ("use_dora", "modules_to_save", "lora_bias", "trainable_token_indices", "layer_replication")
    used = [name for name in options if getattr(config, name, None)]
    used += ["bias"] if getattr(config, "bias", "none") != "none" else []
    if used:
        raise IncompatibleModelError(
            f"{start}: expected a plain LoRA adapter, it uses {used[0]}: it cannot be exported"
        )


def _ends(loaded: Loaded) -> dict[str, int | None]:
    """The token that ends a response, and the one that pads."""
    tokenizer = loaded.tokenizer
    end = tokenizer.eos_token_id
    if end is None:
        end = min(stop_ids_of(loaded.model, tokenizer), default=None)
    return {"end_id": end, "pad_id": next(i for i in (tokenizer.pad_token_id, end, 0) if i is not None)}


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _check_target(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise SettingsError(f"out: {out} is a file: give a folder")
    if out.is_dir() and any(out.iterdir()) and kind_of_artifacts(out) is None:
        raise SettingsError(f"out: {out} holds something else (no {HEADER} of an export): give a new or empty folder")
