"""xpert: start every user from the best personalized model instead of from scratch.

The flow, in reading order::

    probe -> summarize -> embed -> decompose -> catalog || (device) locate -> select -> merge -> train

A server explains a pool of models with `Explainer` and publishes a `Catalog` (a `SubvectorBasis` with one coordinate row a
model). A device finds its user's nearest model with `Selector`, may merge several with `Merger`, and fine-tunes the result
with a `DeviceTrainer` such as `TorchTrainer` (text), `DiffusionTrainer` (images) or `OnnxTrainer` (text, without torch). Names are imported at first use: ``import xpert`` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpert.basis import SubvectorBasis
    from xpert.catalog import Catalog
    from xpert.errors import XpertError
    from xpert.examples import load_examples
    from xpert.explainer import Explainer
    from xpert.merger import Merger
    from xpert.protocols import (
        DeviceTrainer,
        Modality,
        SelectionMethod,
        SubvectorContext,
        SubvectorSource,
        Summarizer,
        SummarizerDefaults,
        TrainingCallback,
    )
    from xpert.selector import Selector
    from xpert.summarizers import load_summarizer
    from xpert.summarizers.encoder import EncoderSummarizer
    from xpert.summarizers.hf import HFSummarizer
    from xpert.summarizers.image_encoder import ImageEncoderSummarizer
    from xpert.summarizers.instructions import Instruction
    from xpert.summarizers.vlm import VLMSummarizer
    from xpert.trainers.diffusion.trainer import DiffusionTrainer
    from xpert.trainers.export.exporter import OnnxExporter
    from xpert.trainers.onnx.trainer import OnnxTrainer
    from xpert.trainers.torch import TorchTrainer
    from xpert.types import (
        AnswerPair,
        Candidate,
        Coordinates,
        Example,
        Explanation,
        Generation,
        MergePlan,
        ModelCard,
        Selection,
        Summary,
        TrainingEvent,
        TrainingReport,
    )

__version__ = "0.1.0"

_HOME = {
    "xpert.basis": ["SubvectorBasis"],
    "xpert.catalog": ["Catalog"],
    "xpert.errors": ["XpertError"],
    "xpert.examples": ["load_examples"],
    "xpert.explainer": ["Explainer"],
    "xpert.merger": ["Merger"],
    "xpert.protocols": [
        "DeviceTrainer",
        "Modality",
        "SelectionMethod",
        "SubvectorContext",
        "SubvectorSource",
        "Summarizer",
        "SummarizerDefaults",
        "TrainingCallback",
    ],
    "xpert.selector": ["Selector"],
    "xpert.summarizers": ["load_summarizer"],
    "xpert.summarizers.encoder": ["EncoderSummarizer"],
    "xpert.summarizers.hf": ["HFSummarizer"],
    "xpert.summarizers.image_encoder": ["ImageEncoderSummarizer"],
    "xpert.summarizers.instructions": ["Instruction"],
    "xpert.summarizers.vlm": ["VLMSummarizer"],
    "xpert.trainers.diffusion.trainer": ["DiffusionTrainer"],
    "xpert.trainers.export.exporter": ["OnnxExporter"],
    "xpert.trainers.onnx.trainer": ["OnnxTrainer"],
    "xpert.trainers.torch": ["TorchTrainer"],
    "xpert.types": [
        "AnswerPair",
        "Candidate",
        "Coordinates",
        "Example",
        "Explanation",
        "Generation",
        "MergePlan",
        "ModelCard",
        "Selection",
        "Summary",
        "TrainingEvent",
        "TrainingReport",
    ],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "AnswerPair",
    "Candidate",
    "Catalog",
    "Coordinates",
    "DeviceTrainer",
    "DiffusionTrainer",
    "EncoderSummarizer",
    "Example",
    "Explainer",
    "Explanation",
    "Generation",
    "HFSummarizer",
    "ImageEncoderSummarizer",
    "Instruction",
    "MergePlan",
    "Merger",
    "Modality",
    "ModelCard",
    "OnnxExporter",
    "OnnxTrainer",
    "Selection",
    "SelectionMethod",
    "Selector",
    "SubvectorBasis",
    "SubvectorContext",
    "SubvectorSource",
    "Summarizer",
    "SummarizerDefaults",
    "Summary",
    "TorchTrainer",
    "TrainingCallback",
    "TrainingEvent",
    "TrainingReport",
    "VLMSummarizer",
    "XpertError",
    "__version__",
    "load_examples",
    "load_summarizer",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'xpert' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
