"""A base causal LM in memory that answers as itself, as its adapters, and as its full fine-tunes."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from xpert.errors import IncompatibleModelError
from xpert.loading import choose_device, choose_dtype, has_tokenizer, load_model, load_tokenizer
from xpert.modalities.adapters import applied, check_adapter, check_declared
from xpert.modalities.recorded import RecordedAnswers, card_of, own_or_shared_prompts
from xpert.modalities.text.full import check_full, skeleton_of
from xpert.modalities.text.generate import answers, second_answers
from xpert.modalities.text.grouped import NotRowwiseError
from xpert.modalities.text.many import answers_of_groups
from xpert.modalities.text.scoring import losses_of
from xpert.references import Kind, declared_base, kind_of, parse_reference, require_weights, resolve
from xpert.tensors.lora_files import is_plain_lora
from xpert.types import Array, Example, Generation, ModelCard
from xpert.weights import digest, model_digest, tensor_shapes, weight_files

__all__ = ["TextProber"]


class TextProber:
    """A live base (see `xpert.protocols.Prober`). Models may be adapters, full fine-tunes or recorded answers."""

    def __init__(self, base: str, *, device: str | None = None, dtype: str | None = None) -> None:
        """Load the base; `close` frees it.

        Args:
            base: Reference of a full causal LM.
            device: See `xpert.modalities.text.TextModality.open`.
            dtype: Likewise.
        """
        self.base = base
        self.folder = resolve(base)
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self._tokenizer = load_tokenizer(self.folder)
        self._model = load_model(self.folder, device=self.device, dtype=self.dtype)
        self._recorded: dict[str, RecordedAnswers] = {}
        self._skeleton: Any = None
        self._fitting: set[tuple[object, ...]] = set()

    def close(self) -> None:
        """Free the weights. A second call does nothing."""
        self._model = self._skeleton = None
        _free()

    def card(self, name: str, reference: str) -> ModelCard:
        """The catalog entry of a model; checks from file headers alone that it belongs to this base."""
        self._check(reference)
        return card_of(name, reference, self.base)

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        """The answers of a model (None: of the base) to the prompts, in their order."""
        if reference is not None and parse_reference(reference).scheme == "answers":
            return [example.response for example in self._answers_of(reference).examples(prompts)]
        with self._loaded(reference) as (model, tokenizer):
            return answers(
                model, tokenizer, prompts, generation, what=Path(reference).name if reference else "the base"
            )

    def answer_many(
        self,
        references: Sequence[str],
        prompts: Sequence[str],
        generation: Generation,
        *,
        on_finished: Callable[[str, list[str]], None] | None = None,
    ) -> Iterator[tuple[str, list[str]]]:
        """The answers of several models to the same prompts, each as `answer` gives them.

        Plain LoRA adapters come first: their rows share the batches over the one base, in groups. The others follow one by one.
        ``on_finished`` is called for every model of a group when the group is done, before the first of them is yielded.

        Raises:
            xpert.errors.IncompatibleModelError: A model is not one of this base; found before any answers.
            xpert.errors.WeightsError: Weights are not finite.
        """
        kinds = [self._check(reference) for reference in references]
        together = [
            reference
            for reference, kind in zip(references, kinds, strict=True)
            if kind == "adapter" and is_plain_lora(resolve(reference))
        ]
        left, finished = list(references), on_finished or (lambda *_: None)
        groups = answers_of_groups(
            self._live(), self._tokenizer, [resolve(reference) for reference in together], prompts, generation
        )
        try:
            for texts in groups:
                done = list(zip(together, texts, strict=False))
                del together[: len(done)]
                for reference, found in done:
                    left.remove(reference)
                    finished(reference, found)
                yield from done
        except NotRowwiseError:
            pass  # layers of this base do not see whole rows: the adapters are asked one by one, too
        for reference in left:
            found = self.answer(reference, prompts, generation)
            finished(reference, found)
            yield reference, found

    def prompts(self, references: Sequence[str]) -> list[str] | None:
        """Prompts that come with the base, or that all recorded models among the references answered; else None."""
        recorded = [self._answers_of(text) for text in references if parse_reference(text).scheme == "answers"]
        return own_or_shared_prompts(self.folder, recorded)

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        """Answers of the base sampled at temperature 1, independent of those that `answer` samples with this seed."""
        return second_answers(self._live(), self._tokenizer, prompts, generation), "sampled"

    @contextmanager
    def scoring(self, reference: str | None) -> Iterator[Callable[[Sequence[Example]], Array]]:
        """A model (None: the base) as a function: examples to the mean loss of each, in nats a token (`xpert.protocols`)."""
        if reference is not None:
            require_weights(reference, "search by losses")
        with self._loaded(reference) as (model, tokenizer):
            yield losses_of(model, tokenizer, what=reference or "the base")

    def fingerprint(self, reference: str | None) -> str | None:
        """Weights, configs and tokenizers of the base and of a model, and the number type; None for a recorded model."""
        if reference is not None and parse_reference(reference).scheme == "answers":
            return None
        own = "" if reference is None else model_digest(resolve(reference))
        return hashlib.sha256(f"{self._identity} {own} {self.dtype}".encode()).hexdigest()

    def _live(self) -> Any:
        if self._model is None:
            raise ValueError("the prober is closed: use it inside the block that opened it")
        return self._model

    @contextmanager
    def _loaded(self, reference: str | None) -> Iterator[tuple[Any, Any]]:
        """A model and its tokenizer, ready to answer; the base is as before afterwards."""
        base = self._live()
        if reference is None:
            yield base, self._tokenizer
            return
        kind = self._check(reference)
        folder = resolve(reference)
        if kind == "adapter":
            with applied(base, folder) as model:
                yield model, self._tokenizer
            return
        model = load_model(folder, device=self.device, dtype=self.dtype)
        try:
            yield model, load_tokenizer(folder) if has_tokenizer(folder) else self._tokenizer
        finally:
            del model
            _free()

    def _check(self, reference: str) -> Kind:
        folder, kind = resolve(reference), kind_of(reference)
        if kind == "recorded":
            self._answers_of(reference)
        elif kind == "adapter":
            if not (folder / "adapter_config.json").is_file():
                raise IncompatibleModelError(
                    f"model {reference!r} is a LoRA of an image pipeline: expected a causal LM, a PEFT adapter or answers"
                )
            check_declared(reference, declared_base(folder), self.base, self.folder, lambda: self._digest)
            self._check_on_skeleton(folder)
        elif kind == "full":
            check_full(folder, self.folder)
        else:
            raise IncompatibleModelError(
                f"model {reference!r} is a pipeline: expected a causal LM, an adapter or answers"
            )
        return kind

    def _check_on_skeleton(self, folder: Path) -> None:
        """One skeleton serves all adapters, once for those of one config and shape; after an error the next one gets a new one."""
        config = (folder / "adapter_config.json").read_bytes()
        key = config, tuple(sorted(tensor_shapes(weight_files(folder)).items()))
        if key in self._fitting:
            return
        skeleton, self._skeleton = self._skeleton or skeleton_of(self.folder), None
        check_adapter(folder, skeleton, self.base)
        self._skeleton = skeleton
        self._fitting.add(key)

    @cached_property
    def _digest(self) -> str:
        return digest(self.folder, weight_files(self.folder))

    @cached_property
    def _identity(self) -> str:
        return model_digest(self.folder)

    def _answers_of(self, reference: str) -> RecordedAnswers:
        if reference not in self._recorded:
            self._recorded[reference] = RecordedAnswers(reference)
        return self._recorded[reference]


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
