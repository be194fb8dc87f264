"""Training from ONNX artifacts alone: no torch, no Transformers."""
