"""Painted sub-vectors: contrastive ones whose styled answers another generator makes, such as a text-to-image pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from xpert.errors import SettingsError
from xpert.protocols import FingerprintedProber, Modality, Prober
from xpert.references import parse_reference, resolve
from xpert.registry import MODALITIES
from xpert.subvectors.contrastive import ContrastiveSubvectors
from xpert.types import Generation
from xpert.weights import digest, weight_files

__all__ = ["TEMPLATE", "PaintedSubvectors", "ProberWriter"]

TEMPLATE = "{prompt}, in a {word} style"


class ProberWriter:
    """Any prober as a writer: its base answers the prompts with the word said in them; matches `xpert.protocols.BatchWriter`.

    Args:
        painter: A reference of the generator, opened for each call and gone after it; or an open prober, which stays its owner's.
        modality: What opens a reference: a registered modality's name or an object.
        template: A prompt with ``{prompt}`` and ``{word}``.
        generation: How it answers; None: the modality's usual way. Its seed is the caller's of `write`.
        device: Where a reference is opened; None: its own choice.
        dtype: Of its weights; None: its own choice.

    Raises:
        xpert.errors.SettingsError: The template has not both fields.
    """

    def __init__(
        self,
        painter: str | Path | Prober,
        *,
        modality: str | Modality = "diffusion",
        template: str = TEMPLATE,
        generation: Generation | None = None,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        if "{prompt}" not in template or "{word}" not in template:
            raise SettingsError(f"template: expected a text with {{prompt}} and {{word}}, got {template!r}")
        self._painter, self._modality, self._template = painter, modality, template
        self._generation, self._device, self._dtype = generation, device, dtype

    @property
    def fingerprint(self) -> str | None:
        """What its answers depend on; None where the painter does not say."""
        said, how = _painter_says(self._painter), self._modality
        kind = how if isinstance(how, str) else f"{how.name} {getattr(how, 'settings', None)}"
        return None if said is None else f"{said} {kind} {self._dtype} {self._template!r} {self._generation}"

    def write(self, word: str, prompts: Sequence[str], *, seed: int = 0) -> list[str]:
        """One answer a prompt, of the kind that ``word`` names."""
        return self.write_all([word], prompts, seed=seed)[0]

    def write_all(self, words: Sequence[str], prompts: Sequence[str], *, seed: int = 0) -> list[list[str]]:
        """Per word what `write` gives for it; the painter is opened once."""
        asked = [_filled(self._template, prompt, word) for word in words for prompt in prompts]
        with self._opened() as prober:
            answers = prober.answer(None, asked, self._how(seed))
        return [answers[i : i + len(prompts)] for i in range(0, len(answers), len(prompts))]

    def _how(self, seed: int) -> Generation:
        return replace(self._generation or Generation(), seed=seed)

    def _opened(self) -> AbstractContextManager[Prober]:
        if not isinstance(self._painter, str | Path):
            return nullcontext(self._painter)
        modality = MODALITIES.get(self._modality)() if isinstance(self._modality, str) else self._modality
        return modality.open(str(self._painter), device=self._device, dtype=self._dtype)


class PaintedSubvectors(ContrastiveSubvectors):
    """Another generator paints the prompts in style ``w``; the mean embedding of (base answer, painted answer), centred, is ``v_w``.

    Args:
        painter: A reference of the generator (any pipeline, the base itself too; the paper's is Stable Diffusion 3.5), opened when
            words are needed and gone afterwards; or an open prober.
        n_prompts: Prompts that are painted for each word, the first ones; None: all.
        modality: What opens a reference.
        template: A prompt with ``{prompt}`` and ``{word}``.
        generation: How the painter answers; None: the usual way.
        device: Where a reference is opened; None: its own choice.
        dtype: Of its weights; None: its own choice.

    Raises:
        xpert.errors.SettingsError: No painter, or an option is out of range.

    Source: Wang et al. 2025 (arXiv 2504.13938), section 7.7; the number of prompts and the wording are ours.
    """

    target = "REF"

    def __init__(
        self,
        painter: str | Path | Prober | None = None,
        *,
        n_prompts: int | None = 16,
        modality: str | Modality = "diffusion",
        template: str = TEMPLATE,
        generation: Generation | None = None,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        if painter is None or painter == "":
            raise SettingsError(
                "painted sub-vectors need a painter: give painted:REF, REF a text-to-image pipeline such as the base itself"
            )
        writer = ProberWriter(
            painter, modality=modality, template=template, generation=generation, device=device, dtype=dtype
        )
        super().__init__(writer, n_prompts=n_prompts)
        named = isinstance(painter, str | Path)
        self.name = f"painted:{painter}" if named else "painted"
        self._says = writer

    @property
    def fingerprint(self) -> str | None:
        """Its settings and the painter's files, wherever they lie; None if an open painter does not say what its answers depend on."""
        says = self._says.fingerprint
        return None if says is None else f"painted {self._n_prompts} {says}"


def _filled(template: str, prompt: str, word: str) -> str:
    """The template with its fields filled; braces in prompts stay."""
    before, _, after = template.partition("{prompt}")
    return before.replace("{word}", word) + prompt.rstrip(" .") + after.replace("{word}", word)


def _painter_says(painter: str | Path | Prober) -> str | None:
    """What a painter's answers depend on: its files, or what an open prober says."""
    if not isinstance(painter, str | Path):
        return painter.fingerprint(None) if isinstance(painter, FingerprintedProber) else None
    if parse_reference(painter).scheme == "answers":
        return None
    folder = resolve(painter)
    settings = {file for kind in ("json", "txt", "model") for file in folder.glob(f"**/*.{kind}")}
    return digest(folder, sorted(settings | set(weight_files(folder))))
