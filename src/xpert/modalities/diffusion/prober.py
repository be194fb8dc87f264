"""A base pipeline in memory that paints as itself, as its adapters, and as its full personalizations."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xpert.errors import IncompatibleModelError
from xpert.loading import choose_device, choose_dtype
from xpert.modalities.adapters import applied, check_adapter, check_declared
from xpert.modalities.diffusion.lora import lora_applied
from xpert.modalities.diffusion.paint import batch_size_for, decided, paint
from xpert.modalities.diffusion.parts import check_pipeline, pipeline_applied
from xpert.modalities.diffusion.pipeline import denoiser_of, diffusers_version, load_pipeline
from xpert.modalities.recorded import RecordedAnswers, card_of, own_or_shared_prompts
from xpert.prompts import shipped_prompts
from xpert.references import Kind, declared_base, kind_of, parse_reference, resolve
from xpert.types import Generation, ModelCard
from xpert.weights import digest, model_digest, weight_files

if TYPE_CHECKING:
    from xpert.modalities.diffusion import DiffusionModality

__all__ = ["DiffusionProber"]


class DiffusionProber:
    """A live base (see `xpert.protocols.Prober`). Models may be adapters, whole pipelines or recorded images.

    Attributes:
        settings: How it paints, nothing left open: what the catalog stores.
    """

    def __init__(
        self, base: str, modality: DiffusionModality, *, device: str | None = None, dtype: str | None = None
    ) -> None:
        """Load the base; `close` frees it.

        Args:
            base: Reference of a whole pipeline.
            modality: How it is to paint.
            device: See `xpert.modalities.diffusion.DiffusionModality.open`.
            dtype: Likewise.
        """
        self.base = base
        self.folder = resolve(base)
        self.device = choose_device(device)
        self._pipe: Any = load_pipeline(self.folder, device=self.device, dtype=choose_dtype(dtype, self.device))
        self.dtype = denoiser_of(self._pipe).dtype
        self.settings = decided(self._pipe, asdict(modality))
        self._recorded: dict[str, RecordedAnswers] = {}
        self._skeleton: Any = None

    def close(self) -> None:
        """Free the weights. A second call does nothing."""
        self._pipe = self._skeleton = None
        _free()

    def card(self, name: str, reference: str) -> ModelCard:
        """The catalog entry of a model; checks that it belongs to this base (of a whole pipeline from headers alone)."""
        if self._check(reference) == "adapter":
            with self._loaded(reference):
                pass
        return card_of(name, reference, self.base)

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        """The images of a model (None: of the base) for the prompts, in their order, as data URIs.

        Of ``generation`` the seed and the batch size count; the rest is in ``settings``.
        """
        if reference is not None and parse_reference(reference).scheme == "answers":
            return [example.response for example in self._answers_of(reference).examples(prompts)]
        if reference is not None:
            self._check(reference)
        with self._loaded(reference) as pipe:
            return self._painted(pipe, prompts, generation, "first", reference)

    def prompts(self, references: Sequence[str]) -> list[str]:
        """Prompts that come with the base, or that all recorded models among the references answered; else the shipped captions."""
        recorded = [self._answers_of(text) for text in references if parse_reference(text).scheme == "answers"]
        return own_or_shared_prompts(self.folder, recorded) or shipped_prompts("captions")

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        """Images of the base from other noise."""
        return self._painted(self._live(), prompts, generation, "second", None), "another seed"

    def fingerprint(self, reference: str | None) -> str | None:
        """Everything in the folders of the base and of a model, number type, settings, and diffusers' version; None for a recorded model."""
        if reference is not None and parse_reference(reference).scheme == "answers":
            return None
        own = "" if reference is None else model_digest(resolve(reference))
        how = [self._identity, own, str(self.dtype), diffusers_version(), self.settings]
        return hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()

    def _painted(
        self, pipe: Any, prompts: Sequence[str], generation: Generation, draw: str, reference: str | None
    ) -> list[str]:
        who = Path(reference).name if reference else "the base"
        size = batch_size_for(self.settings["height"], self.settings["width"], self.device)
        return paint(
            pipe,
            prompts,
            self.settings,
            seed=generation.seed,
            draw=draw,
            batch_size=generation.batch_size or size,
            description=f"painting as {who}" + (", a second time" if draw == "second" else ""),
            where=reference or self.base,
        )

    def _live(self) -> Any:
        if self._pipe is None:
            raise ValueError("the prober is closed: use it inside the block that opened it")
        return self._pipe

    @contextmanager
    def _loaded(self, reference: str | None) -> Iterator[Any]:
        """The pipeline as a model that was checked; the base is as before afterwards."""
        pipe = self._live()
        if reference is None:
            yield pipe
            return
        folder = resolve(reference)
        if kind_of(reference) == "pipeline":
            with pipeline_applied(pipe, folder, self.folder):
                yield pipe
            _free()
        elif (folder / "adapter_config.json").is_file():
            with applied(denoiser_of(pipe), folder):
                yield pipe
        else:
            with lora_applied(pipe, folder):
                yield pipe

    def _check(self, reference: str) -> Kind:
        folder, kind = resolve(reference), kind_of(reference)
        if kind == "recorded":
            self._answers_of(reference)
        elif kind == "pipeline":
            check_pipeline(folder, self.folder)
        elif kind == "adapter":
            check_declared(reference, declared_base(folder), self.base, self.folder, lambda: self._digest)
            if (folder / "adapter_config.json").is_file():
                self._check_on_skeleton(folder)
        else:
            raise IncompatibleModelError(
                f"model {reference!r} is no pipeline: expected a whole pipeline (model_index.json), an adapter or answers"
            )
        return kind

    def _check_on_skeleton(self, folder: Path) -> None:
        """One empty denoiser serves all PEFT adapters; after an error the next one gets a new one."""
        skeleton, self._skeleton = self._skeleton, None
        if skeleton is None:
            denoiser = denoiser_of(self._live())
            with torch.device("meta"):
                skeleton = type(denoiser).from_config(denoiser.config)
        check_adapter(folder, skeleton, self.base)
        self._skeleton = skeleton

    @cached_property
    def _digest(self) -> str:
        return digest(self.folder, weight_files(self.folder))

    @cached_property
    def _identity(self) -> str:
        return model_digest(self.folder)

    def _answers_of(self, reference: str) -> RecordedAnswers:
        if reference not in self._recorded:
            found = RecordedAnswers(reference)
            if not found.images:
                raise IncompatibleModelError(
                    f"model {reference!r} has recorded texts, the base {self.base!r} paints: expected recorded images"
                )
            self._recorded[reference] = found
        return self._recorded[reference]


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
