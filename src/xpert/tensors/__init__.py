"""Tensors on disk: atomic files, lazy reads, sharded writes, LoRA deltas. Knows nothing of models."""
