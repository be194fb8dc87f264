"""Shipped for third parties: contract checks that a backend runs on itself, and fakes that stand in for models.

`xpert.testing.tiny` makes tiny real models; it is imported by name because it loads torch.
"""

from __future__ import annotations

from xpert.testing.checks_merger import check_merge_method
from xpert.testing.checks_modality import check_modality
from xpert.testing.checks_selection import check_costed_method, check_selection_method
from xpert.testing.checks_subvectors import check_subvector_source
from xpert.testing.checks_summarizer import check_summarizer, sample_image_pairs
from xpert.testing.checks_trainer import check_trainer
from xpert.testing.fake_pool import PlantedPool
from xpert.testing.fakes import FAKE_STYLES, FAKE_SYNONYMS, FakeSummarizer, FakeWriter, fake_text
from xpert.testing.planted_catalog import planted_catalog

__all__ = [
    "FAKE_STYLES",
    "FAKE_SYNONYMS",
    "FakeSummarizer",
    "FakeWriter",
    "PlantedPool",
    "check_costed_method",
    "check_merge_method",
    "check_modality",
    "check_selection_method",
    "check_subvector_source",
    "check_summarizer",
    "check_trainer",
    "fake_text",
    "planted_catalog",
    "sample_image_pairs",
]
