"""Names to objects: one registry a family, built-ins and installed plugins (entry points) alike.

A plugin registers with an entry point, for example ``[project.entry-points."xpert.summarizers"] mine = "my_package:MySummarizer"``,
and is then reached as ``mine:TARGET``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from xpert.errors import ReferenceNotFoundError, SettingsError, did_you_mean

__all__ = ["BASELINES", "MERGERS", "MODALITIES", "SUBVECTORS", "SUMMARIZERS", "TRAINERS", "Registry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One family's names.

    Attributes:
        family: What its members are called in messages.
        group: The entry-point group of plugins.
        builtin: Name to ``module:attribute``, imported at first use.
    """

    family: str
    group: str
    builtin: Mapping[str, str]

    def names(self) -> list[str]:
        """Every name, built-ins first."""
        return [*self.builtin, *sorted(e.name for e in entry_points(group=self.group) if e.name not in self.builtin)]

    def get(self, name: str) -> Callable[..., Any]:
        """The class or factory behind a name.

        Raises:
            xpert.errors.ReferenceNotFoundError: No such name.
        """
        if name in self.builtin:
            module, attribute = self.builtin[name].split(":")
            return getattr(importlib.import_module(module), attribute)
        for entry in entry_points(group=self.group):
            if entry.name == name:
                return entry.load()
        raise ReferenceNotFoundError(
            f"unknown {self.family} {name!r}{did_you_mean(name, self.names())}: expected one of {', '.join(self.names())} (plugins register in the entry-point group {self.group!r})"
        )

    def make(self, name: str) -> Any:
        """The object that ``NAME`` names, or ``NAME:TARGET`` if what is registered has an attribute ``target`` (what a target is).

        Raises:
            xpert.errors.ReferenceNotFoundError: No such name.
            xpert.errors.SettingsError: It takes no target.
        """
        known, colon, target = name.partition(":")
        factory = self.get(known)
        if not colon:
            return factory()
        if getattr(factory, "target", None) is None:
            raise SettingsError(f"{self.family} {name!r}: {known} takes no target: leave out {colon + target!r}")
        return factory(target)


SUMMARIZERS = Registry(
    family="summarizer",
    group="xpert.summarizers",
    builtin={
        "hf": "xpert.summarizers.hf:HFSummarizer",
        "streamed": "xpert.summarizers.streamed:StreamedSummarizer",
        "encoder": "xpert.summarizers.encoders:load_encoder",
        "vlm": "xpert.summarizers.vlm:VLMSummarizer",
        "onnx": "xpert.summarizers.onnx:load_exported",
    },
)
SUBVECTORS = Registry(
    family="sub-vector source",
    group="xpert.subvectors",
    builtin={
        "contrastive": "xpert.subvectors.contrastive:ContrastiveSubvectors",
        "captioned": "xpert.subvectors.captioned:CaptionedSubvectors",
        "painted": "xpert.subvectors.painted:PaintedSubvectors",
        "described": "xpert.subvectors.described:DescribedSubvectors",
        "exemplary": "xpert.subvectors.exemplary:ExemplarySubvectors",
        "unembedded": "xpert.subvectors.unembedded:UnembeddedSubvectors",
        "prompt-tuned": "xpert.subvectors.prompt_tuned:PromptTunedSubvectors",
    },
)
MODALITIES = Registry(
    family="modality",
    group="xpert.modalities",
    builtin={
        "text": "xpert.modalities.text:TextModality",
        "diffusion": "xpert.modalities.diffusion:DiffusionModality",
    },
)
MERGERS = Registry(
    family="merge method",
    group="xpert.mergers",
    builtin={
        "linear": "xpert.mergers.linear:LinearMerger",
        "ties": "xpert.mergers.ties:TiesMerger",
        "dare": "xpert.mergers.dare:DareMerger",
    },
)
TRAINERS = Registry(
    family="trainer",
    group="xpert.trainers",
    builtin={
        "torch": "xpert.trainers.torch:TorchTrainer",
        "diffusion": "xpert.trainers.diffusion.trainer:DiffusionTrainer",
        "onnx": "xpert.trainers.onnx.trainer:OnnxTrainer",
    },
)
BASELINES = Registry(
    family="baseline",
    group="xpert.baselines",
    builtin={
        "fid": "xpert.baselines.fid:FIDBaseline",
        "kid": "xpert.baselines.kid:KIDBaseline",
        "clip-similarity": "xpert.baselines.clip_similarity:CLIPSimilarityBaseline",
        "exhaustive": "xpert.baselines.exhaustive:ExhaustiveBaseline",
        "bayesian": "xpert.baselines.bayesian:BayesianBaseline",
        "hyperband": "xpert.baselines.hyperband:HyperbandBaseline",
        "encoder-similarity": "xpert.baselines.encoder_similarity:EncoderSimilarityBaseline",
        "random": "xpert.baselines.bounds:RandomBaseline",
        "oracle": "xpert.baselines.bounds:OracleBaseline",
    },
)
