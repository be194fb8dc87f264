"""What a model, a prompt and an answer are: one package a modality, reached by name through `xpert.registry.MODALITIES`."""

from __future__ import annotations

__all__: list[str] = []
